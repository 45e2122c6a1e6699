"""Converting the language model once, whoever else converts it at the same time. Real weights."""

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.pocket import weights  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    try:
        weights.gguf_path()
    except weights.PocketMissing as missing:
        pytest.skip(f"the embedded VLM isn't installed: {missing}")
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path))


def test_a_folder_another_process_finished_first_is_kept(tmp_path):
    folder = tmp_path / "pocket-x"
    weights._convert(weights.SHIPPED, folder)
    before = (folder / "model.safetensors").stat().st_ino
    weights._convert(weights.SHIPPED, folder)
    assert (folder / "model.safetensors").stat().st_ino == before
    assert [p.name for p in tmp_path.iterdir()] == ["pocket-x"]
