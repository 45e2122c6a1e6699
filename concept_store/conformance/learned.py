"""Heads and embeddings: kept exactly, replaced, and never those of another model."""

from __future__ import annotations

import numpy as np
import pytest

from ..errors import NotFound, WrongFingerprint
from ..records import Head, State
from ..store import ConceptStore
from .samples import (
    ENCODER,
    NOWHERE,
    OTHER_ENCODER,
    OTHER_VLM,
    VLM,
    WIDTH,
    Contract,
    claim,
    create,
    embedding,
    head,
    learn,
    scope,
    seen,
)


class LearnedContract(Contract):
    # -- heads
    async def test_a_head_comes_back_exactly(self, store: ConceptStore) -> None:
        made = await create(store)
        random = np.random.default_rng(2)
        vectors, biases = random.normal(size=(3, 40)).astype(np.float32), random.normal(size=3).astype(np.float32)
        await store.save_head(await claim(store), Head(ENCODER, vectors, biases, 3.25, -1 / 3, 0.0625))
        kept = await store.head(made.id, ENCODER)
        assert kept is not None
        assert (kept.encoder, kept.slope, kept.offset, kept.doubtful_at) == (ENCODER, 3.25, -1 / 3, 0.0625)
        assert (kept.vectors.dtype, kept.biases.dtype) == (np.float32, np.float32)
        assert np.array_equal(kept.vectors, vectors)
        assert np.array_equal(kept.biases, biases)
        assert (await store.concept(made.id)).has_head

    async def test_a_head_is_only_found_by_its_encoder(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        assert await store.head(made.id, OTHER_ENCODER) is None
        assert await store.head(NOWHERE, ENCODER) is None

    async def test_each_encoder_has_a_head_and_a_new_one_replaces_it(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        for one in (head(0), head(1, 2), head(3, encoder=OTHER_ENCODER, width=9)):
            await store.save_head(held, one)
        kept, other = await store.head(made.id, ENCODER), await store.head(made.id, OTHER_ENCODER)
        assert kept is not None and np.array_equal(kept.vectors, head(1, 2).vectors)
        assert other is not None and other.vectors.shape == (1, 9)

    async def test_a_head_is_refitted_outside_a_training(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.refit_head(made.id, head(4))
        kept = await store.head(made.id, ENCODER)
        assert kept is not None and np.array_equal(kept.vectors, head(4).vectors)
        assert (await store.concept(made.id)).state == State.READY
        with pytest.raises(NotFound):
            await store.refit_head(NOWHERE, head(0))

    async def test_a_head_that_cannot_belong_to_its_encoder_is_refused(self, store: ConceptStore) -> None:
        await learn(store, "Biscuit", 0)
        made = await create(store, "Milo")
        held = await claim(store)
        for wrong in (head(0, width=WIDTH + 1), head(0, encoder="")):
            with pytest.raises(WrongFingerprint):
                await store.save_head(held, wrong)
            with pytest.raises(WrongFingerprint):
                await store.refit_head(made.id, wrong)
        with pytest.raises(ValueError):
            await store.save_head(held, Head(ENCODER, head(0).vectors, np.zeros(2, np.float32), 1.0, 0.0))
        assert not (await store.concept(made.id)).has_head
        assert len(await store.match(scope(), [seen(0)])) == 1, "the others are still matched"

    # -- embeddings
    async def test_an_unfinished_embedding_is_kept_and_the_training_goes_on(self, store: ConceptStore) -> None:
        made = await create(store)
        held = await claim(store)
        await store.save_embedding(held, embedding(5, finished=False, data=b"five"), sample="A dog.")
        await store.save_embedding(held, embedding(10, finished=False, data=b"ten"))
        now = await store.concept(made.id)
        assert (now.state, now.has_embedding, now.sample) == (State.TRAINING, False, "A dog.")
        assert await store.embedding(made.id, VLM) == embedding(10, finished=False, data=b"ten")
        assert await store.progress(made.id, VLM) == embedding(10, finished=False, data=b"ten")
        await store.save_embedding(held, embedding(40, data=b"all"))
        assert await store.embedding(made.id, VLM) == embedding(40, data=b"all")
        assert await store.progress(made.id, VLM) is None

    async def test_an_embedding_is_never_given_to_another_model(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        assert await store.embedding(made.id, VLM) == embedding()
        assert await store.embedding(made.id, OTHER_VLM) is None
        assert await store.progress(made.id, OTHER_VLM) is None
        assert await store.embedding(NOWHERE, VLM) is None

    async def test_each_model_has_its_own_embedding(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.retry(made.id)
        await store.save_embedding(await claim(store), embedding(vlm=OTHER_VLM, data=b"other"))
        assert await store.embedding(made.id, VLM) == embedding()
        assert await store.embedding(made.id, OTHER_VLM) == embedding(vlm=OTHER_VLM, data=b"other")

    async def test_a_finished_embedding_stays_in_use_until_the_next_is_finished(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await store.retry(made.id)
        held = await claim(store)
        await store.save_embedding(held, embedding(5, finished=False, data=b"part"))
        assert await store.embedding(made.id, VLM) == embedding()
        assert await store.progress(made.id, VLM) == embedding(5, finished=False, data=b"part")
        await store.save_embedding(held, embedding(30, data=b"new"))
        assert await store.embedding(made.id, VLM) == embedding(30, data=b"new")
        assert await store.progress(made.id, VLM) is None

    async def test_an_embedding_of_no_model_is_refused(self, store: ConceptStore) -> None:
        made = await create(store)
        with pytest.raises(WrongFingerprint):
            await store.save_embedding(await claim(store), embedding(vlm=""))
        assert (await store.concept(made.id)).state == State.TRAINING

    # -- after the engine's models have changed
    async def test_what_other_models_learned_is_outdated(self, store: ConceptStore) -> None:
        made = await learn(store, "Biscuit", 0)
        await create(store, "queued")
        assert await store.outdated([OTHER_ENCODER, ENCODER], VLM) == []
        assert await store.outdated([OTHER_ENCODER], VLM) == [made]
        assert await store.outdated([ENCODER], OTHER_VLM) == [made]
        assert await store.outdated([], VLM) == [made]
