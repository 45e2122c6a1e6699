"""What concepts are called while they are measured: names a member might choose, drawn by seed, that tell nothing of the photo."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from .messages import Kind

NAMES: dict[Kind, tuple[str, ...]] = {
    "pet": (
        "Biscuit", "Milo", "Luna", "Corgi Joe", "Pepper", "Ziggy", "Nala", "Waffles", "Otto", "Juno", "Miso", "Figaro", "Pixel", "Bruno",
        "Tofu", "Mochi", "Kiki", "Loki", "Hazel", "Rufus", "Pickle", "Freya", "Dumpling", "Sir Barks", "Yuki", "Poppy", "Cosmo", "Nacho",
        "Winnie", "Gizmo", "Olive", "Tango",
    ),
    "object": (
        "Old Faithful", "Bertha", "Sparky", "Mister Blue", "The Captain", "Gustav", "Big Red", "Wobbles", "Lady Jane", "Zorro", "Chunky",
        "Rosalind", "Twister", "Uncle Bob", "Pebble", "Maximus", "Fernando", "Nimbus", "Sunny Boy", "Clementine", "Duke", "Marvin",
        "Trinket", "Hercules", "Dolores", "Ferris", "Quackers", "Sergeant", "Blinky", "Moxie", "Tallulah", "Bumble",
    ),
    "person": (
        "Anna", "Bilal", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Ivo", "Jasmine", "Kofi", "Lena", "Mateo", "Noor", "Oskar",
        "Priya", "Quentin", "Rosa", "Samir", "Tara", "Umar", "Vera", "Wen", "Ximena", "Yusuf", "Zoe", "Aunt May", "Big Tom", "Jo", "Mika",
        "Leon", "Sanne",
    ),
}  # fmt: skip
SECOND = ("Moon", "Junior", "Two", "Star", "Fox", "River", "Rex", "Belle", "Ash", "Storm", "Finn", "Sky")


def display_names(kinds: Sequence[Kind], avoid: Sequence[str], seed: int) -> list[str]:
    """One distinct name a concept, in order. None holds a word of `avoid` (folder names, class nouns), so that no name is a hint."""
    taboo = {word.lower() for text in avoid for word in text.replace("_", " ").split()}
    pools = {kind: _pool(kind, taboo, seed) for kind in dict.fromkeys(kinds)}
    return [next(pools[kind]) for kind in kinds]


def _pool(kind: Kind, taboo: set[str], seed: int):
    """First the plain names, shuffled, then pairs: there are always enough."""
    plain = [name for name in NAMES[kind] if not taboo & set(name.lower().split())]
    pairs = [f"{first} {second}" for first, second in itertools.product(plain, SECOND) if second.lower() not in taboo]
    for names in (plain, pairs):
        random.Random(f"{seed}/{kind}").shuffle(names)
        yield from names
