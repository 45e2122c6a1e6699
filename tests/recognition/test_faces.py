"""People by their faces: which face is meant, what a head of faces says, and the face encoder on its real weights."""

from __future__ import annotations

import numpy as np
import pytest

from myvlm_engine.errors import BadRequest, NoFace, PeopleOff, SeveralFaces
from myvlm_engine.messages import FitRequest, Head, Sight, pack, unpack
from myvlm_engine.recognition.face_heads import MEASURES, measure_of, reach
from myvlm_engine.recognition.face_vectors import descriptors, distances, lifted, within
from myvlm_engine.recognition.fitting import fit_head

ENCODER, WIDTH = "faces-1-dlib-00000000", 130
LENGTH = 1.4  # of dlib's descriptors
PLACES = [(0.1, 0.1, 0.3, 0.4), (0.6, 0.1, 0.8, 0.4), (0.4, 0.5, 0.5, 0.7)]
NOBODY = (0.0, 0.0, 1.0, 1.0)


class Eyes:
    """Only what a fit asks of an encoder."""

    def __init__(self, fingerprint: str = ENCODER):
        self.fingerprint, self.width = fingerprint, WIDTH


def person(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=WIDTH - 2)
    return vector / np.linalg.norm(vector)


def face(who: int, look: int = 0, spread: float = 0.1) -> np.ndarray:
    """One look of a person: about 0.2 from another look, and about 2 from other people's."""
    other = person(1000 * who + look + 7)
    mixed = person(who) + spread * other
    return lifted(LENGTH * mixed[None] / np.linalg.norm(mixed))[0]


def sight(*faces: np.ndarray, encoder: str = ENCODER) -> Sight:
    rows = np.array(faces).reshape(-1, WIDTH)
    return Sight(encoder=encoder, width=WIDTH, vectors=pack(rows), boxes=PLACES[: len(faces)])


def fit(*photos: Sight, **more) -> tuple[Head, list]:
    return fit_head(Eyes(), FitRequest(**{"kind": "person", "positives": list(photos)} | more))


def probability(head: Head, *faces: np.ndarray) -> float:
    vectors = unpack(head.vectors, "float32").reshape(-1, head.width)
    score = (np.array(faces) @ vectors.T + np.array(head.biases)).max()
    return float(1 / (1 + np.exp(-(head.slope * score + head.offset))))


ANNA, BEN, CLARA = 1, 2, 3


def test_a_head_is_one_vector_a_taught_face_and_says_yes_to_that_person_only():
    head, boxes = fit(*[sight(face(ANNA, look)) for look in range(4)])
    assert len(head.biases) == 4 and boxes == [PLACES[0]] * 4
    assert probability(head, face(ANNA, 9)) > 0.9
    assert probability(head, face(BEN, 9)) < 0.01
    assert probability(head, face(BEN, 9), face(ANNA, 8)) > 0.9


def test_one_photo_is_enough():
    head, _ = fit(sight(face(ANNA)))
    assert probability(head, face(ANNA, 5)) > 0.5 > probability(head, face(BEN, 5))


def test_the_face_that_repeats_is_meant():
    _, boxes = fit(sight(face(BEN), face(ANNA, 1)), sight(face(ANNA, 2), face(CLARA)), sight(face(CLARA, 4), face(5), face(ANNA, 3)))
    assert boxes == [PLACES[1], PLACES[0], PLACES[2]]


def test_a_face_alone_in_a_photo_tells_which_is_meant_in_the_others():
    head, boxes = fit(sight(face(BEN, 1), face(ANNA, 1)), sight(face(BEN, 2), face(ANNA, 2)), sight(face(ANNA, 3)))
    assert boxes == [PLACES[1], PLACES[1], PLACES[0]]
    assert probability(head, face(BEN, 9)) < 0.01


def test_photos_in_which_the_face_is_not_to_be_seen_are_left_out():
    head, boxes = fit(sight(face(ANNA)), sight(), sight(face(BEN), face(CLARA)))
    assert boxes == [PLACES[0], NOBODY, NOBODY] and len(head.biases) == 1


def test_no_face_anywhere_is_refused_with_the_photos():
    with pytest.raises(NoFace) as refused:
        fit(sight(), sight())
    assert refused.value.facts == {"photos": [0, 1]}


@pytest.mark.parametrize(
    "photos",
    [
        [sight(face(ANNA), face(BEN))],
        [sight(face(ANNA, 1), face(BEN, 1)), sight(face(ANNA, 2), face(BEN, 2))],
        [sight(face(ANNA), face(BEN)), sight(face(CLARA), face(5))],
    ],
    ids=["two faces and one photo", "a couple in every photo", "strangers everywhere"],
)
def test_where_nothing_tells_whose_face_is_meant_it_asks_with_the_places(photos):
    with pytest.raises(SeveralFaces) as refused:
        fit(*photos)
    reply = refused.value.reply()
    assert reply.code == "several_faces" and reply.facts == {"photo": 0, "boxes": [100, 100, 300, 400, 600, 100, 800, 400]}


def test_three_near_identical_photos_are_as_good_as_one():
    head, _ = fit(*[sight(face(ANNA, 1, 0.1 + look / 1000)) for look in range(3)])
    assert probability(head, face(ANNA, 5)) > 0.5 > probability(head, face(BEN, 5))


def test_a_person_who_differs_more_between_taught_photos_is_known_from_further_away():
    alike, varied, mixed_up = (descriptors(np.stack([face(ANNA, look, spread) for look in range(4)])) for spread in (0.02, 0.25, 3.0))
    measure = MEASURES["dlib"]
    assert measure.yes_within < reach(alike, measure) < reach(alike[:1], measure) < reach(varied, measure) < reach(mixed_up, measure) < 0.6
    assert reach(varied, MEASURES["dlib_sface"]) == pytest.approx(MEASURES["dlib_sface"].yes_within)


def test_each_describer_has_its_own_measure():
    named = {family: measure_of(f"faces-1-{family}-00000000") for family in ("dlib", "dlib_sface", "facenet")}
    assert named == MEASURES


def test_a_face_that_was_wrongly_named_is_not_named_again():
    twin = face(ANNA, 77)
    head, _ = fit(sight(face(ANNA, 1)), sight(face(ANNA, 2)), corrections=[sight(twin)])
    assert probability(head, twin) < 0.5


def test_people_are_recognised_by_faces_only_and_nothing_else_is():
    with pytest.raises(PeopleOff):
        fit_head(Eyes("embedded-2-0"), FitRequest(kind="person", positives=[sight(face(ANNA), encoder="embedded-2-0")]))
    for kind in ("pet", "object"):
        with pytest.raises(BadRequest, match="faces"):
            fit(sight(face(ANNA)), kind=kind)


def test_a_lifted_product_decides_as_the_distance_does():
    """The plain reference: distances of the descriptors themselves, float16 as it is kept."""
    generator = np.random.default_rng(5)
    faces, taught = generator.normal(size=(2, 200, 128)) * 0.06
    rows = lifted(faces).astype(np.float16).astype(np.float32)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=2e-3)
    assert descriptors(rows) == pytest.approx(faces, abs=2e-3)
    apart = distances(faces, taught)
    limit = float(np.median(apart))
    clear = np.abs(apart - limit) > 0.005
    assert ((rows @ within(taught, limit).T > 0) == (apart < limit))[clear].all()
