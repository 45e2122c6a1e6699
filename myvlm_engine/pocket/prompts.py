"""The embedded VLM's prompt, in the chat template of SmolLM2-Instruct. One place, for training and for answering.

    <|im_start|>user\\nSeems to show: {tags}.\\nWords: {words}.\\nDraft: {draft}.\\n
    [26 visual tokens] [concept embeddings] \\n{question}<|im_end|>\\n<|im_start|>assistant\\n

The hints stand before the visual tokens, so that everything before a concept embedding is constant and can be cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

END = "<|im_end|>"


class Hints(NamedTuple):
    """What small models read off the photo, in words."""

    tags: Sequence[str] = ()  # the tower's own ImageNet classes
    words: Sequence[str] = ()  # words.py: caption words that fit
    draft: str = ""  # drafter.py: a caption


def prefix_texts(hints: Hints = Hints()) -> tuple[str, str]:
    """Text before and after the visual tokens (and concept embeddings)."""
    lines = [f"Seems to show: {', '.join(hints.tags)}.\n"] if hints.tags else []
    lines += [f"Words: {', '.join(hints.words)}.\n"] if hints.words else []
    lines += [f"Draft: {hints.draft}.\n"] if hints.draft else []
    return f"<|im_start|>user\n{''.join(lines)}", "\n"


def answer_opening(prompt: str) -> str:
    """From the question to where the model's answer starts."""
    return f"{prompt}{END}\n<|im_start|>assistant\n"
