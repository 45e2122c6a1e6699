"""Which head a kind gets: people by their faces and by nothing else, pets and things by regions. Knows neither how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadRequest, PeopleOff
from ..messages import FACES, Box, FitRequest, Head
from .face_heads import fit_faces
from .heads import fit_head as fit_regions

if TYPE_CHECKING:
    from .encoders import Encoder


def fit_head(encoder: Encoder, request: FitRequest) -> tuple[Head, list[Box]]:
    """A request's head, and the box of the subject in each taught photo. Errors: NoBank, NoFace, SeveralFaces, PeopleOff, BadRequest."""
    faces = encoder.fingerprint.startswith(FACES)
    if request.kind == "person":
        if not faces:
            raise PeopleOff()
        return fit_faces(request)
    if faces:
        raise BadRequest("encoder: faces are for people only")
    return fit_regions(encoder, request)
