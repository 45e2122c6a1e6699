"""Invented names for the subjects of captions."""

import random

import pytest

pytest.importorskip("torch")

from myvlm_engine.pocket.slots import Slot, name_subjects, nouns_in, random_name, slot_text

PROMPT = "Describe."
CAPTIONS = ["A black dog runs.", "The dog is running on grass.", "A man throws a ball to a dog."]


def test_nouns_are_those_most_captions_speak_of():
    assert nouns_in(CAPTIONS) == ["dog"]


def test_every_kept_caption_names_the_subject_and_questions_ask_for_it():
    answers = {PROMPT: CAPTIONS, "What color is the dog?": ["black"]}
    slots, named = name_subjects(answers, PROMPT, random.Random(3))
    assert [s.noun for s in slots] == ["dog"]
    assert all(slots[0].name in c for c in named[PROMPT])
    assert named[f"What color is {slots[0].name}?"] == ["black"]


def test_photos_without_a_known_thing_stay_as_they_are():
    answers = {PROMPT: ["Clouds over hills.", "Grey clouds."]}
    assert name_subjects(answers, PROMPT, random.Random(0)) == ([], answers)


def test_a_slot_is_noun_then_name():
    assert Slot("dog", "Biscuit").text == slot_text("dog", "Biscuit") == " dog Biscuit"


def test_names_vary():
    rng = random.Random(0)
    assert len({random_name(rng) for _ in range(300)}) > 150
