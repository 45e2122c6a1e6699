"""The embedded VLM's prompt, in the chat template of SmolLM2-Instruct. One place, for training and for answering.

    <|im_start|>user\\nSeems to show: {tags}.\\nWords: {words}.\\n [26 visual tokens] [concept embeddings] \\n{question}<|im_end|>\\n
    <|im_start|>assistant\\n

The tags stand before the visual tokens, so that everything before a concept embedding is constant and can be cached.
"""

from __future__ import annotations

from collections.abc import Sequence

END = "<|im_end|>"


def prefix_texts(tags: Sequence[str], words: Sequence[str] = ()) -> tuple[str, str]:
    """Text before and after the visual tokens (and concept embeddings)."""
    hints = [f"Seems to show: {', '.join(tags)}.\n"] if tags else []
    hints += [f"Words: {', '.join(words)}.\n"] if words else []
    return f"<|im_start|>user\n{''.join(hints)}", "\n"


def answer_opening(prompt: str) -> str:
    """From the question to where the model's answer starts."""
    return f"{prompt}{END}\n<|im_start|>assistant\n"
