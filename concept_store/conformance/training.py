"""The queue: claims, leases, attempts, positions, last words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from ..errors import LeaseLost, NotFound
from ..records import Announce, State
from ..store import ConceptStore
from .samples import ENCODER, LEASE_S, NOWHERE, VLM, Contract, TestClock, claim, create, embedding, head, learn


class TrainingContract(Contract):
    # -- claiming
    async def test_the_oldest_is_claimed_first(self, store: ConceptStore, clock: TestClock) -> None:
        made = [await create(store, name) for name in ("c", "a", "b")]
        assert [(await claim(store)).concept_id for _ in made] == [one.id for one in made]
        assert await store.claim_next("worker", LEASE_S) is None

    async def test_a_claim_says_who_has_what_until_when(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        held = await claim(store, "anna's machine")
        assert (held.concept_id, held.worker, held.expires_at) == (made.id, "anna's machine", clock() + timedelta(seconds=LEASE_S))
        now = await store.concept(made.id)
        assert (now.state, now.attempts) == (State.TRAINING, 1)

    async def test_many_workers_never_get_the_same(self, store: ConceptStore) -> None:
        made = {(await create(store, f"concept {number}")).id for number in range(10)}
        claims = await asyncio.gather(*(store.claim_next(f"worker {number}", LEASE_S) for number in range(20)))
        assert {held.concept_id for held in claims if held} == made
        assert sum(held is None for held in claims) == 10

    async def test_a_lease_that_ran_out_is_claimed_again_and_counted(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        await claim(store, "killed")
        clock.go_on(LEASE_S - 1)
        assert await store.claim_next("next", LEASE_S) is None
        clock.go_on(1)
        held = await claim(store, "next")
        assert (held.concept_id, held.worker) == (made.id, "next")
        assert (await store.concept(made.id)).attempts == 2

    async def test_whose_lease_ran_out_keeps_its_place(self, store: ConceptStore, clock: TestClock) -> None:
        first = await create(store, "first")
        await claim(store)
        await create(store, "second")
        clock.go_on(LEASE_S)
        assert (await claim(store)).concept_id == first.id

    async def test_who_has_lost_the_lease_can_do_nothing(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        lost = await claim(store, "worker")
        clock.go_on(LEASE_S)
        held = await claim(store, "worker")  # the same worker's later hold is another one
        for refused in (
            store.renew(lost, LEASE_S),
            store.release(lost),
            store.save_head(lost, head(0)),
            store.save_embedding(lost, embedding()),
            store.fail(lost, "no_face"),
        ):
            with pytest.raises(LeaseLost):
                await refused
        now = await store.concept(made.id)
        assert (now.state, now.attempts, now.has_head, now.has_embedding) == (State.TRAINING, 2, False, False)
        await store.save_embedding(held, embedding())

    async def test_a_lease_that_ran_out_is_good_until_somebody_takes_it(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        held = await claim(store)
        clock.go_on(10 * LEASE_S)
        await store.save_head(held, head(0))
        renewed = await store.renew(held, LEASE_S)
        assert renewed.expires_at == clock() + timedelta(seconds=LEASE_S)
        assert await store.claim_next("other", LEASE_S) is None
        await store.save_embedding(renewed, embedding())
        assert (await store.concept(made.id)).state == State.READY

    async def test_a_renewed_lease_holds_from_now_on(self, store: ConceptStore, clock: TestClock) -> None:
        await create(store)
        held = await claim(store)
        clock.go_on(LEASE_S - 1)
        renewed = await store.renew(held, LEASE_S)
        assert (renewed.concept_id, renewed.worker) == (held.concept_id, held.worker)
        clock.go_on(LEASE_S - 1)
        assert await store.claim_next("other", LEASE_S) is None
        clock.go_on(1)
        assert await store.claim_next("other", LEASE_S) is not None

    async def test_the_claim_from_before_a_renewal_is_the_same_hold(self, store: ConceptStore, clock: TestClock) -> None:
        await create(store)
        held = await claim(store)
        await store.renew(held, LEASE_S)
        await store.save_head(held, head(0))

    async def test_a_release_counts_no_attempt_and_keeps_the_place(self, store: ConceptStore) -> None:
        first, second = await create(store, "first"), await create(store, "second")
        held = await claim(store)
        await store.release(held)
        now = await store.concept(first.id)
        assert (now.state, now.attempts) == (State.QUEUED, 0)
        with pytest.raises(LeaseLost):
            await store.renew(held, LEASE_S)
        assert [(await claim(store)).concept_id for _ in range(2)] == [first.id, second.id]
        assert (await store.concept(first.id)).attempts == 1

    # -- endings
    async def test_a_finished_embedding_makes_it_ready_and_ends_the_claim(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        held = await claim(store)
        clock.go_on(30)
        await store.save_embedding(held, embedding(), sample="Biscuit is on the ground.")
        now = await store.concept(made.id)
        assert (now.state, now.ready_at, now.sample, now.failure) == (State.READY, clock(), "Biscuit is on the ground.", None)
        assert now.has_embedding
        assert not now.announced
        with pytest.raises(LeaseLost):
            await store.renew(held, LEASE_S)
        clock.go_on(LEASE_S)
        assert await store.claim_next("other", LEASE_S) is None

    async def test_a_failure_is_kept_and_ends_the_claim(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        held = await claim(store)
        await store.save_head(held, head(0))
        await store.fail(held, "out_of_memory")
        now = await store.concept(made.id)
        assert (now.state, now.failure, now.attempts, now.ready_at) == (State.FAILED, "out_of_memory", 1, None)
        assert now.has_head, "what was learned stays"
        with pytest.raises(LeaseLost):
            await store.fail(held, "again")
        clock.go_on(LEASE_S)
        assert await store.claim_next("other", LEASE_S) is None

    # -- again
    async def test_what_failed_can_be_tried_again(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.fail(await claim(store), "internal")
        await store.mark_announced(made.id)
        again = await store.retry(made.id)
        assert (again.state, again.attempts, again.failure, again.announced) == (State.QUEUED, 0, None, False)
        assert again.announce == made.announce
        assert (await claim(store)).concept_id == made.id

    async def test_what_is_ready_can_be_learned_again_and_stays_in_use_meanwhile(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        again = await store.retry(made.id, announce=Announce(5, 6, "fr"))
        assert (again.state, again.has_head, again.has_embedding) == (State.QUEUED, True, True)
        assert again.announce == Announce(5, 6, "fr")
        assert await store.embedding(made.id, VLM) == embedding()
        assert await store.head(made.id, ENCODER) is not None

    async def test_a_retry_goes_to_the_end_of_the_line(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        other = await create(store, "Milo")
        await store.retry(made.id)
        last = await create(store, "Anna")
        assert [(await claim(store)).concept_id for _ in range(3)] == [other.id, made.id, last.id]

    async def test_a_retry_changes_nothing_while_it_waits_or_trains(self, store: ConceptStore) -> None:
        made = await create(store)
        assert await store.retry(made.id) == made
        await claim(store)
        training = await store.concept(made.id)
        assert await store.retry(made.id, announce=Announce(5, 6)) == training
        with pytest.raises(NotFound):
            await store.retry(NOWHERE)

    # -- the line
    async def test_the_line_is_counted_from_who_is_next(self, store: ConceptStore) -> None:
        ready = await learn(store, "done", 0)
        made = [await create(store, f"concept {number}") for number in range(4)]
        assert [await store.queue_position(one.id) for one in made] == [1, 2, 3, 4]
        assert await store.queue_length() == 4
        held = await claim(store)
        assert [await store.queue_position(one.id) for one in made] == [0, 1, 2, 3]
        assert await store.queue_length() == 3
        await store.release(held)
        assert [await store.queue_position(one.id) for one in made] == [1, 2, 3, 4]
        await store.fail(await claim(store), "internal")
        await store.delete_concept(made[1].id)
        assert [await store.queue_position(made[number].id) for number in (0, 2, 3)] == [0, 1, 2]
        assert await store.queue_position(ready.id) == 0
        with pytest.raises(NotFound):
            await store.queue_position(NOWHERE)

    async def test_whose_lease_ran_out_waits_again(self, store: ConceptStore, clock: TestClock) -> None:
        first = await create(store, "first")
        await claim(store)
        second = await create(store, "second")
        clock.go_on(LEASE_S)
        assert [await store.queue_position(one.id) for one in (first, second)] == [1, 2]
        assert await store.queue_length() == 2

    async def test_whoever_waits_for_its_turn_has_made_no_attempt(self, store: ConceptStore, clock: TestClock) -> None:
        made = await create(store)
        for _ in range(3):  # killed while it waits
            held = await claim(store)
            await store.waits(held, True)
            assert (await store.concept(made.id)).attempts == 0
            clock.go_on(2 * LEASE_S)
        with pytest.raises(LeaseLost):
            await store.waits(replace(held, token="another's"), False)
        again = await claim(store)
        await store.waits(again, True)
        await store.waits(again, False)
        assert (await store.concept(made.id)).attempts == 1

    # -- last words
    async def test_the_last_word_is_owed_once_for_what_is_ready_or_failed(self, store: ConceptStore) -> None:
        ready = await learn(store, "ready", 0)
        failed = await create(store, "failed")
        await store.fail(await claim(store), "internal")
        await create(store, "training")
        await claim(store)
        await create(store, "queued")
        assert [one.id for one in await store.unannounced()] == [ready.id, failed.id]
        await store.mark_announced(ready.id)
        assert [one.id for one in await store.unannounced()] == [failed.id]
        assert (await store.concept(ready.id)).announced
        await store.mark_announced(NOWHERE)

    async def test_what_is_said_of_a_training_is_not_said_of_the_next(self, store: ConceptStore) -> None:
        made = await create(store)
        await store.fail(await claim(store), "internal")
        failed = await store.concept(made.id)
        again = await store.retry(made.id)
        assert again.ticket != failed.ticket
        await store.fail(await claim(store), "internal")
        await store.mark_announced(made.id, failed.ticket)
        assert [one.id for one in await store.unannounced()] == [made.id]
        with pytest.raises(NotFound):
            await store.delete_concept(made.id, failed.ticket)
        await store.mark_announced(made.id, again.ticket)
        assert await store.unannounced() == []
        await store.delete_concept(made.id, again.ticket)
        with pytest.raises(NotFound):
            await store.concept(made.id)

    async def test_the_message_to_edit_can_be_told_later(self, store: ConceptStore) -> None:
        made, nowhere = await create(store), await create(store, "Milo", announce=None)
        await store.set_announce_message(made.id, 2**62 + 9)
        assert (await store.concept(made.id)).announce == Announce(77, 2**62 + 9, "de")
        await store.set_announce_message(nowhere.id, 5)
        assert (await store.concept(nowhere.id)).announce is None
        await store.set_announce_message(NOWHERE, 5)
