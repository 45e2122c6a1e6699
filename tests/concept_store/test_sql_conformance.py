"""The SQL store keeps every promise of the Protocol, in a file and in memory."""

from pathlib import Path

import pytest

from concept_store.conformance import ConceptStoreContract, SharedStoreContract
from concept_store.sql import open_sql_store


class TestInAFile(ConceptStoreContract, SharedStoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path):
        return lambda clock: open_sql_store(f"sqlite:///{tmp_path}/data/store.sqlite3", clock)


class TestInMemory(ConceptStoreContract):
    @pytest.fixture
    def opener(self):
        return lambda clock: open_sql_store("sqlite://", clock)
