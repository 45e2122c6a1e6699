"""A language model that writes from 8-bit matrices: against the float32 one, on a small random Llama."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from myvlm_engine.pocket import eight_bits  # noqa: E402
from myvlm_engine.pocket.eight_bits import EightBitLinear, eight_bits_are_fast, in_eight_bits  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_product_is_the_float32_one_to_a_hundredth(rows):
    torch.manual_seed(rows)
    linear, x = nn.Linear(576, 192, bias=False), torch.randn(2, rows, 576)
    with torch.no_grad():
        exact, found = linear(x), EightBitLinear(linear)(x)
    assert found.shape == exact.shape and found.dtype == torch.float32
    assert (found - exact).norm() < 0.01 * exact.norm()


def test_a_row_of_nothing_stays_nothing():
    linear = nn.Linear(64, 32, bias=False)
    with torch.no_grad():
        linear.weight[3] = 0
        found = EightBitLinear(linear)(torch.randn(2, 64))
    assert (found[:, 3] == 0).all() and found.isfinite().all()


def test_what_it_writes_is_nearly_as_likely_and_the_model_itself_stays_as_it_was(llama):
    ids = torch.arange(1, 21)[None]
    before = llama(ids).logits
    writer = in_eight_bits(llama)
    assert torch.equal(llama(ids).logits, before)
    assert not torch.equal(writer(ids).logits, before)
    found, exact = (logits.log_softmax(-1) for logits in (writer(ids).logits, before))
    assert nn.functional.kl_div(found, exact, log_target=True, reduction="batchmean") / ids.numel() < 1e-4


def test_all_but_the_matrices_is_shared(llama):
    writer = in_eight_bits(llama)
    assert writer.config is llama.config and writer.generation_config is llama.generation_config
    shared = {id(p) for p in llama.parameters()}
    assert {id(p) for p in writer.parameters()} <= shared
    assert sum(isinstance(m, EightBitLinear) for m in writer.modules()) == sum(isinstance(m, nn.Linear) for m in llama.modules()) == 15
    assert not any(isinstance(m, nn.Linear) for m in writer.modules())


def test_the_same_words_are_generated(llama):
    """Greedily, where the float32 model isn't torn between two words."""
    asked = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_scores": True}
    writer, same = in_eight_bits(llama), 0
    for first in range(1, 21):
        exact = llama.generate(torch.tensor([[first, 7]]), **asked)
        best = torch.stack(exact.scores).topk(2).values[:, 0]
        if (best[:, 0] - best[:, 1]).min() > 0.01:
            same += 1
            assert torch.equal(writer.generate(torch.tensor([[first, 7]]), **asked).sequences, exact.sequences)
    assert same >= 3


@pytest.mark.parametrize(
    ("capability", "machine", "system", "fast"),
    [
        ("AVX512", "x86_64", "linux", True),
        ("AVX2", "AMD64", "win32", False),
        ("DEFAULT", "arm64", "darwin", True),
        ("DEFAULT", "aarch64", "linux", True),
        ("NO AVX", "x86_64", "linux", False),
    ],
)
def test_it_is_used_where_the_product_is_vectorised(monkeypatch, capability, machine, system, fast):
    monkeypatch.setattr(eight_bits.sys, "platform", system)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(eight_bits.platform, "machine", lambda: machine)
    assert eight_bits_are_fast(CPU) is fast
    assert not eight_bits_are_fast(torch.device("cuda"))


def test_a_torch_without_that_product_writes_as_before(monkeypatch):
    monkeypatch.delattr(torch, "_weight_int8pack_mm")
    assert not eight_bits_are_fast(CPU)
