"""Ways of personalising that `myvlm eval concepts` compares: MyVLM, MyVLM without one of its parts, and what it is compared with.

One row of METHODS each; `engine_for` makes an engine that works that way. Knows the engine's parts and measures nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .engine import Engine
from .photo_sets import CantMeasure


@dataclass(frozen=True)
class Method:
    """In what it differs from MyVLM."""

    does: str  # for the help
    learns: bool = True  # a concept embedding; else the name takes the class noun's place
    heads: bool = True  # decide who is in a photo; else embeddings are handed in whoever is there
    guided: bool = False  # names that the VLM didn't write are put in (naming.py)
    norm_matching: bool = True
    training: Mapping[str, Any] = field(default_factory=dict)  # changes to personalise.training.Options
    clip: bool = False  # a word learned in CLIP's text space decides who is in a photo
    word: bool = False  # what is learned is a word of the language model: not where concept vectors stand elsewhere


METHODS = {
    "myvlm": Method("heads, embeddings, and every recognised name in the caption", guided=True),
    "no-guidance": Method("nearest to the paper (docs/gpu.md): the model's own words with the embedding; names are not put in"),
    "no-norm": Method("no-guidance without norm matching", norm_matching=False),
    "no-regulariser": Method("no-guidance with lambda 0", training={"regulariser": 0.0}),
    "no-augmentation": Method("no-guidance, learned from the photos alone", training={"augmented_per_photo": 0}),
    "no-head": Method("no-guidance, with the embeddings of four concepts in every photo, whoever is in it", heads=False),
    "no-embedding": Method("heads, and every recognised name in the caption; nothing is learned", learns=False, guided=True),
    "name-substitution": Method("heads, and the name in the class noun's place where the caption has it; nothing is learned", learns=False),
    "textual-inversion": Method(
        "a word learned in the language model's embedding space: no head, no norm matching, no regulariser",
        heads=False,
        norm_matching=False,
        training={"regulariser": 0.0},
        word=True,
    ),
    "clip-text": Method(
        "a word learned in CLIP's text space finds the photos; the name by substitution", learns=False, clip=True
    ),
}


def method_named(name: str) -> Method:
    """Errors: CantMeasure naming those there are."""
    if name not in METHODS:
        raise CantMeasure(f"There is no method {name!r}. Known: {', '.join(METHODS)}.")
    return METHODS[name]


def engine_for(engine: Engine, method: Method) -> Engine:
    """The same models, personalised that way. Errors: CantMeasure where they can't, or what it needs isn't here."""
    parts = engine.parts
    if method.word and not getattr(parts.vlm, "among_words", True):
        raise CantMeasure(
            f"textual-inversion learns a word of the language model; in {parts.vlm.name} what is learned stands behind the photo's tokens, "
            "before the Q-Former, and is no word. Leave out textual-inversion, or choose another --vlm."
        )
    if method.clip:
        from .clip_text import load_clip

        load_clip()
    if not method.norm_matching:
        parts = replace(parts, vlm=without_norm_matching(parts.vlm))
    if method.training:
        parts = replace(parts, learn_concept=partial(parts.learn_concept, **method.training))
    if not method.guided:
        parts = replace(parts, answer=partial(parts.answer, guided=False))
    return Engine(parts)


def without_norm_matching(vlm: Any) -> Any:
    """A copy that shares the weights; the VLM itself isn't changed."""
    if not hasattr(vlm, "norm_matching"):
        raise CantMeasure(
            f"{vlm.name} can't be measured without norm matching. Leave out no-norm and textual-inversion, or use --vlm pocket."
        )
    plain = copy.copy(vlm)
    plain.norm_matching = False
    return plain
