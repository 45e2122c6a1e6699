"""Concepts: creating, names, who knows which, renaming, deleting."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest

from ..errors import LeaseLost, NameTaken, NotFound, TooManyConcepts
from ..records import Announce, Concept, Kind, State
from ..store import ConceptStore
from .samples import (
    ANNA,
    AWAY,
    BEN,
    CARA,
    ENCODER,
    HOME,
    LEASE_S,
    NOWHERE,
    VLM,
    Contract,
    TestClock,
    claim,
    create,
    embedding,
    head,
    learn,
    names,
    new,
    photo,
    scope,
    seen,
)

SAME_NAMES = [
    ("Biscuit", "biscuit"),
    ("Biscuit", "BISCUIT"),
    ("Corgi Joe", "  corgi \t joe "),
    ("Straße", "STRASSE"),
    ("José", unicodedata.normalize("NFD", "José")),
    ("Biscuit", "Ｂiscuit"),  # a full-width letter
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
]
OTHER_NAMES = [("José", "Jose"), ("Corgi Joe", "CorgiJoe"), ("Milo", "Milò"), ("Biscuit", "Biscuit 2")]


class ConceptsContract(Contract):
    # -- creating
    async def test_a_new_concept_is_queued_and_reads_back_as_it_was_given(self, store: ConceptStore, clock: TestClock) -> None:
        await store.give_consent(CARA, ANNA, HOME)
        made = await store.create_concept(new(" Corgi  Joe", kind=Kind.OBJECT, subject_id=CARA), [photo(), photo(), photo()])
        assert made == await store.concept(made.id)
        assert made == Concept(
            id=made.id,
            name=" Corgi  Joe",
            kind=Kind.OBJECT,
            class_noun="dog",
            owner_id=ANNA,
            guild_id=HOME,
            private=False,
            announce=Announce(77, None, "de"),
            state=State.QUEUED,
            failure=None,
            attempts=0,
            created_at=clock(),
            ready_at=None,
            has_head=False,
            has_embedding=False,
            photo_count=3,
            sample=None,
            announced=False,
            subject_id=CARA,
            ticket=made.ticket,
        )
        assert made.created_at.tzinfo is not None

    async def test_a_concept_taught_in_a_dm_has_no_guild_and_may_have_nowhere_to_announce(self, store: ConceptStore) -> None:
        made = await create(store, guild_id=None, private=True, announce=None)
        assert (made.guild_id, made.private, made.announce) == (None, True, None)

    async def test_without_photos_there_is_no_concept(self, store: ConceptStore) -> None:
        with pytest.raises(ValueError):
            await store.create_concept(new(), [])
        assert await store.known(scope()) == []

    async def test_an_owner_has_no_more_than_the_limit(self, store: ConceptStore) -> None:
        await create(store, "one")
        await create(store, "two", guild_id=AWAY)
        with pytest.raises(TooManyConcepts):
            await store.create_concept(new("three"), [photo()], limit_per_owner=2)
        await store.create_concept(new("three"), [photo()], limit_per_owner=3)
        await store.create_concept(new("another's", owner_id=BEN), [photo()], limit_per_owner=1)

    async def test_what_was_refused_leaves_nothing_behind(self, store: ConceptStore) -> None:
        await create(store, photos=1)
        before = await store.kept_about(ANNA)
        with pytest.raises(NameTaken):
            await create(store, photos=5)
        with pytest.raises(TooManyConcepts):
            await store.create_concept(new("other"), [photo()], limit_per_owner=1)
        assert await store.kept_about(ANNA) == before
        assert await store.queue_length() == 1

    # -- names
    @pytest.mark.parametrize(("first", "second"), SAME_NAMES)
    async def test_names_are_compared_without_case_width_and_extra_spaces(self, store: ConceptStore, first: str, second: str) -> None:
        made = await create(store, first)
        with pytest.raises(NameTaken):
            await create(store, second)
        assert (await store.find(scope(), second)).id == made.id

    @pytest.mark.parametrize(("first", "second"), OTHER_NAMES)
    async def test_accents_and_letters_make_another_name(self, store: ConceptStore, first: str, second: str) -> None:
        await create(store, first)
        with pytest.raises(NotFound):
            await store.find(scope(), second)
        await create(store, second)
        assert (await store.find(scope(), first)).name == first

    async def test_a_name_is_taken_by_anybody_in_the_same_guild(self, store: ConceptStore) -> None:
        await create(store, owner_id=ANNA)
        with pytest.raises(NameTaken):
            await create(store, owner_id=BEN)
        with pytest.raises(NameTaken):
            await create(store, owner_id=BEN, private=True)

    async def test_a_name_is_taken_by_the_owners_own_wherever_they_were_taught(self, store: ConceptStore) -> None:
        await create(store, guild_id=HOME)
        for guild_id, private in [(AWAY, False), (AWAY, True), (None, True)]:
            with pytest.raises(NameTaken):
                await create(store, guild_id=guild_id, private=private)

    async def test_a_name_is_free_in_another_guild_and_beside_what_the_owner_cannot_meet(self, store: ConceptStore) -> None:
        await create(store, owner_id=ANNA, guild_id=HOME, private=True)
        await create(store, owner_id=BEN, guild_id=AWAY)
        await create(store, owner_id=CARA, guild_id=HOME)
        await create(store, "Milo", owner_id=ANNA, guild_id=None)
        await create(store, "Milo", owner_id=BEN, guild_id=None)

    async def test_of_twenty_that_ask_for_one_name_at_once_exactly_one_gets_it(self, store: ConceptStore) -> None:
        asked = [create(store, "BISCUIT" if number % 2 else "Biscuit", owner_id=ANNA + number) for number in range(20)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, Concept) for answer in answers) == 1
        assert sum(isinstance(answer, NameTaken) for answer in answers) == 19
        assert len(await store.known(scope())) == 1
        assert await store.queue_length() == 1

    async def test_a_name_is_free_again_once_its_concept_is_deleted(self, store: ConceptStore) -> None:
        await store.delete_concept((await create(store)).id)
        await create(store, owner_id=BEN)

    async def test_find_prefers_the_askers_own(self, store: ConceptStore) -> None:
        own = await create(store, owner_id=ANNA, guild_id=HOME, private=True)
        theirs = await create(store, owner_id=BEN, guild_id=HOME)
        assert (await store.find(scope(ANNA), "biscuit")).id == own.id
        assert (await store.find(scope(BEN), "biscuit")).id == theirs.id
        assert (await store.find(scope(CARA), "biscuit")).id == theirs.id

    # -- who knows which
    async def test_a_guild_knows_its_own_and_the_askers_private_ones(self, store: ConceptStore) -> None:
        await create(store, "public here", owner_id=ANNA)
        await create(store, "private here", owner_id=ANNA, private=True)
        await create(store, "public away", owner_id=ANNA, guild_id=AWAY)
        await create(store, "private away", owner_id=ANNA, guild_id=AWAY, private=True)
        await create(store, "public in a DM", owner_id=ANNA, guild_id=None)
        await create(store, "private in a DM", owner_id=ANNA, guild_id=None, private=True)
        await create(store, "Ben's", owner_id=BEN)
        await create(store, "Ben's private", owner_id=BEN, private=True)
        await create(store, "Ben's away", owner_id=BEN, guild_id=AWAY)
        assert names(await store.known(scope(ANNA, HOME))) == ["Ben's", "private away", "private here", "private in a DM", "public here"]
        assert names(await store.known(scope(BEN, HOME))) == ["Ben's", "Ben's private", "public here"]
        assert names(await store.known(scope(CARA, HOME))) == ["Ben's", "public here"]
        assert names(await store.known(scope(CARA, AWAY))) == ["Ben's away", "public away"]

    async def test_a_dm_knows_all_of_the_askers_own_and_nobody_elses(self, store: ConceptStore) -> None:
        await create(store, "c", owner_id=ANNA, guild_id=HOME)
        await create(store, "B", owner_id=ANNA, guild_id=AWAY, private=True)
        await create(store, "a", owner_id=ANNA, guild_id=None)
        await create(store, "Ben's", owner_id=BEN, guild_id=None)
        assert names(await store.known(scope(ANNA, None))) == ["a", "B", "c"]
        assert names(await store.known(scope(CARA, None))) == []

    async def test_find_finds_only_what_is_known(self, store: ConceptStore) -> None:
        await create(store, owner_id=ANNA, private=True)
        with pytest.raises(NotFound):
            await store.find(scope(BEN), "Biscuit")
        with pytest.raises(NotFound):
            await store.find(scope(BEN, None), "Biscuit")
        with pytest.raises(NotFound):
            await store.find(scope(ANNA), "Milo")

    # -- changing
    async def test_renaming_changes_the_name_and_nothing_else(self, store: ConceptStore) -> None:
        made = await create(store)
        await create(store, "Milo")
        renamed = await store.rename_concept(made.id, "Corgi Joe")
        assert (renamed.name, renamed.id, renamed.state) == ("Corgi Joe", made.id, State.QUEUED)
        assert (await store.find(scope(), "corgi joe")).id == made.id
        with pytest.raises(NotFound):
            await store.find(scope(), "Biscuit")
        await create(store, "Biscuit")

    async def test_renaming_to_a_taken_name_is_refused_and_to_ones_own_in_another_case_is_not(self, store: ConceptStore) -> None:
        made = await create(store)
        await create(store, "Milo", owner_id=BEN)
        with pytest.raises(NameTaken):
            await store.rename_concept(made.id, "MILO")
        assert (await store.concept(made.id)).name == "Biscuit"
        assert (await store.rename_concept(made.id, "BISCUIT")).name == "BISCUIT"
        with pytest.raises(NotFound):
            await store.rename_concept(NOWHERE, "Nobody")

    async def test_the_class_noun_can_be_found_later(self, store: ConceptStore) -> None:
        made = await create(store)
        assert (await store.set_class_noun(made.id, "corgi")).class_noun == "corgi"
        assert (await store.concept(made.id)).class_noun == "corgi"
        with pytest.raises(NotFound):
            await store.set_class_noun(NOWHERE, "corgi")

    # -- deleting
    async def test_deleting_takes_everything_that_came_from_the_concept(self, store: ConceptStore) -> None:
        gone, other = await learn(store, "Biscuit", 0), await learn(store, "Milo", 1)
        first = (await store.photos(gone.id))[0]
        await store.save_regions(first.id, seen(0))
        await store.add_correction(gone.id, [seen(0)], True, "digest")
        await store.delete_concept(gone.id)
        with pytest.raises(NotFound):
            await store.concept(gone.id)
        with pytest.raises(NotFound):
            await store.thumbnail(gone.id)
        with pytest.raises(NotFound):
            await store.delete_concept(gone.id)
        assert await store.photos(gone.id) == []
        assert await store.regions(gone.id, ENCODER) == []
        assert await store.corrections(gone.id, ENCODER) == []
        assert await store.head(gone.id, ENCODER) is None
        assert await store.embedding(gone.id, VLM) is None
        assert await store.match(scope(), [seen(0)], digest="digest") == []
        assert await store.known(scope()) == [other]

    async def test_deleting_takes_the_training_away_from_its_worker(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        await store.delete_concept(made.id)
        for refused in (
            store.renew(held, LEASE_S),
            store.release(held),
            store.save_head(held, head(0)),
            store.save_embedding(held, embedding()),
            store.fail(held, "no_face"),
        ):
            with pytest.raises(LeaseLost):
                await refused
        assert await store.claim_next("worker", LEASE_S) is None

    async def test_deleting_a_user_takes_what_they_own_and_what_shows_them(self, store: ConceptStore) -> None:
        await create(store, "own here", owner_id=ANNA)
        await create(store, "own in a DM", owner_id=ANNA, guild_id=None)
        await create(store, "Anna", owner_id=BEN, kind=Kind.PERSON, subject_id=ANNA)
        kept = await create(store, "Milo", owner_id=BEN)
        await store.add_correction(kept.id, [seen(0)], True, "by Anna", user_id=ANNA)
        await store.add_correction(kept.id, [seen(1)], True, "by Ben", user_id=BEN)
        await store.give_consent(ANNA, BEN, HOME)
        await store.give_consent(BEN, ANNA, HOME)
        await store.give_consent(BEN, CARA, HOME)
        assert await store.delete_user(ANNA) == 3
        assert await store.known(scope(BEN)) == [kept]
        assert await store.known(scope(ANNA, None)) == []
        assert [one.digest for one in await store.corrections(kept.id, ENCODER)] == ["by Ben"]
        assert not await store.has_consent(ANNA, BEN, HOME)
        assert not await store.has_consent(BEN, ANNA, HOME)
        assert await store.has_consent(BEN, CARA, HOME)
        assert await store.delete_user(ANNA) == 0

    async def test_deleting_a_guild_takes_what_was_taught_and_set_there(self, store: ConceptStore) -> None:
        await create(store, "public", owner_id=ANNA)
        await create(store, "private", owner_id=BEN, private=True)
        kept = await create(store, "away", owner_id=ANNA, guild_id=AWAY)
        for guild_id in (HOME, AWAY):
            await store.set_setting(guild_id, "sensitivity", "high")
            await store.give_consent(ANNA, BEN, guild_id)
        assert await store.delete_guild(HOME) == 2
        assert await store.known(scope(ANNA, None)) == [kept]
        assert await store.known(scope(BEN, None)) == []
        assert await store.setting(HOME, "sensitivity") is None
        assert await store.setting(AWAY, "sensitivity") == "high"
        assert not await store.has_consent(ANNA, BEN, HOME)
        assert await store.has_consent(ANNA, BEN, AWAY)

    # -- what is kept
    async def test_kept_about_counts_what_a_person_owns_or_is_shown_by(self, store: ConceptStore, clock: TestClock) -> None:
        first = await store.create_concept(new("Milo"), [photo(data=b"12345", thumbnail=b"123"), photo(data=b"1", thumbnail=b"1")])
        oldest = clock()
        clock.go_on(60)
        await store.give_consent(ANNA, BEN, HOME)
        await store.create_concept(new("Anna", owner_id=BEN, subject_id=ANNA), [photo(data=b"1234", thumbnail=b"12")])
        await create(store, "Ben's", owner_id=BEN)
        await store.save_regions((await store.photos(first.id))[0].id, seen(0, 1, 2))
        await store.save_head(await claim(store), head(0, 1))
        await store.add_correction(first.id, [seen(0, 1)], False, "digest")
        await store.add_correction(first.id, [], True, "another", ANNA)
        await store.give_consent(CARA, ANNA, HOME)
        kept = await store.kept_about(ANNA)
        assert (kept.concepts, kept.photos, kept.photo_bytes, kept.vectors) == (2, 3, 16, 3 + 2 + 2)
        assert (kept.oldest, kept.names) == (oldest, ("Anna", "Milo"))
        assert (kept.corrections, kept.consents) == (1, 2)
        await store.delete_user(ANNA)
        assert not (await store.kept_about(ANNA)).anything

    async def test_kept_about_a_stranger_is_nothing(self, store: ConceptStore) -> None:
        await create(store)
        kept = await store.kept_about(CARA)
        assert (kept.concepts, kept.photos, kept.photo_bytes, kept.vectors, kept.oldest, kept.names) == (0, 0, 0, 0, None, ())
