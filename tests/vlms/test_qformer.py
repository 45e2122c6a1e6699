"""BLIP-2 and InstructBLIP against plain references: the concept appended by hand behind the last ViT layer, keys and values normalised
by the formula, whole cross-attention maps with autograd through them, the model's own generate."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402
from vlms.tiny import QFORMERS, vectors  # noqa: E402

from myvlm_engine.vlms.base import Decoding, Target, generate  # noqa: E402
from myvlm_engine.vlms.qformer import matched  # noqa: E402

pytestmark = pytest.mark.slow
TEXT = "Rex runs."


@pytest.fixture(params=list(QFORMERS))
def vlm(request, loaded):
    return loaded(request.param)


def normalised(states, image_tokens):
    """The paper's formula, token by token."""
    out = states.clone()
    for batch in range(len(states)):
        mean = torch.stack([states[batch, i].norm() for i in range(image_tokens)]).mean()
        for token in range(image_tokens, states.shape[1]):
            out[batch, token] = states[batch, token] / states[batch, token].norm() * mean
    return out


def plain_attention(module, hidden, keys_from, image_tokens, maps):
    """One cross-attention layer written out, with whole maps."""
    key, value = (normalised(layer(keys_from), image_tokens) for layer in (module.key, module.value))
    heads = lambda x: x.reshape(*x.shape[:2], module.num_attention_heads, -1).transpose(1, 2)
    query, key, value = heads(module.query(hidden)), heads(key), heads(value)
    probabilities = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
    maps.append(probabilities)
    return (probabilities @ value).transpose(1, 2).flatten(2)


class Plain:
    """The model with its cross-attention layers replaced by `plain_attention`, and the concept put behind the ViT's last layer."""

    def __init__(self, vlm, image, concepts, monkeypatch):
        self.vlm, self.image, self.maps = vlm, image, []
        pixels = self.inputs("")["pixel_values"]
        self.image_tokens = vlm.model.vision_model.embeddings(pixels).shape[1]

        def append(module, arguments, output):
            norm = output.norm(dim=-1).mean()
            return torch.cat([output, (F.normalize(concepts, dim=-1) * norm)[None].expand(len(output), -1, -1)], 1)

        self.hook = vlm.model.vision_model.encoder.layers[-1].register_forward_hook(append)
        for module in vlm.cross_attentions:
            monkeypatch.setattr(module, "forward", self.replacement(module))

    def replacement(self, module):
        def forward(hidden_states, encoder_hidden_states=None, **_):
            return plain_attention(module, hidden_states, encoder_hidden_states, self.image_tokens, self.maps), None

        return forward

    def inputs(self, words):
        return self.vlm.processor(images=self.image, text=words, return_tensors="pt")

    def loss(self, text):
        """Cross-entropy by the model's own labels, and R from the whole maps."""
        ids = torch.tensor([[*self.vlm.tokenizer(text, add_special_tokens=False)["input_ids"], self.vlm.ends[0]]])
        inputs = self.inputs(self.vlm.family.caption_prompt)
        self.maps.clear()
        if self.vlm.model.language_model.config.is_encoder_decoder:
            loss = self.vlm.model(**inputs, labels=ids).loss
        else:
            prompt = inputs["input_ids"]
            inputs["input_ids"] = torch.cat([prompt, ids], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            labels = torch.cat([torch.full_like(prompt, -100), ids], 1)
            loss = self.vlm.model(**inputs, labels=labels).loss
        columns = [m[..., self.image_tokens :].pow(2).mean() for m in self.maps]
        return loss, torch.stack(columns).mean()


def test_normalised_keys_and_values_are_those_of_the_formula():
    states = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(matched(states, 5), normalised(states, 5))
    assert torch.equal(matched(states, 5)[:, :5], states[:, :5])


@pytest.mark.parametrize("count", [1, 3])
def test_hooked_losses_maps_and_gradients_are_those_of_the_model_written_out(vlm, photos, monkeypatch, count):
    e = vectors(vlm, count, seed=1).requires_grad_(True)
    found = vlm.losses(vlm.views(photos[:1]), [Target(0, None, TEXT)], e, "Rex", attention=True)
    slopes = [torch.autograd.grad(x.sum(), e, retain_graph=True)[0] for x in (found.cross_entropy, found.attention)]
    plain = Plain(vlm, photos[0], e, monkeypatch)
    try:
        loss, attention = plain.loss(TEXT)
    finally:
        plain.hook.remove()
    torch.testing.assert_close(found.cross_entropy[0], loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.attention[0], attention, atol=1e-7, rtol=1e-4)
    for ours, reference in zip(slopes, (loss, attention), strict=True):
        torch.testing.assert_close(ours, torch.autograd.grad(reference, e, retain_graph=True)[0], atol=1e-6, rtol=1e-3)


def test_with_concepts_it_writes_what_the_model_written_out_writes(vlm, photos, monkeypatch):
    from myvlm_engine.vlms.writing import decoding_options

    e, decoding = vectors(vlm, 2, seed=2), Decoding(max_tokens=8)
    said = generate(vlm, vlm.views(photos[:1])[0], None, e, decoding)
    plain = Plain(vlm, photos[0], e, monkeypatch)
    try:
        out = vlm.model.generate(**plain.inputs(vlm.family.caption_prompt), **decoding_options(decoding, decoding.beams, vlm.ends))
    finally:
        plain.hook.remove()
    assert said == new_text(vlm, out, plain.inputs(vlm.family.caption_prompt))


def new_text(vlm, out, inputs):
    """Some of these models hand the prompt back, some don't."""
    prompt = inputs["input_ids"][0].tolist()
    ids = out[0].tolist()
    ids = ids[len(prompt) :] if ids[: len(prompt)] == prompt else ids
    return " ".join(vlm.tokenizer.decode(ids, skip_special_tokens=True).split())


def test_without_concepts_the_model_answers_as_its_own_generate_does(vlm, photos):
    from myvlm_engine.vlms.writing import decoding_options

    decoding = Decoding(max_tokens=8)
    for prompt, words in ((None, vlm.family.caption_prompt), ("Who?", vlm.family.question.format("Who?"))):
        inputs = vlm.processor(images=photos[0], text=words, return_tensors="pt")
        out = vlm.model.generate(**inputs, **decoding_options(decoding, decoding.beams, vlm.ends))
        assert generate(vlm, vlm.views(photos[:1])[0], prompt, decoding=decoding) == new_text(vlm, out, inputs)


@pytest.mark.parametrize(
    ("family", "eos", "ends"), [("blip2-opt", "Ċ", "Ċ"), ("instructblip", "<s>", "</s>"), ("blip2-flan-t5", "</s>", "</s>")]
)
def test_an_answer_ends_as_the_published_model_ends_its_own(family, eos, ends, tmp_path):
    """blip2-opt-*: a new line, which only config.json says. instructblip-vicuna-*: `<s>` stands there, which is wrong."""
    import json

    from myvlm_engine.vlms.base import load_vlm

    name = QFORMERS[family].save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    tokens = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]
    config["text_config"] |= {"eos_token_id": tokens[eos], "pad_token_id": -1 if family == "instructblip" else 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    vlm = load_vlm(name)
    assert vlm.ends[0] == tokens[ends]
    assert {tokens[eos], vlm.tokenizer.eos_token_id} <= set(vlm.ends)


def test_a_question_of_any_length_is_answered(vlm, photos):
    """OPT has places for 2048 tokens and InstructBLIP's Q-Former for 512; one more is an error that a GPU doesn't get over."""
    view, e = vlm.views(photos[:1])[0], vectors(vlm, 1)
    for question in ("\N{DOG FACE}" * 1000, "what " * 200):
        assert generate(vlm, view, question, e, Decoding(max_tokens=2)) is not None
        with torch.no_grad():
            assert bool(vlm.losses([view], [Target(0, question, TEXT)], e, "Rex", attention=True).cross_entropy.isfinite())


def test_base_logits_are_the_unwrapped_models_bit_for_bit(vlm, photos):
    from transformers import AutoModelForImageTextToText

    inputs = vlm.processor(images=photos[0], text="a photo of", return_tensors="pt")
    if vlm.model.language_model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[0, 5, 6]])
    fresh = AutoModelForImageTextToText.from_pretrained(vlm.model.config._name_or_path, local_files_only=True)
    generate(vlm, vlm.views(photos[:1])[0], None, vectors(vlm, 1))
    with torch.no_grad():
        assert torch.equal(vlm.model(**inputs).logits, fresh(**inputs).logits)


def test_without_norm_matching_keys_are_left_as_they_come(vlm, photos, monkeypatch):
    views, e = vlm.views(photos[:1]), vectors(vlm, 1)
    with torch.no_grad():
        on = vlm.losses(views, [Target(0, None, TEXT)], e, "Rex", attention=True)
        monkeypatch.setattr(vlm, "norm_matching", False)
        off = vlm.losses(views, [Target(0, None, TEXT)], e, "Rex", attention=True)
    assert abs(float(on.attention - off.attention)) > 1e-5


def test_what_is_learned_is_no_word_of_the_language_model(vlm, photos):
    """So `--method textual-inversion` is refused: without norm matching, too, the length of a concept changes nothing."""
    assert vlm.among_words is False
    views, e = vlm.views(photos[:1]), vectors(vlm, 1)
    lost = lambda length: vlm.losses(views, [Target(0, None, TEXT)], e * length, "Rex", attention=False).cross_entropy
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(vlm, "norm_matching", False)
        torch.testing.assert_close(lost(1.0), lost(7.0))


def test_the_hook_targets_of_transformers_are_where_we_expect_them(vlm):
    """A rename in transformers fails here, with its name, before it fails in a member's answer."""
    model = vlm.model
    assert {"embeddings", "encoder", "post_layernorm"} <= set(dict(model.vision_model.named_children()))
    assert model.query_tokens.ndim == 3
    assert {"qformer", "language_projection", "language_model"} <= set(dict(model.named_children()))
    assert len(vlm.cross_attentions) == 1  # every second of two layers
    for module in vlm.cross_attentions:
        assert {"query", "key", "value"} <= set(dict(module.named_children()))
        assert module.num_attention_heads == 4 and module.scaling == 8**-0.5
    assert hasattr(vlm.processor, "qformer_tokenizer") == vlm.family.instructed
