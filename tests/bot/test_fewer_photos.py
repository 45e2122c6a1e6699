"""One photo less: a teacher takes a photo out of what they taught, and the rest is learned again."""

from __future__ import annotations

import pytest
from bot_fakes import GREEN, RED, photo_of, upload, uploads

from concept_store.records import Scope, State


async def teach(town, number=3, **more):
    return await town.alice.slash(town.channel, "teach", name="Biscuit", kind="pet", **{**uploads(RED, number), **more})


async def the_concept(town):
    return await town.store.find(Scope(town.alice.id, town.guild.id), "Biscuit")


async def asked(town):
    shown = await town.alice.slash(town.channel, "concepts show", name="Biscuit")
    return await town.alice.click(shown.response, label="Remove a photo …")


async def test_a_wrong_photo_is_taken_out_and_the_rest_is_learned_again(town, read):
    await teach(town, photo2=("cat.jpg", photo_of(GREEN, 5)))
    before = await town.store.photos((await the_concept(town)).id)
    question = await asked(town)
    assert question.ephemeral and "Which photo of Biscuit shall go?" in read(question.response)
    told = await town.alice.click(question.response, label="2")
    assert "Biscuit is ready" in read(told.response) and "Photo 2 is deleted; 2 photos are left" in read(told.response)
    concept = await the_concept(town)
    assert (concept.state, concept.photo_count) == (State.READY, 2)
    assert [photo.id for photo in await town.store.photos(concept.id)] == [before[0].id, before[2].id]
    assert len(town.engine.fitted[-1].positives) == len(town.engine.taught[-1].photos) == 2
    described = await town.bob.slash(town.channel, "describe", photo=upload(GREEN, 77))
    assert "Biscuit" not in read(described.response)


async def test_all_can_be_kept_and_a_photo_goes_only_once(town, read):
    await teach(town)
    first, second = await asked(town), await asked(town)
    kept = await town.alice.click(first.response, label="Keep all")
    assert "stays as it is" in read(kept.response) and (await the_concept(town)).photo_count == 3
    await town.alice.click(second.response, label="3")
    late = await town.alice.click(second.response, label="3")
    assert "is deleted already" in read(late.response) and (await the_concept(town)).photo_count == 2


async def test_the_only_photo_stays(town, read):
    await teach(town, number=2)
    question = await asked(town)
    await town.alice.click(question.response, label="1")
    late = await town.alice.click(question.response, label="2")
    assert "the only photo of **Biscuit**" in read(late.response) and (await the_concept(town)).photo_count == 1
    with pytest.raises(Exception, match="Remove a photo"):
        await asked(town)


async def test_only_its_teacher_takes_photos_out(town):
    await teach(town)
    shown = await town.bob.slash(town.channel, "concepts show", name="Biscuit")
    with pytest.raises(Exception, match="Remove a photo"):
        await town.bob.click(shown.response, label="Remove a photo …")


async def test_ten_photos_fit_into_the_question(town, read):
    await teach(town, number=5)
    for first in (20, 40):
        await town.alice.slash(town.channel, "concepts add", name="Biscuit", **uploads(RED, 5 if first == 20 else 1, first))
    concept = await the_concept(town)
    question = await asked(town)
    told = await town.alice.click(question.response, label=str(concept.photo_count))
    assert f"Photo {concept.photo_count} is deleted" in read(told.response) and concept.photo_count == 10
