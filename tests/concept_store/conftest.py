import pytest

pytest.register_assert_rewrite("concept_store.conformance")
