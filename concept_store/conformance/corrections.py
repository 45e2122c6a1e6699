"""Corrections as they are kept; what they do to a match is in matches.py."""

from __future__ import annotations

import pytest

from ..errors import NotFound, WrongFingerprint
from ..records import Said, UserId
from ..store import ConceptStore
from .samples import ANNA, BEN, CARA, ENCODER, HOME, NOWHERE, OTHER_ENCODER, Contract, create, learn, same_regions, scope, seen


class CorrectionsContract(Contract):
    async def test_corrections_come_back_oldest_first_with_what_the_encoder_saw(self, store: ConceptStore) -> None:
        made, other = await create(store), await create(store, "Milo")
        await store.add_correction(made.id, [seen(0, 1), seen(2, encoder=OTHER_ENCODER)], True, "z")
        await store.add_correction(made.id, [seen(3)], False, "a")
        await store.add_correction(other.id, [seen(4)], True, "z")
        first, second = await store.corrections(made.id, ENCODER)
        assert (first.digest, first.present, same_regions(first.regions, seen(0, 1))) == ("z", True, True)
        assert (second.digest, second.present, same_regions(second.regions, seen(3))) == ("a", False, True)
        (only,) = await store.corrections(made.id, OTHER_ENCODER)
        assert (only.digest, same_regions(only.regions, seen(2, encoder=OTHER_ENCODER))) == ("z", True)
        assert await store.corrections(made.id, "grid/1a2c") == []
        assert await store.corrections(NOWHERE, ENCODER) == []

    async def test_a_newer_correction_of_a_photo_replaces_the_older(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0), seen(0, encoder=OTHER_ENCODER)], True, "photo")
        await store.add_correction(made.id, [seen(1)], False, "photo")
        (only,) = await store.corrections(made.id, ENCODER)
        assert (only.present, same_regions(only.regions, seen(1))) == (False, True)
        assert await store.corrections(made.id, OTHER_ENCODER) == []
        assert await store.match(scope(), [seen(1)], digest="photo") == []

    async def test_a_correction_of_nothing_or_of_no_encoder_is_refused(self, store: ConceptStore) -> None:
        made = await create(store)
        with pytest.raises(NotFound):
            await store.add_correction(NOWHERE, [seen(0)], True, "photo")
        with pytest.raises(WrongFingerprint):
            await store.add_correction(made.id, [seen(0, encoder="")], True, "photo")
        assert await store.corrections(made.id, ENCODER) == []

    async def test_of_more_corrections_than_may_keep_their_vectors_the_oldest_of_the_same_kind_lose_them_first(
        self, store: ConceptStore
    ) -> None:
        made, other = await create(store), await create(store, "Milo")
        await store.add_correction(other.id, [seen(0)], False, "other")
        for digest, present in (("no 1", False), ("yes 1", True), ("no 2", False), ("no 3", False)):
            await store.add_correction(made.id, [seen(0)], present, digest, ANNA, at_most=3)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["yes 1", "no 2", "no 3"]
        await store.add_correction(made.id, [seen(0)], False, "no 2", ANNA, at_most=3)  # said again: none more than before
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["yes 1", "no 3", "no 2"]
        await store.add_correction(made.id, [seen(0)], True, "yes 2", ANNA, at_most=3)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["no 3", "no 2", "yes 2"]
        await store.add_correction(made.id, [seen(0)], False, "no 4", ANNA, at_most=1)  # a limit that was lowered meanwhile
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["no 4"]
        await store.add_correction(made.id, [seen(0)], True, "yes 3", ANNA, at_most=1)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["yes 3"], "the newest is kept, whatever it says"
        assert await store.said(other.id, "other") is not None

    async def test_what_was_said_of_a_photo_holds_though_its_vectors_are_dropped(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.add_correction(made.id, [seen(0), seen(2, encoder=OTHER_ENCODER)], False, "no", ANNA, at_most=1)
        await store.add_correction(made.id, [seen(3)], True, "yes", BEN, at_most=1)
        await store.add_correction(made.id, [seen(1)], False, "newest", BEN, at_most=1)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["newest"]
        assert await store.corrections(made.id, OTHER_ENCODER) == []
        assert await store.match(scope(), [seen(0)], digest="no") == []
        assert [match.score for match in await store.match(scope(), [seen(3)], digest="yes")] == [1.0]
        assert (await store.said(made.id, "no"), await store.said(made.id, "yes")) == (Said(False, ANNA), Said(True, BEN))
        kept = await store.kept_in(HOME)
        assert (kept.corrections, kept.vectors) == (3, 1 + 1), "its head's, and the newest correction's"
        assert (await store.kept_about(BEN)).corrections == 2 and await store.corrected_by(ANNA) == [made.id]
        assert await store.remove_corrections(made.id, "no") == 1
        assert [match.concept for match in await store.match(scope(), [seen(0)], digest="no")] == [await store.concept(made.id)]
        assert await store.remove_corrections(made.id) == 2

    async def test_what_has_no_vectors_takes_no_room_of_what_has(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0)], False, "one", ANNA, at_most=1)
        for digest in ("two", "three"):
            await store.add_correction(made.id, [], False, digest, ANNA, at_most=1)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["one"]

    async def test_a_photo_whose_vectors_were_dropped_has_them_again_when_it_is_corrected_again(self, store: ConceptStore) -> None:
        made = await create(store)
        for digest in ("one", "two", "one"):
            await store.add_correction(made.id, [seen(0)], False, digest, ANNA, at_most=1)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["one"]
        assert await store.said(made.id, "two") == Said(False, ANNA)

    async def test_what_its_teacher_said_keeps_its_vectors_longest(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0)], False, "the teacher's", made.owner_id, at_most=3)
        for digest, user_id in (("1", BEN), ("2", None), ("3", BEN), ("4", None)):
            await store.add_correction(made.id, [seen(0)], False, digest, user_id, at_most=3)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["the teacher's", "3", "4"]
        for digest in ("mine too", "and mine"):
            await store.add_correction(made.id, [seen(0)], False, digest, made.owner_id, at_most=3)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["the teacher's", "mine too", "and mine"]

    async def test_who_said_what_is_known_and_can_be_taken_back(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0)], True, "one", ANNA)
        await store.add_correction(made.id, [seen(1)], False, "two")
        await store.add_correction(made.id, [], False, "three", BEN)
        assert await store.said(made.id, "one") == Said(True, ANNA)
        assert await store.said(made.id, "two") == Said(False, None)
        assert await store.said(made.id, "three") == Said(False, BEN)
        assert await store.said(made.id, "four") is None
        assert await store.remove_corrections(made.id, "one") == 1
        assert await store.said(made.id, "one") is None
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["two"]
        assert await store.remove_corrections(made.id) == 2
        assert await store.remove_corrections(made.id) == 0

    async def test_of_what_members_say_of_a_photo_the_newest_holds_until_it_is_taken_back(self, store: ConceptStore) -> None:
        made, of_photo = await learn(store, "Biscuit", 0), [seen(0)]
        await store.add_correction(made.id, of_photo, True, "photo", CARA)
        await store.add_correction(made.id, of_photo, False, "photo", BEN)
        assert [one.present for one in await store.corrections(made.id, ENCODER)] == [False]
        assert await store.match(scope(), of_photo, digest="photo") == []
        assert await store.said(made.id, "photo") == await store.said(made.id, "photo", BEN) == Said(False, BEN)
        assert await store.said(made.id, "photo", CARA) == Said(True, CARA)
        assert await store.remove_corrections(made.id, "photo", BEN) == 1
        assert await store.said(made.id, "photo") == Said(True, CARA) and await store.said(made.id, "photo", BEN) is None
        assert [one.present for one in await store.corrections(made.id, ENCODER)] == [True]
        assert [match.told for match in await store.match(scope(), of_photo, digest="photo")] == [True]
        await store.add_correction(made.id, of_photo, False, "photo", CARA)
        assert (await store.kept_in(HOME)).corrections == 1, "their own word is replaced"
        await store.add_correction(made.id, of_photo, True, "photo", BEN)
        await store.delete_user(BEN)
        assert await store.said(made.id, "photo") == Said(False, CARA)
        await store.add_correction(made.id, of_photo, True, "photo", BEN)
        assert await store.remove_corrections(made.id, "photo") == 2

    async def test_what_its_teacher_said_of_a_photo_holds_whatever_others_say_since(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        for user_id, present in ((BEN, True), (made.owner_id, False), (BEN, True), (CARA, True)):
            await store.add_correction(made.id, [seen(0)], present, "photo", user_id)
        assert await store.said(made.id, "photo") == Said(False, made.owner_id)
        assert await store.match(scope(), [seen(0)], digest="photo") == []
        assert [one.present for one in await store.corrections(made.id, ENCODER)] == [False]
        await store.remove_corrections(made.id, "photo", made.owner_id)
        assert await store.said(made.id, "photo") == Said(True, CARA)

    async def test_a_teacher_is_none_of_what_others_teach(self, store: ConceptStore) -> None:
        """Each concept's own word holds, whichever was taught first and whoever else teaches something."""
        taught = [await learn(store, f"Pet {number}", number, owner_id=UserId(500 + number)) for number in range(4)]
        for one in taught:
            await store.add_correction(one.id, [seen(0)], True, "photo", one.owner_id)
        for one in taught:
            for other in taught:
                if other is not one:
                    await store.add_correction(one.id, [seen(0)], False, "photo", other.owner_id)
        for one in taught:
            assert await store.said(one.id, "photo") == Said(True, one.owner_id)
            assert [correction.present for correction in await store.corrections(one.id, ENCODER)] == [True]
        found = await store.match(scope(), [seen(0)], digest="photo")
        assert sorted(match.concept.name for match in found) == [one.name for one in taught]

    async def test_what_holds_no_longer_loses_its_vectors_first(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.add_correction(made.id, [seen(0)], False, "one", BEN, at_most=3)
        await store.add_correction(made.id, [seen(0)], True, "photo", CARA, at_most=3)
        await store.add_correction(made.id, [seen(0)], True, "photo", BEN, at_most=3)
        await store.add_correction(made.id, [seen(0)], False, "two", BEN, at_most=3)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["one", "photo", "two"]
        await store.remove_corrections(made.id, "photo", BEN)
        assert await store.said(made.id, "photo") == Said(True, CARA)
        assert [one.digest for one in await store.corrections(made.id, ENCODER)] == ["one", "two"]

    async def test_what_a_person_corrected_is_known_until_they_are_deleted(self, store: ConceptStore) -> None:
        made, other = await create(store, owner_id=BEN), await create(store, "Milo", owner_id=BEN)
        await store.add_correction(other.id, [seen(0)], True, "one", ANNA)
        await store.add_correction(made.id, [seen(1)], False, "two", ANNA)
        await store.add_correction(made.id, [seen(1)], False, "three", BEN)
        assert await store.corrected_by(ANNA) == [other.id, made.id]
        await store.delete_user(ANNA)
        assert await store.corrected_by(ANNA) == []
        assert await store.said(made.id, "three") is not None
