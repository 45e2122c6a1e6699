"""The copy of what is kept: complete, in parts that can be uploaded, and for this person only."""

from __future__ import annotations

import io
import json
import zipfile

from bot_fakes import ENCODER, GREEN, RED, upload, uploads

from bot.export import ABOUT, parts
from concept_store.records import Scope


async def teach(town, name, colour, who, **more):
    return await who.slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


def files(part: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_the_copy_holds_ones_own_photos_and_facts_and_nobody_elses(town, read):
    await teach(town, "Biscuit", RED, town.alice)
    await teach(town, "Milo", GREEN, town.bob)
    asked = await town.alice.slash(town.channel, "privacy")
    told = await town.alice.click(asked.response, label="Get a copy")
    (answer,) = told.followups
    (attachment,) = answer.attachments
    assert answer.ephemeral and attachment.filename == "myvlm-1.zip"
    found = files(town.env.backend.cdn.get(attachment.url))
    about = json.loads(found.pop(ABOUT))
    (concept,) = about["concepts"]
    assert (concept["name"], concept["taught_by_you"], about["photos"]) == ("Biscuit", True, 4)
    assert [photo["file"] for photo in concept["photos"]] == list(found)
    kept = await town.store.photos((await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")).id)
    assert list(found.values()) == [photo.data for photo in kept]


async def test_a_copy_too_large_for_one_upload_comes_in_parts_that_fit(town):
    for name, colour in (("Biscuit", RED), ("Milo", GREEN)):
        await teach(town, name, colour, town.alice)
    whole = [part async for part in parts(town.store, town.alice.id, 10 * 1024 * 1024)]
    limit = 16_000
    several = [part async for part in parts(town.store, town.alice.id, limit)]
    assert len(whole) == 1 and len(several) > 1 and all(len(part) <= limit for part in several)
    together = {name: data for part in several for name, data in files(part).items()}
    assert together == files(whole[0])


async def test_a_name_that_is_no_file_name_does_no_harm(town):
    await teach(town, "a/../..: b", RED, town.alice)
    (part,) = [part async for part in parts(town.store, town.alice.id, 10**7)]
    assert all(name.startswith("a_______ b-") for name in files(part) if name != ABOUT)


async def test_what_was_said_of_a_person_is_told_and_goes_though_no_vector_of_it_is_kept(town, read):
    await teach(town, "Biscuit", RED, town.alice)
    biscuit = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    await town.store.add_correction(biscuit.id, (), True, "a digest", town.bob.id)
    await town.store.give_consent(town.bob.id, town.alice.id, town.guild.id)
    told = await town.bob.slash(town.channel, "privacy")
    assert "What you said of answers: 1 time" in read(told.response) and "may be taught, by you or with you: 1 time" in read(told.response)
    (part,) = [part async for part in parts(town.store, town.bob.id, 10**7)]
    about = json.loads(files(part)[ABOUT])
    (said,), (consent,) = about["corrections_you_made"], about["consents_you_gave_or_were_given"]
    assert (said["concept"], said["in_the_photo"], said["photo_sha256"]) == ("Biscuit", True, "a digest") and said["made_at"]
    assert (consent["member"], consent["may_be_taught_by"]) == (str(town.bob.id), str(town.alice.id))
    assert consent["server"] == str(town.guild.id) and consent["given_at"]
    await town.bob.click(told.response, label="Delete everything …")
    await town.bob.click(told.response, label="Delete everything for good")
    assert not (await town.store.kept_about(town.bob.id)).anything


async def test_who_only_corrected_answers_sees_that_and_can_take_it_back(town, read):
    await teach(town, "Biscuit", RED, town.alice)
    said = await town.bob.slash(town.channel, "describe", photo=upload(RED, 9))
    await town.bob.click(said.response, label="✗ not Biscuit")
    told = await town.bob.slash(town.channel, "privacy")
    assert "What you said of answers" in read(told.response)
    await town.bob.click(told.response, label="Delete everything …")
    await town.bob.click(told.response, label="Delete everything for good")
    biscuit = await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")
    assert await town.store.corrections(biscuit.id, ENCODER) == []
    assert town.engine.fitted[-1].corrections == []  # and its head has forgotten it
