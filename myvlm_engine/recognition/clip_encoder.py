"""CLIP as an encoder, through open_clip: the whole photo and square windows of it, each an image embedding. For machines with a GPU.

"clip" is DFN5B's ViT-H-14 at 378 px, "clip:MODEL/WEIGHTS" any pair that open_clip lists, "clip:MODEL/FILE" weights from a file. It needs a
negative bank of its own (negatives.py). Knows nothing of concepts, heads or the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .encoders import Seen
from .nouns import SURE, nouns_of_classes
from .windows import Box, Window, windows

FORMAT = 1  # rises when what `see` computes changes
BIG = "ViT-H-14-378-quickgelu/dfn5b"  # the paper's, under open_clip's name for it; 4 GB
GRID = 8  # cells of a photo's longer side that windows are laid on
PLAN = ((3, 3), (4, 2), (6, 2))  # (side, stride) in cells: 18 windows of a square photo
TEMPERATURE = 100.0  # CLIP's own at the end of its training


class ClipEncoder:
    """Crops of one photo in one batch; an embedding each."""

    name = "clip"

    def __init__(
        self,
        model: Any,  # open_clip's CLIP or CustomTextCLIP
        preprocess: Callable[[Image.Image], torch.Tensor],
        tokenize: Callable[[Sequence[str]], torch.Tensor],
        label: str,
    ):
        self.model, self.preprocess, self.tokenize = model.eval().requires_grad_(False), preprocess, tokenize
        first = next(model.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.fingerprint = f"{self.name}-{FORMAT}-{label}-{_hash_of(model)}"
        self.width = len(self._embedded([Image.new("RGB", (8, 8))])[0])

    @torch.inference_mode()
    def _embedded(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(n, D) float32, rows L2-normalised."""
        pixels = torch.stack([self.preprocess(image) for image in images]).to(self.device, self.dtype)
        return F.normalize(self.model.encode_image(pixels).float(), dim=-1).cpu().numpy()

    def see(self, image: Image.Image) -> Seen:
        found, rows, columns = laid_on(image)
        boxes = [w.box(rows, columns) for w in found]
        return Seen(self._embedded([cropped(image, box) for box in boxes]).astype(np.float16), boxes)

    def noun_hint(self, image: Image.Image) -> str | None:
        nouns, texts = self._nouns
        likeness = torch.from_numpy(texts @ self._embedded([cropped(image, (0.0, 0.0, 1.0, 1.0))])[0])
        shares = (TEMPERATURE * likeness).softmax(0).numpy()
        return nouns[int(shares.argmax())] if shares.max() >= SURE else None

    @cached_property
    def _nouns(self) -> tuple[list[str], np.ndarray]:
        """Everyday nouns and (n, D) their texts, L2-normalised."""
        nouns = sorted({noun for noun in nouns_of_classes() if noun})
        with torch.inference_mode():
            tokens = self.tokenize([f"a photo of a {noun}" for noun in nouns]).to(self.device)
            return nouns, F.normalize(self.model.encode_text(tokens).float(), dim=-1).cpu().numpy()


def laid_on(image: Image.Image) -> tuple[list[Window], int, int]:
    """Windows of a photo, the whole first, and the rows and columns they are counted in."""
    longer = max(image.size)
    columns, rows = (max(1, round(GRID * side / longer)) for side in image.size)
    return windows(rows, columns, PLAN), rows, columns


def cropped(image: Image.Image, box: Box) -> Image.Image:
    """RGB and square: squeezed, because open_clip would cut off what stands at the ends of a long photo."""
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (*image.size, *image.size), strict=True))
    crop = image.convert("RGB").crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return crop if crop.width == crop.height else crop.resize((max(crop.size),) * 2, Image.Resampling.BICUBIC)


def _hash_of(model: Any) -> str:
    """First eight hex digits of the SHA-256 of all weights, in half precision: the same on every device."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode() + weights.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def load_clip_encoder(wanted: str = "", device: str = "cpu") -> ClipEncoder:
    """`wanted`: MODEL/WEIGHTS or MODEL/FILE, empty for BIG. Errors: ValueError with a sentence for a name that open_clip doesn't know, and
    where the weights aren't here and can't be fetched."""
    import open_clip

    model_name, _, weights = (wanted or BIG).partition("/")
    if model_name not in open_clip.list_models() or not weights:
        known = "ViT-B-32/laion2b_s34b_b79k, ViT-L-14/datacomp_xl_s13b_b90k, ViT-H-14-378-quickgelu/dfn5b"
        raise ValueError(f"No CLIP model {wanted!r}. Name it MODEL/WEIGHTS as open_clip does, for instance {known}. Check engine.encoder.")
    precision = "fp16" if device.startswith("cuda") else "fp32"
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(model_name, pretrained=weights, precision=precision, device=device)
    except Exception as error:  # whatever a hub, a network or a disk says, the person needs it in one line
        raise ValueError(
            f"The weights {weights} of CLIP's {model_name} aren't here and can't be fetched ({type(error).__name__}). "
            'Start once with access to huggingface.co, or name a file of them: encoder = "clip:MODEL/FILE".'
        ) from error
    return ClipEncoder(model, preprocess, open_clip.get_tokenizer(model_name), _label(model_name, weights))


def _label(model_name: str, weights: str) -> str:
    """Part of a file name and of a fingerprint; of a file no more than its name."""
    text = f"{model_name}-{weights.rsplit('/', 1)[-1].split('.')[0]}"
    return "".join(c if c.isalnum() else "-" for c in text).lower()
