"""When photos of a thing are photos of a person."""

import pytest

from bot.portraits import Pictured, depicts, show_person

WHOLE, LEFT, RIGHT = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)
FACE, SMALL = (0.1, 0.2, 0.35, 0.6), (0.1, 0.2, 0.2, 0.3)


@pytest.mark.parametrize(
    ("photos", "subjects", "expected"),
    [
        ([Pictured([FACE], None)] * 4, [WHOLE] * 4, True),
        ([Pictured([FACE], "suit")] * 4, [LEFT] * 4, True),
        ([Pictured([FACE], None)] * 4, [RIGHT] * 4, False),  # the mug beside whoever holds it
        ([Pictured([SMALL], None)] * 4, [WHOLE] * 4, False),  # somebody far behind
        ([Pictured([FACE], "dog")] * 4, [WHOLE] * 4, False),
        ([Pictured([FACE], None)] * 2 + [Pictured([], None)] * 2, [WHOLE] * 4, False),
        ([Pictured([FACE], None)] * 3 + [Pictured([], None)] * 2, [WHOLE] * 5, True),
        ([Pictured([FACE], None)], [WHOLE], True),
        ([], [], False),
    ],
)
def test_a_face_in_the_place_of_the_subject_in_most_photos_is_a_person(photos, subjects, expected):
    assert show_person(photos, subjects) is expected


@pytest.mark.parametrize(
    ("noun", "expected"), [("garden gnome", True), ("statue", True), ("mug", False), ("dollar", False), ("", False), ("woman", False)]
)
def test_what_only_looks_like_a_person_is_said_by_its_noun(noun, expected):
    assert depicts(noun) is expected
