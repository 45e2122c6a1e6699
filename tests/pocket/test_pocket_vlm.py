"""The embedded VLM behind its Protocol: cached against uncached, named against base, gradients only in e. Real weights."""

import pytest

torch = pytest.importorskip("torch")

from PIL import Image, ImageDraw  # noqa: E402

from myvlm_engine.pocket.prompts import answer_opening, prefix_texts  # noqa: E402
from myvlm_engine.pocket.tree import encode  # noqa: E402
from myvlm_engine.vlms.base import Asked, Decoding, Target, generate  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vlm():
    from myvlm_engine.pocket.weights import SHIPPED, PocketMissing, gguf_path
    from myvlm_engine.vlms.pocket import load_pocket

    try:
        gguf_path()
    except PocketMissing as missing:
        pytest.skip(f"the embedded VLM isn't installed: {missing}")
    assert SHIPPED.is_file(), "the trained weights must ship with the package"
    return load_pocket()


@pytest.fixture(scope="module")
def views(vlm):
    return vlm.views([picture("green"), picture("white", 300, 200)])


def picture(colour, width=320, height=320):
    image = Image.new("RGB", (width, height), colour)
    ImageDraw.Draw(image).ellipse((60, 60, 180, 150), fill="brown")
    return image


def plain_loss(vlm, view, concepts, prompt, text):
    """Mean token cross-entropy of `text`, everything in one uncached forward pass."""
    ids = encode(vlm.tokenizer, prefix_texts()[1] + answer_opening(prompt))
    said = encode(vlm.tokenizer, text + "<|im_end|>")
    scaled = torch.nn.functional.normalize(concepts, dim=-1) * vlm.embedding_norm
    embeds = torch.cat([view.state.prefix, scaled, vlm._embed(ids), vlm._embed(said[:-1])])[None]
    logits = vlm.lm(inputs_embeds=embeds).logits[0, -len(said) :]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(said))


def test_cached_losses_are_the_plain_ones_in_mixed_batches(vlm, views):
    concepts = torch.randn(3, vlm.width, generator=torch.Generator().manual_seed(1))
    targets = [Target(1, "What is it?", "a ball"), Target(0, None, "Rex runs."), Target(1, None, "Rex sits on a sofa.")]
    with torch.no_grad():
        found = vlm.losses(views, targets, concepts, "Rex", attention=False).cross_entropy
        expected = [plain_loss(vlm, views[t.view], concepts, t.prompt or "Describe this photo.", t.text) for t in targets]
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-4, rtol=1e-3)


def test_concepts_that_learn_in_one_batch_lose_what_each_loses_alone(vlm, views):
    ours, theirs = (torch.randn(k, vlm.width, generator=torch.Generator().manual_seed(k)).requires_grad_(True) for k in (3, 1))
    asked = [
        Asked(views, [Target(1, "What is it?", "Rex"), Target(0, None, "Rex runs."), Target(1, None, "Rex sits on a sofa.")], ours, "Rex"),
        Asked(views[1:], [Target(0, None, "A photo of Biscuit on the grass.")], theirs, "Biscuit"),
    ]
    together = vlm.losses_together(asked, attention=True)
    alone = [vlm.losses(a.views, a.targets, a.concepts, a.identifier, attention=True) for a in asked]
    for column in ("cross_entropy", "attention", "name_probability"):
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(getattr(one, column), getattr(other, column), atol=3e-4, rtol=2e-3)
    lost = lambda found: found.cross_entropy.mean() + found.attention.mean()
    mine = torch.autograd.grad(sum(map(lost, together)), [ours, theirs])
    for gradient, found, a in zip(mine, alone, asked, strict=True):
        torch.testing.assert_close(gradient, torch.autograd.grad(lost(found), a.concepts)[0], atol=1e-4, rtol=2e-2)


def test_recording_attention_changes_no_loss_and_equals_materialised_maps(vlm, views):
    concepts = torch.randn(1, vlm.width, generator=torch.Generator().manual_seed(2))
    targets = [Target(0, None, "Rex runs.")]
    with torch.no_grad():
        plain = vlm.losses(views, targets, concepts, "Rex", attention=False)
        recorded = vlm.losses(views, targets, concepts, "Rex", attention=True)
    torch.testing.assert_close(plain.cross_entropy, recorded.cross_entropy, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(recorded.attention[0], materialised(vlm, views[0], concepts, "Rex runs."), atol=1e-5, rtol=1e-2)


def materialised(vlm, view, concepts, text):
    """R(e) from whole attention maps: mean over layers, heads and answering tokens of P[token -> concept]^2."""
    ids = encode(vlm.tokenizer, prefix_texts()[1] + answer_opening("Describe this photo."))
    said = encode(vlm.tokenizer, text + "<|im_end|>")
    scaled = torch.nn.functional.normalize(concepts, dim=-1) * vlm.embedding_norm
    embeds = torch.cat([view.state.prefix, scaled, vlm._embed(ids), vlm._embed(said[:-1])])[None]
    vlm.lm.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            maps = vlm.lm(inputs_embeds=embeds, output_attentions=True).attentions
    finally:
        vlm.lm.set_attn_implementation("concept_column")
    column = len(view.state.prefix)
    return torch.stack([m[0, :, -len(said) :, column].pow(2).mean() for m in maps]).mean()


def test_gradients_reach_e_and_nothing_else(vlm, views):
    e = torch.randn(2, vlm.width, requires_grad=True)
    found = vlm.losses(views, [Target(0, None, "Rex runs."), Target(1, None, "Rex sits.")], e, "Rex", attention=True)
    (found.cross_entropy.mean() + found.attention.mean()).backward()
    assert e.grad is not None and e.grad.abs().sum() > 0
    assert all(p.grad is None for p in [*vlm.lm.parameters(), *vlm.trained.projector.parameters()])


def test_the_name_probability_is_that_of_its_tokens(vlm, views):
    with torch.no_grad():
        none = torch.zeros(0, vlm.width)
        found = vlm.losses(views, [Target(0, None, "Rex runs."), Target(0, None, "A dog runs.")], none, "Rex", attention=False)
    assert 0 < found.name_probability[0] < 0.5 and found.name_probability[1] == 1


def test_forbidden_words_are_never_said(vlm, views):
    said = generate(vlm, views[0])
    word = max(said.rstrip(".").split(), key=len)
    assert word.lower() not in generate(vlm, views[0], decoding=Decoding(forbidden=(word,))).lower().split()


def test_an_answer_begins_as_it_is_told_to(vlm, views):
    assert generate(vlm, views[0], decoding=Decoding(opening="A dog")).startswith("A dog")


def test_the_same_photo_is_described_the_same_after_a_concept_was_used(vlm, views):
    before = generate(vlm, views[0])
    generate(vlm, views[0], concepts=torch.randn(1, vlm.width))
    assert generate(vlm, views[0]) == before


def test_on_an_apple_gpu_it_stays_on_the_cpu():
    from myvlm_engine.vlms.base import load_vlm

    asked = load_vlm("pocket", "mps")
    assert asked.device == "cpu" and next(asked.lm.parameters()).device.type == "cpu"


def test_it_writes_from_eight_bits_what_it_learned_in_float32(vlm, views):
    """Two of three sentences the same at least; the others differ in a word that was as likely."""
    from myvlm_engine.pocket.eight_bits import EightBitLinear, eight_bits_are_fast

    if not eight_bits_are_fast(vlm.tower.device):
        assert vlm.writer is vlm.lm
        pytest.skip("this machine writes in float32")
    assert isinstance(vlm.writer.lm_head, EightBitLinear)
    asked = [(view, prompt) for view in views for prompt in (None, "What is in the photo?", "What colour is it?")]
    found = [generate(vlm, view, prompt) for view, prompt in asked]
    writer, vlm.writer = vlm.writer, vlm.lm
    try:
        exact = [generate(vlm, view, prompt) for view, prompt in asked]
    finally:
        vlm.writer = writer
    assert sum(a == b for a, b in zip(found, exact, strict=True)) >= 4
