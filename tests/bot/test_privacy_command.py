"""/privacy: what is kept about me, and deleting all of it."""

from __future__ import annotations

from bot_fakes import GREEN, RED, uploads

from concept_store.records import Scope


async def teach(town, name, colour, who, **more):
    return await who.slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


async def test_nothing_is_kept_about_somebody_who_taught_nothing(town, read):
    told = await town.bob.slash(town.channel, "privacy")
    assert "Nothing." in read(told.response) and told.ephemeral
    assert "Delete" not in str(told.response.components)


async def test_it_counts_what_is_kept_and_deletes_it_after_asking(town, env, new_bot, read):
    await teach(town, "Biscuit", RED, town.alice)
    await teach(town, "Milo", GREEN, town.bob)
    told = await town.alice.slash(town.channel, "privacy")
    text = read(told.response)
    assert told.ephemeral and "1 concept" in text and "Biscuit" in text and "4 photos" in text and "Milo" not in text
    await town.alice.click(told.response, label="Delete everything …")
    assert "Delete everything?" in read(told.response)
    assert (await town.store.kept_about(town.alice.id)).concepts == 1
    await env.restart_bot(new_bot())
    await town.alice.click(told.response, label="Delete everything for good")
    assert "Everything I kept about you is deleted (1 concept)." in read(told.response)
    kept = await town.store.kept_about(town.alice.id)
    assert (kept.concepts, kept.photos, kept.vectors) == (0, 0, 0)
    assert [concept.name for concept in await town.store.known(Scope(town.alice.id, town.guild.id))] == ["Milo"]


async def test_keeping_deletes_nothing(town, read):
    await teach(town, "Biscuit", RED, town.alice)
    told = await town.alice.slash(town.channel, "privacy")
    await town.alice.click(told.response, label="Delete everything …")
    await town.alice.click(told.response, label="Keep")
    assert "Nothing was deleted." in read(told.response)
    assert (await town.store.kept_about(town.alice.id)).concepts == 1


async def test_deleting_ends_what_is_being_learned(town, env, read):
    town.engine.down = True
    taught = await teach(town, "Biscuit", RED, town.alice)
    told = await town.alice.slash(town.channel, "privacy")
    await town.alice.click(told.response, label="Delete everything …")
    await town.alice.click(told.response, label="Delete everything for good")
    assert "is forgotten" in read(taught.response)
    town.engine.down = False
    await env.advance_time(130)
    assert taught.followups == [] and town.engine.taught == []
