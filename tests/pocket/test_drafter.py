"""The drafter and how trained parameters are packed: small random ones, no photo and no trained weights."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from myvlm_engine.pocket.dataset import Example  # noqa: E402
from myvlm_engine.pocket.drafter import MAX_WORDS, SPECIAL, Beside, Drafter, Vocabulary, caption_words  # noqa: E402
from myvlm_engine.pocket.prompts import Hints, prefix_texts  # noqa: E402
from myvlm_engine.pocket.run_folder import RunFolder  # noqa: E402
from myvlm_engine.pocket.train_drafter import drafter_rows, unseen_rows  # noqa: E402
from myvlm_engine.pocket.vision import TOKEN_CHANNELS  # noqa: E402
from myvlm_engine.pocket.weights import from_six_bits, pack, six_bits, unpack  # noqa: E402


@pytest.fixture(scope="module")
def drafter() -> Drafter:
    torch.manual_seed(0)
    return Drafter(Vocabulary([*SPECIAL, "a", "dog", "runs", "through", "snow"])).eval()


def test_words_are_counted_and_rare_ones_are_left_out():
    vocabulary = Vocabulary.of(["A dog runs."] * 4 + ["A zeppelin!"])
    assert vocabulary.words == (*SPECIAL, "a", "dog", "runs")
    assert vocabulary.decode(vocabulary.encode("A dog runs over a zeppelin.")) == "a dog runs a"


def test_captions_become_words_with_their_apostrophes():
    assert caption_words("A man's well-worn hat, 2 dogs.") == ["a", "man's", "well-worn", "hat", "2", "dogs"]


def test_a_draft_has_only_known_words_and_is_the_same_twice(drafter):
    features = torch.randn(2, 26, TOKEN_CHANNELS)
    drafts = drafter.drafts(features)
    assert drafts == drafter.drafts(features) and len(drafts) == 2
    assert all(set(d.split()) <= {"a", "dog", "runs", "through", "snow"} and len(d.split()) <= MAX_WORDS + 1 for d in drafts)


def test_two_drafters_write_by_the_mean_of_their_probabilities(drafter):
    torch.manual_seed(1)
    second, features = Drafter(drafter.vocabulary).eval(), torch.randn(2, 26, TOKEN_CHANNELS)
    assert drafter.drafts(features, drafter) == drafter.drafts(features)  # the mean of the same is the same
    ids = torch.tensor([[1], [1], [1], [1]])  # two photos of two beams
    own = torch.randn(4, 9)
    mixed = Beside(second, features)(ids, own)
    other = torch.stack([second.logits(second.encode(f[None]).last_hidden_state, ids[:1])[0, 0].softmax(-1) for f in features])
    assert torch.allclose(mixed.exp(), (own.softmax(-1) + other.repeat_interleave(2, 0)) / 2, atol=1e-5)


def test_numbers_of_six_bits_come_back_whole():
    whole = torch.randint(-31, 32, (5, 11), dtype=torch.int8)
    packed = six_bits(whole)
    assert packed.shape == (5, 9) and packed.dtype == torch.uint8
    assert torch.equal(from_six_bits(packed, 11), whole)


@pytest.mark.parametrize(("prefix", "most"), [("drafter.", 31), ("projector.", 127)])
def test_drafters_are_packed_in_six_bits_and_the_rest_in_eight(tmp_path: Path, prefix: str, most: int):
    value = torch.randn(64, 70)
    pack({f"{prefix}x": value}, tmp_path / "x.safetensors", {})
    tensors, _ = unpack(tmp_path / "x.safetensors")
    assert list(tensors) == [f"{prefix}x"]
    error = (tensors[f"{prefix}x"] - value).abs() / value.abs().amax(1, keepdim=True)
    assert 0.2 / most < error.max() <= 0.55 / most


def test_a_training_goes_on_from_its_folder_and_a_stop_while_saving_loses_nothing(tmp_path: Path):
    folder = RunFolder(tmp_path, "draft")
    assert folder.load() is None
    folder.save({"step": 3, "x": torch.ones(2)})
    (tmp_path / "draft.partial").write_bytes(b"half a checkpoint")
    folder.log(3, loss=1.5)
    state = RunFolder(tmp_path, "draft").load()
    assert state and state["step"] == 3
    assert '"run": "draft", "step": 3' in (tmp_path / "log.jsonl").read_text()


def test_what_is_packed_is_read_back_to_within_half_a_step_and_drafts_the_same(drafter, tmp_path: Path):
    pack(drafter.plain(), tmp_path / "x.safetensors", {"note": "small"})
    tensors, facts = unpack(tmp_path / "x.safetensors")
    assert facts["note"] == "small"
    for name, value in drafter.plain().items():
        step = value.abs().amax(-1, keepdim=True) / 127 if value.dim() == 2 else value.abs() / 500 + 1e-6
        assert ((tensors[name] - value).abs() <= 0.51 * step + 1e-3 * value.abs()).all(), name
    read = Drafter(drafter.vocabulary).eval()
    read.load_plain(tensors)
    features = torch.randn(1, 26, TOKEN_CHANNELS)
    before, after = (d.encode(features).last_hidden_state for d in (drafter, read))
    assert torch.nn.functional.cosine_similarity(before.flatten(), after.flatten(), dim=0) > 0.999


def test_a_missing_tensor_is_an_error_not_a_random_number(drafter):
    with pytest.raises(KeyError):
        Drafter(drafter.vocabulary).load_plain({})


def test_the_language_model_learns_only_from_photos_the_drafter_never_saw():
    sources = ["flickr8k"] * 12 + ["coco_mix"] * 4 + ["daquar", "imagenet"]
    examples = [Example(Path(f"{i}.jpg"), s, "dev" if i == 5 else "train", {}) for i, s in enumerate(sources)]
    seen, unseen = drafter_rows(examples), unseen_rows(examples)
    assert not set(seen) & set(unseen) and sorted([*seen, *unseen]) == [i for i in range(18) if i != 5]
    assert [examples[i].source for i in unseen] == ["flickr8k", "flickr8k", "coco_mix", "coco_mix", "daquar", "imagenet"]


def test_hints_that_are_not_there_take_no_room_in_the_prompt():
    assert prefix_texts() == ("<|im_start|>user\n", "\n")
    before, _ = prefix_texts(Hints(["dog"], ["snow"], "a dog runs"))
    assert before == "<|im_start|>user\nSeems to show: dog.\nWords: snow.\nDraft: a dog runs.\n"
