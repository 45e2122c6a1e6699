"""The test kit for authors of stores: every promise of the ConceptStore Protocol as a test.

    class TestMyStore(ConceptStoreContract):           # and SharedStoreContract, where several processes may open it
        @pytest.fixture
        def opener(self, tmp_path):                    # opens the same, at first empty, data at every call within a test
            return lambda clock: open_my_store(f"mine://{tmp_path}", clock=clock)

`clock` is a callable that returns the aware UTC time; the store must go by it. Needs pytest and pytest-asyncio (asyncio_mode=auto);
`pytest.register_assert_rewrite("concept_store.conformance")` in conftest.py shows values when an assertion fails. Nothing but tests
imports this package.
"""

from __future__ import annotations

from .concepts import ConceptsContract
from .corrections import CorrectionsContract
from .guilds import GuildsContract
from .learned import LearnedContract
from .life import LifeContract
from .matches import MatchesContract
from .photos import PhotosContract
from .samples import TestClock
from .shared import SharedStoreContract
from .training import TrainingContract


class ConceptStoreContract(
    LifeContract, ConceptsContract, PhotosContract, TrainingContract, LearnedContract, MatchesContract, CorrectionsContract, GuildsContract
):
    """All that one open store must do."""


__all__ = ["ConceptStoreContract", "SharedStoreContract", "TestClock"]
