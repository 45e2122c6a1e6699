"""How transformers writes an answer for us: beam search, and which tokens end it. Shared by the families it implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Decoding


def end_tokens(configured: int | Sequence[int] | None, tokenizer, end: str | None) -> list[int]:
    """Ids that end an answer, the family's own first (training sentences close with it)."""
    own = tokenizer.convert_tokens_to_ids(end) if end else tokenizer.eos_token_id
    others = [configured] if isinstance(configured, int) else list(configured or ())
    return list(dict.fromkeys([i for i in (own, *others) if i is not None]))


def without_settings(configured: Any) -> Any:
    """A checkpoint's generation settings with nothing left in them but token ids: whatever `decoding_options` leaves open, `generate`
    takes from there, and Qwen2.5-VL comes with a repetition penalty."""
    from transformers import GenerationConfig

    kept = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    return GenerationConfig(**{name: getattr(configured, name, None) for name in kept})


def decoding_options(decoding: Decoding, beams: int, ends: list[int]) -> dict[str, Any]:
    """Beam search for `generate`; the checkpoint's own settings are out of the way already (`without_settings`)."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        do_sample=False,
        num_beams=beams,
        num_return_sequences=min(decoding.candidates, beams),
        max_new_tokens=decoding.max_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0],
    )
    return {"generation_config": config}
