"""What teaching and answering cost on this GPU: models of the families in their published sizes, with random weights.

Seconds and memory depend on shapes, not on what weights are, so nothing is downloaded. What such a model says is nonsense: it never
ends a sentence of its own accord, so answers here are as long as they may be. `python tests/gpu/full_size.py [NAME ...] [--layers N]`
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
import transformers as t
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
from vlms.tiny import CHAT, IDEFICS, QWEN, QWEN_CHAT, qwen_ids, tokenizer  # noqa: E402

from myvlm_engine.personalise.targets import Sentence  # noqa: E402
from myvlm_engine.personalise.training import Learner, Lesson, options_for, start, update  # noqa: E402
from myvlm_engine.vlms.base import Target, Vlm  # noqa: E402
from myvlm_engine.vlms.catalog import MODELS  # noqa: E402
from myvlm_engine.vlms.loading import _make as class_of  # noqa: E402
from myvlm_engine.vlms.patches import flatten_patches  # noqa: E402

SIZE = (1024, 768)  # px of the photos
STEPS = 10
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
Made = tuple[type[t.PreTrainedModel], t.PretrainedConfig, t.ProcessorMixin]


def llama(width: int, inner: int, layers: int, heads: int, kv: int, words: int, cls: type = t.LlamaConfig, **more) -> t.PretrainedConfig:
    return cls(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=words,
        max_position_embeddings=32768,
        **ENDS,
        **more,
    )


def qwen2_7b() -> t.PretrainedConfig:
    return llama(3584, 18944, 28, 28, 4, 152064, t.Qwen2Config)


def clip_336() -> t.PretrainedConfig:
    sides = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    return t.CLIPVisionConfig(**sides, image_size=336, patch_size=14, projection_dim=768)


def siglip(side: int) -> t.PretrainedConfig:
    return t.SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        image_size=side,
        patch_size=14,
        vision_use_head=False,
    )


def square(side: int) -> dict:
    return {"height": side, "width": side}


def blip2(language: t.PretrainedConfig) -> Made:
    config = t.Blip2Config(text_config=language.to_dict(), num_query_tokens=32)  # the vision tower and the Q-Former are the defaults
    processor = t.Blip2Processor(t.BlipImageProcessor(size=square(224)), tokenizer(), num_query_tokens=32)
    config.image_token_index = processor.tokenizer.convert_tokens_to_ids("<image>")
    return t.Blip2ForConditionalGeneration, config, processor


def blip2_opt() -> Made:
    sizes = {"hidden_size": 2560, "ffn_dim": 10240, "num_hidden_layers": 32, "num_attention_heads": 32, "word_embed_proj_dim": 2560}
    return blip2(t.OPTConfig(**sizes, vocab_size=50304, max_position_embeddings=2048, **ENDS))


def blip2_t5() -> Made:
    ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    return blip2(t.T5Config(d_model=2048, d_kv=64, d_ff=5120, num_layers=24, num_heads=32, feed_forward_proj="gated-gelu", **ends))


def llava() -> Made:
    tok = tokenizer("<image>")
    language = llama(4096, 11008, 32, 32, 32, 32064)
    config = t.LlavaConfig(vision_config=clip_336(), text_config=language, image_token_id=tok.convert_tokens_to_ids("<image>"))
    looks = t.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size=square(336))
    kinds = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = t.LlavaProcessor(looks, tok, chat_template=CHAT.replace("IMAGE", "<image>"), **kinds)
    return t.LlavaForConditionalGeneration, config, processor


def llava_next() -> Made:
    tok = tokenizer("<image>")
    grid = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    language = llama(4096, 14336, 32, 32, 8, 32064, t.MistralConfig)
    image = tok.convert_tokens_to_ids("<image>")
    config = t.LlavaNextConfig(vision_config=clip_336(), text_config=language, image_token_id=image, image_grid_pinpoints=grid)
    looks = t.LlavaNextImageProcessor(size={"shortest_edge": 336}, crop_size=square(336), image_grid_pinpoints=grid)
    kinds = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = t.LlavaNextProcessor(looks, tok, chat_template=CHAT.replace("IMAGE", "<image>"), **kinds)
    return t.LlavaNextForConditionalGeneration, config, processor


def llava_onevision() -> Made:
    tok = tokenizer("<image>", "<video>")
    grid = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
    config = t.LlavaOnevisionConfig(
        vision_config=siglip(384),
        text_config=qwen2_7b(),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        video_token_id=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessor(size=square(384), image_grid_pinpoints=grid),
        tok,
        t.LlavaOnevisionVideoProcessor(size=square(384)),
        num_image_tokens=729,
        vision_feature_select_strategy="full",
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )
    return t.LlavaOnevisionForConditionalGeneration, config, processor


def qwen2_5_vl() -> Made:
    tok = tokenizer(*QWEN)
    sight = {"hidden_size": 1280, "out_hidden_size": 3584, "depth": 32, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}
    rope = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]}
    language = qwen2_7b().to_dict() | {"rope_parameters": rope, "model_type": "qwen2_5_vl_text"}
    config = t.Qwen2_5_VLConfig(vision_config=sight, text_config=language, **qwen_ids(tok))
    looks = t.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280})
    processor = t.Qwen2_5_VLProcessor(looks, tok, t.Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT)
    return t.Qwen2_5_VLForConditionalGeneration, config, processor


def qwen3_vl() -> Made:
    tok = tokenizer(*QWEN)
    sight = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": 2560, "deepstack_visual_indexes": [5, 11, 17]}
    rope = {"rope_type": "default", "rope_theta": 5000000.0, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    language = llama(2560, 9728, 36, 32, 8, 151936, t.Qwen3VLTextConfig, head_dim=128, rope_parameters=rope)
    config = t.Qwen3VLConfig(vision_config=sight, text_config=language.to_dict(), **qwen_ids(tok))
    looks = t.Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 65536, "longest_edge": 1310720})
    processor = t.Qwen3VLProcessor(looks, tok, t.Qwen3VLVideoProcessor(), chat_template=QWEN_CHAT)
    return t.Qwen3VLForConditionalGeneration, config, processor


def idefics3() -> Made:
    tok = tokenizer(*IDEFICS)
    sight = siglip(364).to_dict() | {"model_type": "idefics3_vision"}
    language = llama(4096, 14336, 32, 32, 8, 128259)
    image = tok.convert_tokens_to_ids("<image>")
    config = t.Idefics3Config(vision_config=sight, text_config=language, image_token_id=image, scale_factor=2, pad_token_id=0)
    looks = t.Idefics3ImageProcessor(size={"longest_edge": 364}, max_image_size={"longest_edge": 364}, do_image_splitting=False)
    processor = t.Idefics3Processor(looks, tok, image_seq_len=169, chat_template=CHAT.replace("IMAGE", "<image>"))
    return t.Idefics3ForConditionalGeneration, config, processor


def paligemma() -> Made:
    tok = tokenizer(image_token="<image>")
    sides = {"num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256}
    language = t.GemmaConfig(hidden_size=2048, intermediate_size=16384, vocab_size=257216, **sides, **ENDS)
    processor = t.PaliGemmaProcessor(t.SiglipImageProcessor(size=square(224), image_seq_length=256), tok)
    config = t.PaliGemmaConfig(vision_config=siglip(224), text_config=language, image_token_id=tok.image_token_id, projection_dim=2048)
    return t.PaliGemmaForConditionalGeneration, config, processor


def gemma3() -> Made:
    tok = tokenizer("<end_of_turn>", boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    sides = {"num_hidden_layers": 34, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
    language = t.Gemma3TextConfig(hidden_size=2560, intermediate_size=10240, vocab_size=262208, sliding_window=1024, **sides, **ENDS)
    ids = {"image_token_id": tok.image_token_id, "boi_token_id": tok.boi_token_id, "eoi_token_id": tok.eoi_token_id}
    config = t.Gemma3Config(vision_config=siglip(896), text_config=language, mm_tokens_per_image=256, **ids)
    chat = CHAT.replace("IMAGE", "<start_of_image>")
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(size=square(896)), tok, image_seq_length=256, chat_template=chat)
    return t.Gemma3ForConditionalGeneration, config, processor


def internvl() -> Made:
    tok = tokenizer(start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>")
    config = t.InternVLConfig(text_config=qwen2_7b(), image_token_id=tok.context_image_token_id, image_seq_length=256)
    processor = t.InternVLProcessor(
        t.GotOcr2ImageProcessor(size=square(448), crop_to_patches=False),
        tok,
        t.InternVLVideoProcessor(size=square(448)),
        image_seq_length=256,
        chat_template=CHAT.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    return t.InternVLForConditionalGeneration, config, processor


SIZES: dict[str, Callable[[], Made]] = {
    "blip2-opt-2.7b": blip2_opt,
    "llava-1.5-7b": llava,
    "qwen2.5-vl-7b": qwen2_5_vl,
    "qwen3-vl-4b": qwen3_vl,
    "llava-next-7b": llava_next,
    "llava-onevision-7b": llava_onevision,
    "blip2-flan-t5-xl": blip2_t5,
    "internvl3-8b": internvl,
    "gemma-3-4b": gemma3,
    "idefics3-8b": idefics3,
    "paligemma-3b": paligemma,
}


def made(name: str, device: str, layers: int | None) -> Vlm:
    """The model on the device as loading.py would put it there."""
    torch.manual_seed(0)
    cls, config, processor = SIZES[name]()
    if layers:
        for part in (config.vision_config, config.get_text_config()):
            for count in ("num_hidden_layers", "depth", "num_layers"):
                if hasattr(part, count):
                    setattr(part, count, layers)
    with torch.device(device):
        model = cls._from_config(config, dtype=torch.bfloat16 if device != "cpu" else torch.float32)
    model = model.to(device)
    if device != "cpu":
        flatten_patches(model)
    return class_of(MODELS[name].family)(model, processor, MODELS[name].family, name, name)


def photo(number: int) -> Image.Image:
    image = Image.radial_gradient("L").resize(SIZE).convert("RGB")
    ImageDraw.Draw(image).ellipse((100 + 50 * number, 120, 500, 560), fill="brown")
    return image


def seconds(run: Callable[[], object], times: int = 3) -> float:
    """The median, after one run that doesn't count."""
    took = []
    for _ in range(times + 1):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took.append(time.perf_counter() - started)
    return median(took[1:])


def memory_gb() -> float:
    return torch.cuda.memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0


def peak_gb(run: Callable[[], object]) -> float:
    """Above what was there before."""
    if not torch.cuda.is_available():
        run()
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = memory_gb()
    run()
    return torch.cuda.max_memory_allocated() / 1e9 - before


def image_tokens(vlm: Vlm, view) -> int:
    if hasattr(vlm, "image_token"):
        return sum(i == vlm.image_token for i in vlm._prompt(view.state, None).ids)
    return len(view.state.tokens)


def one_step(vlm: Vlm, views, count: int) -> None:
    e = torch.ones(1, vlm.width, requires_grad=True)
    targets = [Target(i, None, "A photo of Biscuit asleep on the grass.") for i in range(count)]
    lost = vlm.losses(views, targets, e, "Biscuit", attention=True)
    (lost.cross_entropy.mean() + lost.attention.mean()).backward()


def step_seconds(vlm: Vlm, views, concepts: int) -> float:
    """Of a step of the training loop, with so many concepts that learn in one batch. Nothing is drafted and nothing judged."""
    options = replace(options_for(vlm, "pet"), steps=1000, check_every=1000, early_stop=False)
    learners = []
    for seed, name in enumerate(("Biscuit", "Rex", "Tom", "Bella")[:concepts]):
        lesson = Lesson([*views, *views], len(views), [[Sentence(f"A photo of {name} asleep on the grass.")]] * 2 * len(views), name)
        learners.append(Learner(lesson, start(vlm, name, "dog", None, seed), seed, options))
    return seconds(lambda: update(vlm, learners), STEPS)


def measured(name: str, device: str, layers: int | None) -> dict[str, float | str]:
    started = time.perf_counter()
    vlm = made(name, device, layers)
    weights, making = memory_gb(), time.perf_counter() - started
    view = vlm.views([photo(0)])[0]
    views = vlm.views([photo(i) for i in range(4)])
    e = torch.rand(1, vlm.width)
    recipe = options_for(vlm, "pet")
    found = {
        "model": name,
        "weights_gb": weights,
        "tokens": image_tokens(vlm, view),
        "view_s": seconds(lambda: vlm.views([photo(0)])),
        "teach_1_photo_gb": peak_gb(lambda: one_step(vlm, views, 1)),
        "teach_4_photos_gb": peak_gb(lambda: one_step(vlm, views, 4)),
        "step_s": step_seconds(vlm, views, 1),
        "step_of_four_concepts_s": step_seconds(vlm, views, 4),
        "caption_s": seconds(lambda: vlm.candidates(view, None, e)),
        "recipe_steps": recipe.steps,
        "making_s": making,
    }
    sentences = 4 * (2 + recipe.questions_per_photo)  # that are drafted for four photos; two copies of each are looked at too, and one held
    found["lesson_s"] = recipe.steps * found["step_s"] + 16 * found["view_s"] + sentences * found["caption_s"]
    return found


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("names", nargs="*", default=list(SIZES), help=f"some of {', '.join(SIZES)}")
    reader.add_argument("--layers", type=int, help="so many layers only: to try the script on a small machine")
    reader.add_argument("--json", type=Path)
    given = reader.parse_args()
    if unknown := sorted(set(given.names) - set(SIZES)):
        reader.error(f"{unknown[0]} isn't among {', '.join(SIZES)}")
    device, rows = "cuda" if torch.cuda.is_available() else "cpu", []
    print(torch.cuda.get_device_name() if device == "cuda" else "CPU", torch.__version__, t.__version__)
    for name in given.names:
        try:
            rows.append(measured(name, device, given.layers))
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
