"""Metrics of texts against references: CIDEr-D and BLEU (pycocoevalcap), sentence similarity (MiniLM). Knows no model of ours."""

from __future__ import annotations

import contextlib
import io
import re


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
