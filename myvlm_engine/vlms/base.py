"""The small Protocol every vision-language model (VLM) stands behind, and the factory that finds one by name.

Knows nothing of Discord, the store, heads or HTTP. A VLM is frozen; a concept embedding is the only thing that is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image


@dataclass(frozen=True)
class View:
    """One (augmented) photo after the vision tower, ready for any number of prompts: the tower never runs twice."""

    state: Any  # what the family needs: visual tokens, hints, cached keys and values
    image_size: tuple[int, int]  # (width, height) px of the photo


@dataclass(frozen=True)
class Target:
    """One training sentence: on this view, asked this, say that."""

    view: int  # index into the views of the call
    prompt: str | None  # None: the family's caption prompt
    text: str


@dataclass(frozen=True)
class Losses:
    """What one forward pass over M targets yields."""

    cross_entropy: torch.Tensor  # (M,) mean over each target's tokens
    attention: torch.Tensor  # (M,) R(e): mean over layers of mean(P[others -> concept column]^2); 0 where not asked for
    name_probability: torch.Tensor  # (M,) geometric mean probability of the identifier's tokens inside the target; 1 where none


@dataclass(frozen=True)
class Asked:
    """One concept's part of a batch."""

    views: Sequence[View]
    targets: Sequence[Target]
    concepts: torch.Tensor  # (K, width)
    identifier: str


@dataclass(frozen=True)
class Decoding:
    """How to write an answer: beam search, deterministic."""

    beams: int = 3
    max_tokens: int = 32
    forbidden: tuple[str, ...] = ()  # names that can't be generated (name_guard.py)
    allowed: tuple[str, ...] = ()  # names that may be, though a forbidden one stands in them
    opening: str = ""  # the answer is made to start so; part of the returned text
    candidates: int = 1  # how many of the beams to return


@dataclass(frozen=True)
class Recipe:
    """How concept embeddings of a family are learned, where that isn't as the training loop has it (the published settings)."""

    steps: int  # of objects and pets
    steps_people: int
    rate: float
    regulariser: float  # lambda, for R as in Losses


class Vlm(Protocol):
    """`concepts` are always (K, width) float32: the vectors of all fired concepts, in the order they stand after the visual
    tokens; K = 0 is the base model."""

    name: str
    fingerprint: str  # name and hashes of all weights; embeddings are bound to it
    width: int  # D of a concept embedding
    embedding_norm: float  # mean norm of the tokens it stands among; vectors are rescaled to it at every use

    def views(self, images: Sequence[Image.Image]) -> list[View]:
        """Runs the vision tower once over RGB images."""

    def starting_vectors(self, name: str, class_noun: str) -> torch.Tensor | None:
        """(K, width) a good point to start learning from, or None where the family has none."""

    def losses(self, views: Sequence[View], targets: Sequence[Target], concepts: torch.Tensor, identifier: str, attention: bool) -> Losses:
        """Differentiable in `concepts` and in nothing else."""

    def candidates(self, view: View, prompt: str | None, concepts: torch.Tensor, decoding: Decoding = Decoding()) -> list[str]:
        """Captions (prompt None) or answers, best first. With K = 0 and nothing forbidden: the base model's own, bit for bit."""

    # among_words: bool, optional, True where it isn't there: whether `concepts` stand among the language model's own words
    # grounds: bool, and places(view, class_noun) -> list[Box], optional: where it says that things of this kind are, shares of the photo


def losses_together(vlm: Vlm, asked: Sequence[Asked], attention: bool) -> list[Losses]:
    """What several concepts lose, each with its own views: in one batch where the VLM has `losses_together`, else one after another."""
    if hasattr(vlm, "losses_together"):
        return vlm.losses_together(asked, attention)
    return [vlm.losses(a.views, a.targets, a.concepts, a.identifier, attention) for a in asked]


def generate(vlm: Vlm, view: View, prompt: str | None = None, concepts: torch.Tensor | None = None, decoding: Decoding = Decoding()) -> str:
    """The best answer. No concepts: the base model's."""
    return vlm.candidates(view, prompt, torch.zeros(0, vlm.width) if concepts is None else concepts, decoding)[0]


def load_vlm(name: str, device: str = "cpu") -> Vlm:
    """ "pocket" is built in; "llava-1.5-7b" and the like are the table's (catalog.py), "llava:/folder" is a model of that family in a
    folder, either with "@4bit" or "@8bit" behind it; others are entry points of the group "myvlm_engine.vlms".
    Errors: ValueError with a sentence naming the known models, or saying what the model lacks."""
    from importlib.metadata import entry_points

    from .catalog import FAMILIES, MODELS, parsed

    if name == "pocket":
        from .pocket import load_pocket

        return load_pocket(device)
    wanted = parsed(name)
    if wanted.name in MODELS or wanted.name in FAMILIES:
        from .loading import load_from_transformers

        return load_from_transformers(wanted, device)
    plugins = {e.name: e for e in entry_points(group="myvlm_engine.vlms")}
    if wanted.name not in plugins:
        known = ", ".join(["pocket", *MODELS, *sorted(plugins), *(f"{family}:FOLDER" for family in FAMILIES)])
        raise ValueError(f"No VLM {name!r}. Known: {known}. Check engine.vlm in config.toml or run `myvlm models list`.")
    return plugins[wanted.name].load()(name, device)
