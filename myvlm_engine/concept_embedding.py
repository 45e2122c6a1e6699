"""A learned concept embedding as it travels and is kept: safetensors bytes with the facts it belongs to in the header.

Knows no model: only shapes, names and fingerprints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from .errors import BadRequest, OtherVlm

TENSOR = "embedding"


@dataclass(frozen=True, eq=False)
class ConceptEmbedding:
    """K vectors of the VLM's width that make it say `name`."""

    vectors: np.ndarray  # (K, D) float32
    vlm: str  # fingerprint of the VLM they were learned for
    name: str
    class_noun: str

    def to_bytes(self) -> bytes:
        facts = {"vlm": self.vlm, "name": self.name, "class_noun": self.class_noun}
        return save({TENSOR: np.ascontiguousarray(self.vectors, dtype=np.float32)}, metadata=facts)


def read_embedding(data: bytes, vlm: str, width: int) -> ConceptEmbedding:
    """The embedding in `data`. Errors: OtherVlm when it was learned for another than `vlm`; BadRequest when it isn't one."""
    facts = _header(data)
    if facts.get("vlm") != vlm:
        raise OtherVlm(expected=vlm, found=facts.get("vlm", "unknown"))
    tensors = dict(deserialize(data))
    tensor = tensors.get(TENSOR)
    if tensor is None or tensor["dtype"] != "F32" or len(tensor["shape"]) != 2 or tensor["shape"][1] != width:
        raise BadRequest("embedding: not (K, D) float32")
    vectors = np.frombuffer(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
    if not np.isfinite(vectors).all():
        raise BadRequest("embedding: not finite")
    return ConceptEmbedding(vectors, vlm, facts.get("name", ""), facts.get("class_noun", ""))


def _header(data: bytes) -> dict[str, str]:
    try:
        deserialize(data)  # checks that the header is whole and fits the bytes
    except SafetensorError as error:
        raise BadRequest("embedding: not safetensors") from error
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]).get("__metadata__", {})
