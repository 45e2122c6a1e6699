"""The projector families against plain references: concept tokens as rows of the embedding matrix, whole attention maps with autograd
through them, the model's own generate. The reference never sees our hook, our cached features or our attention."""

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms.tiny import PROJECTORS, vectors  # noqa: E402

from myvlm_engine.vlms.base import Decoding, Target, generate  # noqa: E402

pytestmark = pytest.mark.slow
TEXT = "Rex runs."


@pytest.fixture(params=list(PROJECTORS))
def vlm(request, loaded):
    return loaded(request.param)


class Appended:
    """The model with K more words in its vocabulary: the concept vectors, at the mean norm of the photo's image tokens. Differentiable in
    `concepts`."""

    def __init__(self, vlm, image, concepts, attention="eager"):
        self.vlm, self.image, self.count = vlm, image, len(concepts)
        self.model = copy.deepcopy(vlm.model)
        self.model.set_attn_implementation(attention)
        self.words = self.model.get_input_embeddings().weight.shape[0]
        norm = self.image_norm()
        self.model.resize_token_embeddings(self.words + self.count, mean_resizing=False)
        unsayable = lambda module, arguments, output: output.index_fill(-1, torch.arange(self.words, self.words + self.count), -torch.inf)
        self.model.get_output_embeddings().register_forward_hook(unsayable)
        embeddings = self.model.get_input_embeddings()
        scale = float(getattr(embeddings, "embed_scale", 1.0))
        rows = torch.nn.functional.normalize(concepts, dim=-1) * norm / scale
        known = embeddings.weight.detach()[: self.words]
        del embeddings.weight  # no parameter any more: the rows that are added keep their way back to the concepts
        embeddings.weight = torch.cat([known, rows])

    def image_norm(self):
        """From what the language model is really given."""
        given, laid_out = {}, self.inputs([], placed=False)
        take = lambda module, arguments, named: given.update(named)
        hook = self.model.get_decoder().register_forward_pre_hook(take, with_kwargs=True)
        with torch.no_grad():
            self.model(**laid_out)
        hook.remove()
        there = laid_out["input_ids"][0] == self.model.config.image_token_id
        return given["inputs_embeds"][0, there].norm(dim=-1).mean()

    def inputs(self, said, placed=True):
        """The processor's output with the concepts' words after the last image token, and the answer's tokens."""
        laid_out = dict(self.vlm._laid_out(self.image, None))
        laid_out.pop("labels", None)
        ids = laid_out["input_ids"]
        last = int((ids[0] == self.model.config.image_token_id).nonzero()[-1]) + 1
        for name, value in list(laid_out.items()):
            if isinstance(value, torch.Tensor) and value.shape == ids.shape:
                fills = {"input_ids": None, "attention_mask": (1, 1)}.get(name, (0, self.vlm.family.answer_type))
                new = torch.arange(self.words, self.words + self.count) if fills is None else torch.full((self.count,), fills[0])
                after = torch.tensor(said, dtype=torch.long) if fills is None else torch.full((len(said),), fills[1])
                row = value[0]
                laid_out[name] = torch.cat([row[:last], new if placed else new[:0], row[last:], after]).long()[None]
        self.column = last
        return laid_out

    def run(self, text):
        """(T, V) logits of the answer's tokens, their labels, and R from whole maps."""
        tokens = self.vlm.tokenizer(self.vlm.family.lead + text, add_special_tokens=False)["input_ids"]
        out = self.model(**self.inputs(tokens), output_attentions=True)
        size = len(tokens) + 1
        maps = [m[0, :, -size:, self.column : self.column + self.count].pow(2).mean() for m in out.attentions]
        return out.logits[0, -size:, : self.words], torch.tensor([*tokens, self.vlm.ends[0]]), torch.stack(maps).mean()


@pytest.mark.parametrize("count", [1, 3])
def test_the_hooked_model_loses_what_one_with_the_concepts_as_words_loses_and_so_do_its_gradients(vlm, photos, count):
    concepts = vectors(vlm, count, seed=1).requires_grad_(True)
    for image in photos[:2]:
        logits, labels, attention = Appended(vlm, image, concepts).run(TEXT)
        cross_entropy = torch.nn.functional.cross_entropy(logits, labels)
        found = vlm.losses(vlm.views([image]), [Target(0, None, TEXT)], concepts, "Rex", attention=True)
        torch.testing.assert_close(found.cross_entropy[0], cross_entropy, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.attention[0], attention, atol=1e-5, rtol=1e-3)
        for ours, plain in ((found.cross_entropy[0], cross_entropy), (found.attention[0], attention)):
            expected = torch.autograd.grad(plain, concepts, retain_graph=True)[0]
            slope = torch.autograd.grad(ours, concepts, retain_graph=True)[0]
            assert expected.norm(dim=-1).min() > 0
            torch.testing.assert_close(slope, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


def test_without_concepts_the_model_answers_as_its_own_generate_does(vlm, photos):
    from myvlm_engine.vlms.writing import decoding_options

    for image in photos[:2]:
        laid_out = dict(vlm._laid_out(image, None))
        laid_out.pop("labels", None)
        decoding = Decoding(max_tokens=8)
        plain = vlm.model.generate(**laid_out, **decoding_options(decoding, decoding.beams, vlm.ends))
        text = vlm.tokenizer.decode(plain[0, laid_out["input_ids"].shape[1] :], skip_special_tokens=True)
        assert generate(vlm, vlm.views([image])[0], decoding=decoding) == " ".join(text.split())


def test_a_checkpoint_s_own_generation_settings_change_nothing(loaded, photos, tmp_path):
    """Qwen2.5-VL's generation_config.json samples and has a repetition penalty, which would count the prompt's tokens too."""
    import json

    from myvlm_engine.vlms.base import load_vlm

    plain, decoding = loaded("qwen2.5-vl"), Decoding(max_tokens=16)
    name = PROJECTORS["qwen2.5-vl"].save(tmp_path)
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    settings |= {"do_sample": True, "repetition_penalty": 3.0, "temperature": 1e-6, "top_k": 1, "no_repeat_ngram_size": 1}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    vlm, e = load_vlm(name), vectors(plain, 1)
    said = [generate(v, v.views(photos[:1])[0], None, e, decoding) for v in (plain, vlm)]
    assert said[0] == said[1]


def test_with_concepts_it_writes_what_the_model_with_the_concepts_as_words_writes(vlm, photos):
    from myvlm_engine.vlms.writing import decoding_options

    concepts, decoding = vectors(vlm, 2, seed=2), Decoding(max_tokens=8)
    appended = Appended(vlm, photos[1], concepts, attention="sdpa")
    inputs = appended.inputs([])
    plain = appended.model.generate(**inputs, **decoding_options(decoding, decoding.beams, vlm.ends))
    text = vlm.tokenizer.decode(plain[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert generate(vlm, vlm.views([photos[1]])[0], None, concepts, decoding) == " ".join(text.split())


def test_in_llava_it_equals_a_token_appended_to_the_projectors_output(loaded, photos):
    vlm = loaded("llava")
    concepts, image = vectors(vlm, 2, seed=1), photos[0]
    laid_out = vlm._laid_out(image, None)
    ids = laid_out["input_ids"][0]
    tokens = vlm.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        projected = vlm.model.get_image_features(laid_out["pixel_values"], return_dict=True).pooler_output[0]
        scaled = torch.nn.functional.normalize(concepts, dim=-1) * projected.norm(dim=-1).mean()
        words = vlm.model.get_input_embeddings()
        there = (ids == vlm.image_token).nonzero().flatten()
        said = words(torch.tensor(tokens))
        embeds = torch.cat([words(ids[: there[0]]), projected, scaled, words(ids[there[-1] + 1 :]), said])[None]
        hidden = vlm.model.get_decoder()(inputs_embeds=embeds).last_hidden_state
        logits = vlm.model.lm_head(hidden)[0, -len(tokens) - 1 :]
        found = vlm.losses(vlm.views([image]), [Target(0, None, TEXT)], concepts, "Rex", attention=False)
    labels = torch.tensor([*tokens, vlm.ends[0]])
    torch.testing.assert_close(found.cross_entropy[0], torch.nn.functional.cross_entropy(logits, labels), atol=1e-5, rtol=1e-5)


def test_base_logits_are_the_unwrapped_models_bit_for_bit(vlm, photos):
    """The model that was loaded and wrapped gives the logits of one that never was."""
    from transformers import AutoModelForImageTextToText

    laid_out = dict(vlm._laid_out(photos[0], None))
    laid_out.pop("labels", None)
    fresh = AutoModelForImageTextToText.from_pretrained(vlm.model.config._name_or_path, local_files_only=True)
    view = vlm.views([photos[0]])[0]
    generate(vlm, view, None, vectors(vlm, 1))
    with torch.no_grad():
        assert torch.equal(vlm.model(**laid_out).logits, fresh(**laid_out).logits)


def test_the_hook_targets_of_transformers_are_where_we_expect_them(vlm):
    """A rename in transformers fails here, with its name, before it fails in a member's answer."""
    import inspect

    model = vlm.model
    assert hasattr(model.config, "image_token_id")
    assert "mm_encoder_outputs" in inspect.signature(model.forward).parameters
    assert "logits_to_keep" in inspect.signature(model.forward).parameters
    assert "pixel_values" in inspect.signature(model.base_model.get_image_features).parameters
    assert model.get_input_embeddings() is model.get_decoder().get_input_embeddings()
    assert model.get_decoder().config._attn_implementation == "concept_column"
