"""Whom a question is about: names that sound alike, names inside names, and more in the photo than one answer holds."""

from __future__ import annotations

import pytest
from bot_fakes import GREEN, RED, upload, uploads

from bot.engine_client import EngineError
from bot.names import mentioned
from concept_store.records import Scope


async def teach(town, name, colour=RED, **more):
    return await town.alice.slash(town.channel, "teach", name=name, kind="pet", **uploads(colour), **more)


async def ask(town, question, photo=None):
    return (await town.bob.slash(town.channel, "ask", question=question, photo=photo or upload(RED, 9))).response


@pytest.mark.parametrize(
    ("seen", "other", "question"),
    [
        ("José", "Jose", "Is José asleep?"),
        ("Jose", "José", "Is jose asleep?"),
        ("Mr Biscuit", "Biscuit", "Is Mr. Biscuit asleep?"),
        ("Biscuit", "Biscuit 🐶", "Is Biscuit asleep?"),
        ("Biscuit 🐶", "Biscuit", "Is Biscuit 🐶 asleep?"),
        ("C", "C++", "Is C here?"),
        ("C++", "C", "Is C++ here?"),
        ("Zoë", "Zoé", "Is Zoe asleep?"),  # neither is written so: it is the one in the photo
    ],
)
async def test_who_is_seen_isnt_denied_because_somebody_sounds_alike(town, read, seen, other, question):
    for first, then in (((seen, RED), (other, GREEN)), ((other, GREEN), (seen, RED))):
        await teach(town, *first)
        await teach(town, *then)
        assert "don't see" not in read(await ask(town, question))
        for name in (seen, other):
            concept = await town.store.find(Scope(town.alice.id, town.guild.id), name)
            await town.store.delete_concept(concept.id)


async def test_who_is_written_exactly_and_isnt_there_is_said_to_be_missed(town, read):
    await teach(town, "José", RED)
    await teach(town, "Jose", GREEN)
    assert "I don't see Jose in this photo" in read(await ask(town, "Is Jose asleep?"))


async def test_who_isnt_usable_yet_is_not_taken_for_another(town, read):
    await teach(town, "Biscuit", GREEN)
    town.engine.refuse["fit"] = EngineError("internal")
    await teach(town, "Biscuit Junior", RED)
    del town.engine.refuse["fit"]
    said = read(await ask(town, "Is Biscuit Junior asleep?"))
    assert "I haven't met **Biscuit Junior** yet" in said and "don't see" not in said


async def test_an_emoji_as_telephones_send_it_is_the_same_name(town, read):
    name = "Biscuit ❤\ufe0f"
    await teach(town, name)
    shown = await town.alice.slash(town.channel, "concepts show", name=name)
    assert "don't know" not in read(shown.response)
    assert mentioned("Is I ❤\ufe0f NY here?", ["I ❤ NY"]) == ["I ❤ NY"]


async def test_joiners_that_spell_a_word_stay_in_a_question(town, read):
    name = "می\u200cشا"
    await teach(town, name, GREEN)
    assert f"I don't see {name} in this photo" in read(await ask(town, f"Is {name} asleep?"))


async def test_the_fifth_in_a_photo_is_not_denied(town, read):
    """An answer holds four: whoever is asked about is one of them."""
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200)]
    names = ["Anna", "Bert", "Cleo", "Dora", "Eva"]
    for name, colour in zip(names, colours, strict=True):
        await teach(town, name, colour)
    photo = upload((160, 160, 160), 7)
    said = (await town.alice.slash(town.channel, "describe", photo=photo)).response
    for name in names:
        concept = await town.store.find(Scope(town.alice.id, town.guild.id), name)
        said = (await town.alice.select(said, [concept.id])).response
    for name in names:
        answer = read(await ask(town, f"Is {name} asleep?", photo))
        assert "don't see" not in answer and f"**{name}**: somebody told me so" in answer
        assert name in [concept.name for concept in town.engine.answered[-1].concepts]
        assert len(town.engine.answered[-1].concepts) == 4
