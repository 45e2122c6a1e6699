"""Tiny random models of every family, with tokenizers and processors of their own, saved as from_pretrained folders.

Real transformers classes with few and small layers; nothing is downloaded. What they say is nonsense, how they say it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers as t
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CHAT = (
    "{% for m in messages %}User: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
SPECIALS = ["<pad>", "<s>", "</s>", "<unk>"]
EDGE = 32  # px of the square the towers see


def tokenizer(*more: str, **named: str) -> t.PreTrainedTokenizerFast:
    """Bytes as tokens, a few special ones, `named` ones also as attributes (`image_token="<image>"`)."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *letters])}
    raw = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    made = t.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>", extra_special_tokens=named
    )
    made.add_special_tokens({"additional_special_tokens": [m for m in more]}, replace_extra_special_tokens=False)
    return made


@dataclass(frozen=True)
class Tiny:
    """One family's folder and what it is called in load_vlm."""

    family: str
    make: Callable[[], tuple[t.PreTrainedModel, t.ProcessorMixin]]

    def save(self, folder: Path) -> str:
        """Writes model and processor; returns the name that load_vlm takes."""
        torch.manual_seed(0)
        model, processor = self.make()
        lively(model)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return f"{self.family}:{folder}"


def lively(model: torch.nn.Module) -> None:
    """Weights large enough that every input matters: the usual 0.02 would hide mistakes below the tolerance."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 1.0 if "embed" in name or "token" in name else 2.0 / weight[0].numel() ** 0.5)


SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TOWER = SMALL | {"image_size": EDGE, "patch_size": 8}


def text(**more) -> dict:
    return SMALL | {"num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 2048, "head_dim": 8} | ENDS | more


ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def square(cls: type, edge: int = EDGE, **more):
    return cls(size={"height": edge, "width": edge}, **more)


def llava():
    tok = tokenizer("<image>")
    image = tok.convert_tokens_to_ids("<image>")
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**TOWER, projection_dim=32), text_config=t.LlamaConfig(**text()), image_token_id=image
    )
    looks = t.CLIPImageProcessor(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE})
    kinds = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return t.LlavaForConditionalGeneration(config), t.LlavaProcessor(looks, tok, chat_template=CHAT.replace("IMAGE", "<image>"), **kinds)


def llava_next():
    tok = tokenizer("<image>")
    grid = [[EDGE, 2 * EDGE], [2 * EDGE, EDGE], [2 * EDGE, 2 * EDGE]]
    config = t.LlavaNextConfig(
        vision_config=t.CLIPVisionConfig(**TOWER, projection_dim=32),
        text_config=t.MistralConfig(**text()),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
    )
    looks = t.LlavaNextImageProcessor(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE}, image_grid_pinpoints=grid)
    kinds = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return t.LlavaNextForConditionalGeneration(config), t.LlavaNextProcessor(
        looks, tok, chat_template=CHAT.replace("IMAGE", "<image>"), **kinds
    )


def llava_onevision():
    tok = tokenizer("<image>", "<video>")
    grid = [[EDGE, 2 * EDGE], [2 * EDGE, EDGE]]
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**TOWER, vision_use_head=False),
        text_config=t.Qwen2Config(**text()),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        video_token_id=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
    )
    looks = square(t.LlavaOnevisionImageProcessor, image_grid_pinpoints=grid)
    processor = t.LlavaOnevisionProcessor(
        looks,
        tok,
        square(t.LlavaOnevisionVideoProcessor),
        num_image_tokens=(EDGE // 8) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


IDEFICS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")


def idefics(config_class, vision_class, model_class):
    tok = tokenizer(*IDEFICS)
    config = config_class(
        vision_config=vision_class(**TOWER).to_dict(),
        text_config=t.LlamaConfig(**text()),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return model_class(config), tok


def idefics_looks(cls: type):
    return cls(size={"longest_edge": EDGE}, max_image_size={"longest_edge": EDGE}, do_image_splitting=False)


def idefics3():
    model, tok = idefics(t.Idefics3Config, t.Idefics3VisionConfig, t.Idefics3ForConditionalGeneration)
    looks = idefics_looks(t.Idefics3ImageProcessor)
    return model, t.Idefics3Processor(looks, tok, image_seq_len=4, chat_template=CHAT.replace("IMAGE", "<image>"))


def smolvlm():
    model, tok = idefics(t.SmolVLMConfig, t.SmolVLMVisionConfig, t.SmolVLMForConditionalGeneration)
    frames = t.SmolVLMVideoProcessor(size={"longest_edge": EDGE}, max_image_size={"longest_edge": EDGE})
    chat = CHAT.replace("IMAGE", "<image>")
    return model, t.SmolVLMProcessor(idefics_looks(t.SmolVLMImageProcessor), tok, frames, image_seq_len=4, chat_template=chat)


QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_CHAT = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")


def qwen_ids(tok) -> dict:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tok.convert_tokens_to_ids(list(QWEN)), strict=True))


def qwen_looks():
    return t.Qwen2VLImageProcessor(patch_size=8, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64})


def qwen2_5_vl():
    tok = tokenizer(*QWEN)
    sight = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": 8, "out_hidden_size": 32}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = t.Qwen2_5_VLConfig(
        vision_config=sight | {"fullatt_block_indexes": [1], "window_size": 32},
        text_config=text(rope_parameters=rope),
        **qwen_ids(tok),
    )
    processor = t.Qwen2_5_VLProcessor(qwen_looks(), tok, t.Qwen2VLVideoProcessor(patch_size=8), chat_template=QWEN_CHAT)
    return t.Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl():
    tok = tokenizer(*QWEN)
    sight = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": 8, "out_hidden_size": 32}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    config = t.Qwen3VLConfig(
        vision_config=sight | {"deepstack_visual_indexes": [0], "num_position_embeddings": 64},
        text_config=text(rope_parameters=rope),
        **qwen_ids(tok),
    )
    processor = t.Qwen3VLProcessor(qwen_looks(), tok, t.Qwen3VLVideoProcessor(patch_size=8), chat_template=QWEN_CHAT)
    return t.Qwen3VLForConditionalGeneration(config), processor


def paligemma():
    tok = tokenizer(image_token="<image>")
    sight = t.SiglipVisionConfig(**TOWER, vision_use_head=False, projection_dim=32)
    processor = t.PaliGemmaProcessor(square(t.SiglipImageProcessor, image_seq_length=16), tok)
    config = t.PaliGemmaConfig(
        vision_config=sight,
        text_config=t.GemmaConfig(**text(vocab_size=2048)),
        image_token_id=tok.image_token_id,
        projection_dim=32,
    )
    return t.PaliGemmaForConditionalGeneration(config), processor


GEMMA = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8}


def gemma3():
    tok = tokenizer("<end_of_turn>", boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    sight = t.SiglipVisionConfig(**TOWER, vision_use_head=False)
    config = t.Gemma3Config(
        vision_config=sight,
        text_config=t.Gemma3TextConfig(**text(**GEMMA)),
        image_token_id=tok.image_token_id,
        boi_token_id=tok.boi_token_id,
        eoi_token_id=tok.eoi_token_id,
        mm_tokens_per_image=4,
    )
    processor = t.Gemma3Processor(
        square(t.Gemma3ImageProcessor), tok, image_seq_length=4, chat_template=CHAT.replace("IMAGE", "<start_of_image>")
    )
    return t.Gemma3ForConditionalGeneration(config), processor


def internvl():
    tok = tokenizer(start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>")
    sight = t.InternVLVisionConfig(**(TOWER | {"image_size": [EDGE, EDGE], "patch_size": [8, 8]}))
    config = t.InternVLConfig(
        vision_config=sight,
        text_config=t.Qwen2Config(**text()),
        image_token_id=tok.context_image_token_id,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    processor = t.InternVLProcessor(
        square(t.GotOcr2ImageProcessor, crop_to_patches=False),
        tok,
        square(t.InternVLVideoProcessor),
        image_seq_length=4,
        chat_template=CHAT.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    return t.InternVLForConditionalGeneration(config), processor


def qformer_parts(config_class, sight_class, queries_class, language):
    return config_class(
        vision_config=sight_class(**TOWER).to_dict(),
        qformer_config=queries_class(
            **SMALL, vocab_size=320, encoder_hidden_size=32, cross_attention_frequency=2, max_position_embeddings=512
        ).to_dict(),
        text_config=language.to_dict(),
        num_query_tokens=5,
    )


def opt():
    sizes = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32}
    return t.OPTConfig(**sizes, vocab_size=320, max_position_embeddings=2048, **ENDS)


def t5():
    return t.T5Config(
        d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=320, decoder_start_token_id=0, pad_token_id=0, eos_token_id=2
    )


def blip2(language):
    config = qformer_parts(t.Blip2Config, t.Blip2VisionConfig, t.Blip2QFormerConfig, language)
    tok = tokenizer()
    processor = t.Blip2Processor(square(t.BlipImageProcessor), tok, num_query_tokens=5)
    config.image_token_index = processor.tokenizer.convert_tokens_to_ids("<image>")
    return t.Blip2ForConditionalGeneration(config), processor


def blip2_opt():
    return blip2(opt())


def blip2_t5():
    return blip2(t5())


def instructblip():
    config = qformer_parts(t.InstructBlipConfig, t.InstructBlipVisionConfig, t.InstructBlipQFormerConfig, t.LlamaConfig(**text()))
    processor = t.InstructBlipProcessor(square(t.BlipImageProcessor), tokenizer(), tokenizer(), num_query_tokens=5)
    config.image_token_index = processor.tokenizer.convert_tokens_to_ids("<image>")
    return t.InstructBlipForConditionalGeneration(config), processor


PROJECTORS = {
    "llava": Tiny("llava", llava),
    "llava-next": Tiny("llava-next", llava_next),
    "llava-onevision": Tiny("llava-onevision", llava_onevision),
    "idefics3": Tiny("idefics3", idefics3),
    "smolvlm": Tiny("smolvlm", smolvlm),
    "qwen2.5-vl": Tiny("qwen2.5-vl", qwen2_5_vl),
    "qwen3-vl": Tiny("qwen3-vl", qwen3_vl),
    "paligemma": Tiny("paligemma", paligemma),
    "gemma3": Tiny("gemma3", gemma3),
    "internvl": Tiny("internvl", internvl),
}
QFORMERS = {
    "blip2-opt": Tiny("blip2", blip2_opt),
    "blip2-flan-t5": Tiny("blip2", blip2_t5),
    "instructblip": Tiny("instructblip", instructblip),
}
FAMILIES = {**PROJECTORS, **QFORMERS}


def losses_and_gradient(vlm, images, targets, count: int, identifier: str = "Rex") -> list[torch.Tensor]:
    """Cross-entropy, attention, name probability, and the gradient of the first two in `count` concept vectors; on the CPU."""
    e = vectors(vlm, count).requires_grad_(True)
    lost = vlm.losses(vlm.views(images), targets, e, identifier, attention=True)
    gradient = torch.autograd.grad(lost.cross_entropy.mean() + lost.attention.mean(), e)[0]
    return [part.detach().cpu() for part in (lost.cross_entropy, lost.attention, lost.name_probability, gradient)]


def vectors(vlm, count: int, seed: int = 0) -> torch.Tensor:
    """(count, width) concept vectors, the same for the same seed."""
    return torch.randn(count, vlm.width, generator=torch.Generator().manual_seed(seed))
