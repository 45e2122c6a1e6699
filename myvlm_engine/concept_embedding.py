"""A learned concept embedding as it travels and is kept: safetensors bytes with the facts it belongs to in the header.

One that is still being learned also says where that stands, so that any engine goes on from there. Knows no model: only shapes, names
and fingerprints.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from .errors import BadRequest, OtherVlm

TENSOR = "embedding"
STANDING = "standing"  # in the header, as JSON: what of it isn't a tensor
MOMENTS = ("current", "mean", "square")  # its tensors


@dataclass(frozen=True, eq=False)
class Standing:
    """Where learning stands after a step. The vectors that the score is of, the best so far, are the embedding itself."""

    step: int
    current: np.ndarray  # (K, D) float32, the vectors that are learned on
    mean: np.ndarray  # (K, D) float32, AdamW's first moment of their gradient
    square: np.ndarray  # (K, D) float32, its second
    updates: int  # AdamW's own count: steps on which numbers overflowed are left out
    score: float  # of the best vectors, as training.Judged has it
    surely_named: bool  # likewise
    sample: str  # what the VLM says with the best vectors


@dataclass(frozen=True, eq=False)
class ConceptEmbedding:
    """K vectors of the VLM's width that make it say `name`."""

    vectors: np.ndarray  # (K, D) float32
    vlm: str  # fingerprint of the VLM they were learned for
    name: str
    class_noun: str
    standing: Standing | None = None  # None: learned, or nobody says where learning stands

    def to_bytes(self) -> bytes:
        facts = {"vlm": self.vlm, "name": self.name, "class_noun": self.class_noun}
        tensors = {TENSOR: self.vectors}
        if self.standing is not None:
            told = asdict(self.standing)
            tensors |= {name: told.pop(name) for name in MOMENTS}
            facts[STANDING] = json.dumps(told)
        return save({name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()}, metadata=facts)


def read_embedding(data: bytes, vlm: str, width: int) -> ConceptEmbedding:
    """The embedding in `data`. Errors: OtherVlm when it was learned for another than `vlm`; BadRequest when it isn't one."""
    facts = _header(data)
    if facts.get("vlm") != vlm:
        raise OtherVlm(expected=vlm, found=facts.get("vlm", "unknown"))
    tensors = dict(deserialize(data))
    vectors = _array(tensors, TENSOR)
    if vectors.shape[1] != width:
        raise BadRequest(f"{TENSOR}: not (K, D) float32")
    standing = _standing(facts[STANDING], tensors, vectors.shape) if STANDING in facts else None
    return ConceptEmbedding(vectors, vlm, facts.get("name", ""), facts.get("class_noun", ""), standing)


def _standing(told: str, tensors: dict[str, dict], shape: tuple[int, ...]) -> Standing:
    """Errors: BadRequest."""
    arrays = {name: _array(tensors, name) for name in MOMENTS}
    try:
        standing = Standing(**{**json.loads(told), **arrays})
        counts = [n for n in (standing.step, standing.updates) if isinstance(n, int) and n >= 0]
        sound = len(counts) == 2 and math.isfinite(standing.score) and isinstance(standing.sample, str)
    except (ValueError, TypeError) as error:
        raise BadRequest("embedding: not where it stands") from error
    if not sound or any(a.shape != shape for a in arrays.values()) or (standing.square < 0).any():
        raise BadRequest("embedding: not where it stands")
    return standing


def _array(tensors: dict[str, dict], name: str) -> np.ndarray:
    """(K, D) float32. Errors: BadRequest."""
    tensor = tensors.get(name)
    if tensor is None or tensor["dtype"] != "F32" or len(tensor["shape"]) != 2:
        raise BadRequest(f"{name}: not (K, D) float32")
    array = np.frombuffer(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
    if not np.isfinite(array).all():
        raise BadRequest(f"{name}: not finite")
    return array


def _header(data: bytes) -> dict[str, str]:
    try:
        deserialize(data)  # checks that the header is whole and fits the bytes
    except SafetensorError as error:
        raise BadRequest("embedding: not safetensors") from error
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]).get("__metadata__", {})
