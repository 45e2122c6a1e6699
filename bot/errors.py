"""What a person asked for and can't have: a code and its facts. The sentences are in replies.py; nothing here knows Discord."""

from __future__ import annotations

from typing import Literal

RefusalCode = Literal[
    "not_a_picture",  # facts: which
    "empty_file",  # facts: which
    "too_many_bytes",  # facts: which, size_bytes, limit_bytes
    "too_many_pixels",  # facts: which, pixels, limit_pixels
    "broken_picture",  # facts: which
    "too_small",  # facts: which, width, height
    "unsupported_format",  # facts: which, found
    "download_failed",  # facts: which
    "same_photo",  # facts: photos
    "too_many_photos",  # facts: photos, limit
    "too_many_added",  # facts: name, kept, limit, room
    "known_photos",  # facts: photos
    "name_empty",
    "name_too_long",  # facts: length, limit
    "name_pings",
    "name_markdown",  # facts: found
    "name_link",
    "name_custom_emoji",  # facts: found; as it is typed, :biscuit:
    "name_invisible",
    "name_lines",
    "name_without_letters",
    "name_yours",  # facts: name
    "name_needed",  # facts: name; a word that every sentence needs
    "noun_not_a_word",  # facts: found
    "noun_too_long",  # facts: length, limit
    "noun_with_digits",  # facts: found
    "question_empty",
    "question_too_long",  # facts: length, limit
    "people_off",
    "people_off_everywhere",
    "people_off_here",
    "person_elsewhere",  # facts: name
    "people_need_server",
    "member_missing",
    "member_not_meant",
    "only_managers",
    "not_yours",  # facts: name, teacher_id
    "not_your_button",
    "unknown_concept",  # facts: name
    "not_met",  # facts: name; none of its photos was looked at yet
    "gone",  # facts: nothing; the concept behind a button was forgotten
    "not_failed",  # facts: name
    "message_without_photo",
    "photo_gone",
    "teacher_said",  # facts: name, teacher_id
    "not_yours_to_undo",  # facts: name, teacher_id
    "nobody_recognised",
    "only_photo",  # facts: name
    "photo_removed",  # facts: name
    "face_chosen",  # facts: name; the question whose face is meant is open no more
    "taught_photo_gone",  # facts: name
]

Fact = str | int | float


class Refusal(Exception):
    """A person's input can't be used; nothing was changed."""

    def __init__(self, code: RefusalCode, **facts: Fact):
        super().__init__(code)
        self.code = code
        self.facts = facts

    def __reduce__(self) -> tuple[object, ...]:
        """Goes over from the process that decodes."""
        return _again, (self.code, self.facts)


def _again(code: RefusalCode, facts: dict[str, Fact]) -> Refusal:
    return Refusal(code, **facts)
