"""What MyVLM is compared with on finding photos: a word learned in CLIP's text space (after PALAVRA, arXiv 2204.01694, simplified).

A learned word stands before the class noun in "a photo of a * dog"; it is learned so that this text is nearer to the taught photos than
to the other concepts'. Images and texts are any open_clip model's. Knows no head and no VLM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from .concept_trial import Enrolled, Match, Matches
from .photo import read_photo
from .photo_sets import CantMeasure

MODEL, WEIGHTS = "ViT-B-32", "laion2b_s34b_b79k"
STEPS, RATE = 60, 0.02  # Adam
SCALE = 100.0  # CLIP's own temperature at the end of its training


@dataclass(frozen=True)
class Clip:
    """An open_clip model, what turns an image into its input, and its tokenizer."""

    model: Any  # open_clip's CLIP or CustomTextCLIP
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenize: Callable[[Sequence[str]], torch.Tensor]

    @torch.no_grad()
    def images(self, paths: Sequence[Path]) -> torch.Tensor:
        """(n, D), L2-normalised."""
        pictures = torch.stack([self.preprocess(read_photo(path.read_bytes())) for path in paths])
        return F.normalize(self.model.encode_image(pictures), dim=-1)

    def text(self, noun: str, word: torch.Tensor) -> torch.Tensor:
        """(D,), L2-normalised, differentiable in `word` (width,), which stands where the star does."""
        tokens = self.tokenize([f"a photo of a * {noun}"])
        star = (tokens == self.tokenize(["*"])[0, 1]).nonzero()[0]
        hook = self._embedding.register_forward_hook(lambda module, given, out: out.index_put(tuple(star[:, None]), word[None]))
        try:
            return F.normalize(self.model.encode_text(tokens), dim=-1)[0]
        finally:
            hook.remove()

    def starting_word(self, noun: str) -> torch.Tensor:
        """(width,) the noun's own first token."""
        return self._embedding(self.tokenize([noun])[0, 1]).detach().clone()

    @property
    def _embedding(self) -> Any:
        return getattr(self.model, "text", self.model).token_embedding


@dataclass(frozen=True)
class Word:
    """A learned word's text (D,), and the cosine from which on a photo is one of its concept."""

    text: torch.Tensor
    threshold: float


def load_clip() -> Clip:
    """Errors: CantMeasure where the weights aren't here and can't be fetched."""
    import open_clip

    try:
        model, _, preprocess = open_clip.create_model_and_transforms(MODEL, pretrained=WEIGHTS)
    except Exception as error:  # whatever a hub, a network or a disk says, the person needs it in one line
        raise CantMeasure(
            f"clip-text needs open_clip's weights {MODEL}/{WEIGHTS}, which aren't here and can't be fetched ({type(error).__name__}). "
            "Start once with access to huggingface.co, or leave out clip-text."
        ) from error
    return Clip(model.eval().requires_grad_(False), preprocess, open_clip.get_tokenizer(MODEL))


def learn_word(clip: Clip, noun: str, taught: torch.Tensor, others: torch.Tensor) -> Word:
    """(n, D) taught photos against (m, D) others: Adam on the cross-entropy of picking a taught one by the text."""
    word = clip.starting_word(noun).requires_grad_(True)
    optimiser = torch.optim.Adam([word], lr=RATE)
    images = torch.cat([taught, others])
    for _ in range(STEPS):
        logits = SCALE * images @ clip.text(noun, word)
        loss = logits.logsumexp(0) - logits[: len(taught)].mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        text = clip.text(noun, word)
        least, most = (taught @ text).min(), (others @ text).max() if len(others) else (taught @ text).min() - 0.05
    return Word(text, float(least + most) / 2)


def by_words(clip: Clip, concepts: Mapping[str, Enrolled]) -> Matches:
    """Every concept's word on a photo, surest first."""
    taught = {name: clip.images(c.split.taught) for name, c in concepts.items()}
    rest = lambda name: torch.cat([t for other, t in taught.items() if other != name] or [taught[name][:0]])
    words = {name: learn_word(clip, c.called.class_noun, taught[name], rest(name)) for name, c in concepts.items()}

    def matches(photo, data) -> list[Match]:
        image = clip.images([photo.path])[0]
        scores = {name: float(torch.sigmoid(SCALE * (image @ w.text - w.threshold))) for name, w in words.items()}
        return [Match(name, scores[name], None) for name in sorted(scores, key=lambda n: -scores[n])]

    return matches
