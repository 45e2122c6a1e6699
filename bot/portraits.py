"""Whether photos that are to teach a pet or a thing teach somebody's face instead: people are learned only after they were asked.

Pure; knows neither Discord nor the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from concept_store.records import Box

from .asking import area
from .names import NOUNS

SHOWS_PERSON = "shows_person"  # `failure` of a concept whose photos have a face in common
ADDED_PERSON = "added_shows_person"  # the same, with photos that were added to what is known; they are deleted again
LARGE = 0.05  # of the photo. Measured on 638 photos of dogs, cats and things: MTCNN takes 3 % of the dogs for so large a face
# What looks like a face and is nobody's.
DEPICTIONS = (
    "doll", "figurine", "figure", "statue", "sculpture", "bust", "toy", "puppet", "marionette", "mannequin", "mask", "robot", "gnome",
    "painting", "picture", "portrait", "poster", "drawing", "photo", "card", "print", "sticker", "snowman", "scarecrow", "plush", "plushie",
)  # fmt: skip


@dataclass(frozen=True)
class Pictured:
    """Of one photo: its large faces, and what the encoder takes the main thing for."""

    faces: Sequence[Box]
    noun: str | None


def depicts(class_noun: str) -> bool:
    """Whether its teacher has said that it only looks like a person: "garden gnome"."""
    return any(word in DEPICTIONS for word in class_noun.split())


def show_person(photos: Sequence[Pictured], subjects: Sequence[Box]) -> bool:
    """Whether a large face is what was found to be the subject (`subjects`, one box a photo) in more than half of the photos. Where the
    encoder sees an animal, its face is the animal's."""
    portraits = [
        photo.noun not in NOUNS["pet"] and any(area(face) >= LARGE and middle_in(face, subject) for face in photo.faces)
        for photo, subject in zip(photos, subjects, strict=False)
    ]
    return 2 * sum(portraits) > len(portraits)


def middle_in(face: Box, subject: Box) -> bool:
    across, down = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return subject[0] <= across <= subject[2] and subject[1] <= down <= subject[3]
