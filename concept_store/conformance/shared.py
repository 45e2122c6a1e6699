"""Several stores on the same data: what one did the other knows, and no two do the same work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ..errors import LeaseLost, NameTaken, NotFound
from ..records import Concept, ConceptId, State
from ..store import ConceptStore
from .samples import (
    ANNA,
    ENCODER,
    HOME,
    LEASE_S,
    VLM,
    Contract,
    Opener,
    TestClock,
    claim,
    create,
    embedding,
    head,
    learn,
    names,
    scope,
    seen,
)


class SharedStoreContract(Contract):
    @pytest_asyncio.fixture
    async def other(self, store: ConceptStore, opener: Opener, clock: TestClock) -> AsyncIterator[ConceptStore]:
        other = await opener(clock)
        yield other
        await other.close()

    async def test_everything_is_there_after_reopening(self, store: ConceptStore, opener: Opener, clock: TestClock) -> None:
        made = await learn(store, "Biscuit", 0)
        waiting = await create(store, "Milo")
        await store.set_setting(HOME, "people", True)
        await store.add_correction(made.id, [seen(1)], False, "photo")
        photos = await store.photos(made.id)
        await store.close()
        again = await opener(clock)
        try:
            assert await again.known(scope()) == [made, waiting]
            assert await again.photos(made.id) == photos
            assert await again.embedding(made.id, VLM) == embedding()
            assert [match.concept for match in await again.match(scope(), [seen(0)])] == [made]
            assert [one.digest for one in await again.corrections(made.id, ENCODER)] == ["photo"]
            assert await again.setting(HOME, "people") is True
            assert (await claim(again)).concept_id == waiting.id
        finally:
            await again.close()

    async def test_many_may_open_it_at_once(self, opener: Opener, clock: TestClock) -> None:
        stores = await asyncio.gather(*(opener(clock) for _ in range(4)))
        try:
            await asyncio.gather(*(create(store, f"concept {number}") for number, store in enumerate(stores)))
            for store in stores:
                assert len(await store.known(scope())) == 4
        finally:
            await asyncio.gather(*(store.close() for store in stores))

    async def test_a_name_is_given_once(self, store: ConceptStore, other: ConceptStore) -> None:
        asked = [create(one, "Biscuit", owner_id=ANNA + number) for number in range(10) for one in (store, other)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, Concept) for answer in answers) == 1
        assert sum(isinstance(answer, NameTaken) for answer in answers) == 19

    async def test_nothing_is_claimed_twice(self, store: ConceptStore, other: ConceptStore) -> None:
        made = {(await create(store, f"concept {number}", photos=1)).id for number in range(30)}

        async def work(one: ConceptStore, worker: str) -> list[ConceptId]:
            mine = []
            while held := await one.claim_next(worker, LEASE_S):
                mine.append(held.concept_id)
            return mine

        shares = await asyncio.gather(*(work(one, f"{at}{number}") for number in range(3) for at, one in enumerate((store, other))))
        claimed = [concept_id for share in shares for concept_id in share]
        assert len(claimed) == len(set(claimed)) == 30
        assert set(claimed) == made

    async def test_a_lease_lost_to_another_process_is_lost(self, store: ConceptStore, other: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        lost = await claim(store)
        clock.go_on(LEASE_S)
        held = await claim(other)
        with pytest.raises(LeaseLost):
            await store.save_embedding(lost, embedding())
        await other.save_embedding(held, embedding())
        assert (await store.concept(made.id)).state == State.READY

    async def test_heads_that_another_process_changed_are_matched(self, store: ConceptStore, other: ConceptStore) -> None:
        first = await learn(other, "first", 0)
        photo = [seen(0, 1, boxes=((0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)))]
        assert [match.concept.name for match in await store.match(scope(), photo)] == ["first"]
        await learn(other, "second", 1)
        assert {match.concept.name for match in await store.match(scope(), photo)} == {"first", "second"}
        await other.refit_head(first.id, head(4))
        assert [match.concept.name for match in await store.match(scope(), photo)] == ["second"]
        await other.delete_user(ANNA)
        assert await store.match(scope(), photo) == []

    async def test_what_another_process_deleted_is_gone(self, store: ConceptStore, other: ConceptStore) -> None:
        made = await create(store)
        await other.delete_concept(made.id)
        with pytest.raises(NotFound):
            await store.concept(made.id)
        await create(store, "Biscuit")
        assert names(await other.known(scope())) == ["Biscuit"]
