"""Every code has a sentence, sentences are safe to send, and they say what to do next."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import get_args

import pytest

import concept_store.errors
from bot import replies
from bot.answering import Answer, Recognised
from bot.engine_client import EngineError, EngineUnreachable
from bot.errors import Refusal, RefusalCode
from bot.explaining import Reason
from bot.photos import Photo
from bot.teaching import LOST, Progress, Stage
from concept_store.records import Concept, ConceptId, Kept, Kind, Match, State, UserId
from myvlm_engine.messages import ErrorCode

ANY_FACTS = {
    "which": 2,
    "photos": 4,
    "limit": 32,
    "length": 40,
    "size_bytes": 12_000_000,
    "limit_bytes": 10_485_760,
    "pixels": 200_000_000,
    "width": 4000,
    "height": 2,
    "limit_pixels": 50_000_000,
    "found": "`*`",
    "name": "Biscuit",
    "teacher_id": 42,
    "kept": 8,
    "room": 2,
}
STORE_ERRORS = [kind for _, kind in inspect.getmembers(concept_store.errors, inspect.isclass) if issubclass(kind, Exception)]
NEXT_STEP = ("try", "send", "choose", "run", "ask", "type", "write", "save", "shows", "give", "add", "leave", "press", "make room",
             "bring", "set", "crop", "wait", "scale", "nothing to try", "see")  # fmt: skip


def concept(**changes: object) -> Concept:
    values: dict[str, object] = {
        "id": ConceptId("c1"),
        "name": "Biscuit",
        "kind": Kind.PET,
        "class_noun": "dog",
        "owner_id": UserId(42),
        "guild_id": None,
        "private": False,
        "announce": None,
        "state": State.READY,
        "failure": None,
        "attempts": 1,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "ready_at": None,
        "has_head": True,
        "has_embedding": True,
        "photo_count": 4,
        "sample": "Biscuit is on the grass.",
        "announced": False,
    }
    return Concept(**{**values, **changes})  # type: ignore[arg-type]


def is_a_good_sentence(text: str) -> bool:
    return 20 < len(text) < 2000 and "{" not in text and any(step in text.lower() for step in NEXT_STEP)


def test_every_refusal_has_a_sentence_that_says_what_to_do_next():
    assert set(replies.REFUSALS) == set(get_args(RefusalCode))
    for code in get_args(RefusalCode):
        assert is_a_good_sentence(replies.sentence(Refusal(code, **ANY_FACTS))), code


def test_every_engine_error_has_a_sentence_that_says_what_to_do_next():
    assert set(replies.ENGINE_ERRORS) == set(get_args(ErrorCode))
    for code in get_args(ErrorCode):
        assert is_a_good_sentence(replies.sentence(EngineError(code))), code
        assert is_a_good_sentence(replies.failure_sentence(code)), code
    assert replies.sentence(EngineError("not_ready")) != replies.sentence(EngineError("not_ready", {"why": "no weights"}))


@pytest.mark.parametrize("kind", STORE_ERRORS)
def test_every_store_error_has_a_sentence(kind):
    assert is_a_good_sentence(replies.sentence(kind()))


def test_the_engine_away_and_the_engine_slow_are_told_apart():
    away, slow = replies.sentence(EngineUnreachable()), replies.sentence(EngineUnreachable(slow=True))
    assert is_a_good_sentence(away) and is_a_good_sentence(slow) and away != slow


def test_whatever_else_happens_has_a_sentence_without_its_text():
    told = replies.sentence(ValueError("a secret from deep inside"))
    assert is_a_good_sentence(told) and "secret" not in told


def test_a_broken_off_training_and_an_unknown_failure_have_sentences():
    assert "Try again" in replies.failure_sentence(LOST)
    assert is_a_good_sentence(replies.failure_sentence("something new"))


def test_a_noun_that_the_model_wouldn_t_use_is_told_while_it_learns():
    doubted = replies.progress(concept(class_noun="dog"), Progress("learning", 3, 60, noun_seen=False))
    assert "I wouldn't call it “dog” myself" in doubted and "`what`" in doubted
    assert "wouldn't" not in replies.progress(concept(class_noun="dog"), Progress("learning", 3, 60))


@pytest.mark.parametrize("stage", get_args(Stage))
def test_every_stage_of_a_teach_can_be_shown(stage):
    state = {"ready": State.READY, "failed": State.FAILED}.get(stage, State.TRAINING)
    text = replies.progress(concept(state=state, failure="internal" if stage == "failed" else None), Progress(stage, 3, 12, "a dog"))
    assert "Biscuit" in text and "None" not in text


def test_the_bar_fills_up():
    assert replies.bar(0, 0).startswith("▱")
    assert replies.bar(6, 12).count("▰") == replies.BAR_CELLS // 2
    assert replies.bar(99, 12).count("▰") == replies.BAR_CELLS


def test_the_last_word_mentions_the_teacher_only():
    for state, failure in ((State.READY, None), (State.FAILED, "no_face")):
        text = replies.last_word(concept(state=state, failure=failure))
        assert text.startswith("<@42> ") and text.count("<@") == 1


def test_what_the_model_says_is_plain_text():
    told = replies.quoted("**@everyone** <@1> [x](https://x.org)\n# big `code` ||y||")
    assert "@everyone" not in told and "<@1>" not in told.replace("\\<", "") and "https://" not in told and "\n" not in told
    for mark in "*`|[]#":
        assert f"\\{mark}" in told
    assert len(replies.quoted("x" * 9999)) == replies.TEXT_LIMIT


def test_an_answer_says_who_was_recognised_how_surely_and_what_was_put_in():
    seen = (
        Recognised("Biscuit", "dog", 0.973, "embedding", learning=False),
        Recognised("Milo", "cat", 0.8, "substitution", learning=True),
        Recognised("Rex", "dog", 1.0, "substitution", learning=False),
        Recognised("Tom", "cat", 0.6, "missing", learning=False),
    )
    text = replies.answer(Answer("Biscuit chases Milo.", None, seen))
    assert "Biscuit chases Milo." in text
    assert "**Biscuit** recognised, 97 % sure\n" in text
    assert "**Milo** recognised, 80 % sure; the name stands in for “cat” (still learning to say it)" in text
    assert "**Rex** recognised, 99 % sure; the name stands in for “dog” (learned for another model)" in text
    assert "**Tom** recognised, 60 % sure; not mentioned" in text
    asked = replies.answer(Answer("No.", "is it asleep?", seen))
    assert "is it asleep?" in asked and "not mentioned" not in asked  # a short answer needs no name
    assert "Nobody and nothing" in replies.answer(Answer("a tree", None, ()))
    assert "Nobody I'm sure of" in replies.answer(Answer("a dog", None, (), doubtful=(concept(),)))


def test_privacy_counts_what_is_kept():
    kept = Kept(2, 7, 3 * 1024 * 1024, 900, datetime(2026, 1, 1, tzinfo=UTC), ("Biscuit", "Milo"))
    text = replies.privacy(kept)
    assert all(part in text for part in ("2 concepts", "7 photos", "3.0 MB", "900 vectors", "Biscuit, Milo"))
    assert "Nothing" in replies.privacy(Kept(0, 0, 0, 0, None))
    little = Kept(0, 0, 0, 0, None, corrections=1, consents=2)
    assert little.anything and "answers: 1 time\n" in replies.privacy(little) and "2 times" in replies.privacy(little)
    assert "0 " not in replies.delete_question(little) + replies.deleted(0)


def test_of_many_names_forty_are_listed_so_that_the_page_with_the_deletion_can_be_sent():
    kept = Kept(130, 1300, 3 * 1024**3, 90_000, datetime(2026, 1, 1, tzinfo=UTC), tuple(f"{at:032d}" for at in range(130)), 99, 9)
    for text in (replies.privacy(kept), replies.delete_question(kept)):
        assert f"{39:032d}, and 90 more (a copy lists them all)\n" in text and f"{40:032d}" not in text
        assert len(text) < 4000  # what a message holds
    assert replies.listed(["Biscuit"] * 40).endswith("Biscuit")


def test_one_of_several_and_two_of_two_are_spoken_of_as_such():
    assert replies.first_photos(4, 5).endswith("Send the other one to `/describe`.")
    assert replies.first_photos(4, 6).endswith("Send the others to `/describe`.")
    one, two = (Photo(b"jpeg", b"small", digest, b"tiny", 96, 64) for digest in ("1", "2"))
    assert replies.advice(3, [one, two]) == "-# 1 of 3 photos was a copy, so I learn from 2."
    assert replies.advice(4, [one, two]) == "-# 2 of 4 photos were copies, so I learn from 2."
    assert replies.sentence(Refusal("same_photo", photos=2)).startswith("Both photos are the same picture")
    assert replies.sentence(Refusal("same_photo", photos=3)).startswith("All 3 photos are the same picture")
    known = {1: "That photo is", 2: "Both of these photos are", 3: "All of these photos are"}
    assert all(replies.sentence(Refusal("known_photos", photos=many)).startswith(f"{words} known") for many, words in known.items())
    assert "Its 1 photo and everything learned from it are" in replies.forget_question(concept(photo_count=1))
    assert "Its 4 photos and everything learned from them are" in replies.forget_question(concept())
    assert "several in the photo," in replies.face_question(concept(photo_count=1, has_head=False), 1)
    assert "forgets Biscuit and this photo." in replies.face_question(concept(photo_count=1, has_head=False), 1)
    assert "several in photo 2," in replies.face_question(concept(), 2) and "in your photo of" in replies.face_asked(concept(photo_count=1))
    assert "most like the photo I was taught with" in replies.why("🟦", Reason("Biscuit", 0.9, (0, 0, 1, 1), 1, 1))
    assert "most like photo 2 of the 3 I was taught with" in replies.why("🟦", Reason("Biscuit", 0.9, (0, 0, 1, 1), 2, 3))


def test_vectors_of_corrections_are_not_said_to_be_of_photos_that_are_listed():
    assert "4 vectors computed from photos\n" in replies.privacy(Kept(0, 0, 0, 4, None, corrections=1))


def test_what_is_read_aloud_has_no_formatting():
    assert replies.alt_text(replies.where(concept(), Match(concept(), 0.9, (0, 0, 1, 1)), certain=True)) == "Biscuit is here, 90 % sure."


def test_who_may_use_it_is_said_as_it_is_there():
    assert "on this server" in replies.concept_line(concept(), 42, here=True)
    assert "on the server where you taught it" in replies.concept_line(concept(), 42, here=False)
    assert "only you" in replies.concept_line(concept(private=True), 42, here=False)


def test_while_it_drafts_no_bar_stands_still():
    assert "drafting" in replies.bar(0, 60) and "1/60" in replies.bar(1, 60)


def test_a_word_that_the_teacher_did_not_choose_is_not_held_against_them():
    guessed = replies.progress(concept(class_noun="thing"), Progress("learning", 3, 60, noun_seen=False))
    assert "I can't tell what it is" in guessed and "`what`" in guessed
