"""/teach, from the command to the last word, on a simulated Discord."""

from __future__ import annotations

from bot_fakes import GREEN, RED, upload, uploads


async def test_a_taught_pet_becomes_ready_and_is_named_in_a_photo_never_seen(town, read):
    taught = await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", what="dog", **uploads(RED))
    await town.settle()
    assert "Biscuit is ready" in read(taught.response)
    assert "Biscuit on the grass." in read(taught.response)

    described = await town.bob.slash(town.channel, "describe", photo=upload(RED, 77))
    assert "Biscuit on the grass." in read(described.response)
    assert "recognised" in read(described.response)

    other = await town.bob.slash(town.channel, "describe", photo=upload(GREEN, 5))
    assert "Biscuit" not in read(other.response)
