"""Whose face is meant: what its teacher is asked where a taught photo shows several, and what the answer leaves of the photo's vectors.

Pure; knows neither Discord nor the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concept_store.records import Box, Concept, ConceptId, Photo, Regions, State

SEVERAL = "several_faces"  # the engine's code, and `failure` of a concept whose teacher is asked
MOST = 10  # faces are offered: two rows of five buttons
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)  # the engine's place of a face that isn't to be seen in a taught photo
SAME = 0.3  # overlap (intersection over union) from which two boxes are taken for one face's


@dataclass(frozen=True)
class Question:
    """`number`: of the photo, from 1; `faces`: numbered from 1 in this order."""

    photo: Photo
    number: int
    faces: tuple[Box, ...]

    def face_number(self, choice: Choice) -> int | None:
        """None where this face isn't what is asked about."""
        faces = [thousandths(face) for face in self.faces]
        mine = thousandths(choice.face)
        return faces.index(mine) + 1 if choice.photo_number == self.number and mine in faces else None


@dataclass(frozen=True)
class Choice:
    """What the button of one face carries. The face itself and not its number: an old button can't mean another face."""

    concept_id: ConceptId
    photo_number: int
    face: Box

    @property
    def packed(self) -> str:
        return "-".join([self.concept_id, str(self.photo_number), *map(str, thousandths(self.face))])

    @classmethod
    def unpack(cls, text: str) -> Choice:
        concept_id, photo_number, *face = text.rsplit("-", 5)
        return cls(ConceptId(concept_id), int(photo_number), shares([int(number) for number in face]))


def offered(facts: Mapping[str, object], photos: int) -> tuple[int, tuple[Box, ...]] | None:
    """From what the engine says with `several_faces`: the photo's index and its largest faces, in the engine's order. None where it
    doesn't say, or speaks of no taught photo."""
    photo, numbers = facts.get("photo"), facts.get("boxes")
    if not isinstance(photo, int) or not 0 <= photo < photos or not isinstance(numbers, list) or len(numbers) % 4:
        return None
    boxes = dict.fromkeys(shares(numbers[at : at + 4]) for at in range(0, len(numbers), 4))
    largest = sorted((box for box in boxes if area(box) > 0), key=area, reverse=True)[:MOST]
    return (photo, tuple(box for box in boxes if box in largest)) if len(largest) > 1 else None


def question_of(concept: Concept, photos: Sequence[Photo]) -> Question | None:
    """The open one; None when its teacher isn't waited for."""
    if not waits(concept):
        return None
    return next((Question(photo, number, photo.faces) for number, photo in enumerate(photos, 1) if photo.faces), None)


def waits(concept: Concept) -> bool:
    """For its teacher to say whose face is meant."""
    return concept.state is State.FAILED and concept.failure == SEVERAL


def only(regions: Regions, face: Box) -> Regions:
    """Of what an encoder of faces saw: the chosen face alone; everything, where that one isn't there."""
    overlaps = [overlap(box, face) for box in regions.boxes]
    best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    if best is None or len(overlaps) == 1 or overlaps[best] < SAME:
        return regions
    return Regions(regions.encoder, regions.vectors[best : best + 1], (regions.boxes[best],))


def meant_in(regions: Regions, place: Box) -> Regions:
    """What is kept of a person's taught photo, once it is known which face is theirs: nothing, where it isn't to be seen. Whoever else is
    in it has agreed to nothing."""
    if place == WHOLE and regions.boxes and WHOLE not in regions.boxes:  # a face may fill the photo
        return Regions(regions.encoder, regions.vectors[:0], ())
    return only(regions, place)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    both = (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    common = area(both)
    return common / (area(one) + area(other) - common) if common else 0.0


def area(box: Box) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)


def thousandths(box: Box) -> tuple[int, ...]:
    return tuple(round(1000 * side) for side in box)


def shares(numbers: Sequence[int]) -> Box:
    left, top, right, bottom = (min(max(number, 0), 1000) / 1000 for number in numbers)
    return left, top, right, bottom
