"""Opening and closing."""

from __future__ import annotations

import pytest

from ..errors import StoreClosed
from ..store import ConceptStore
from .samples import Contract, create, new, photo, scope


class LifeContract(Contract):
    async def test_an_open_store_is_healthy_and_a_closed_one_is_not(self, store: ConceptStore) -> None:
        assert await store.healthy()
        await store.close()
        assert not await store.healthy()

    async def test_closing_twice_is_fine(self, store: ConceptStore) -> None:
        await store.close()
        await store.close()

    async def test_a_closed_store_says_so(self, store: ConceptStore) -> None:
        concept = await create(store)
        await store.close()
        with pytest.raises(StoreClosed):
            await store.concept(concept.id)
        with pytest.raises(StoreClosed):
            await store.create_concept(new("Milo"), [photo()])
        with pytest.raises(StoreClosed):
            await store.match(scope(), [])
