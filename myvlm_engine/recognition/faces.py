"""The encoder of faces: every face of a photo found, turned upright and described by a vector that is alike for one person only.

Faces are found by MTCNN (facenet-pytorch), aligned by dlib's five landmarks and described by dlib's network and, where it is
installed, OpenCV's SFace beside it; or by facenet's InceptionResnetV1 where a file with its weights is at hand. Knows no heads, no names
and no consent; models, licences and what was measured are in FACES.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..messages import FACES
from . import face_sface
from .encoders import Seen
from .face_descriptor import CHIP_PX, WEIGHTS, FaceDescriptor, FacesMissing, weight_file
from .face_sface import SFace, sface_file
from .face_vectors import EXTRA, lifted
from .windows import Box

FORMAT = 1  # rises when what `see` computes changes
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
CHIP_PADDING = 0.25  # dlib's: of the face's size, around it
FOUND_AT = 0.9  # MTCNN's certainty; below it mostly isn't a face
SMALLEST_SHARE, SMALLEST_PX = 0.05, 24  # of the longer side: smaller faces are in the background, and too coarse to tell apart
LARGEST_SIDE_PX = 1280  # of the photo in which faces are looked for
PORTRAIT_SHARE, PORTRAIT_PX = 0.12, 480  # the same two for faces that are a good part of the photo
MARGIN = 0.125  # the photo's edge is repeated by so much: tight crops are found, too
MOST_FACES = 24
# SFace's crop has the eyes where ArcFace's template has them: this part of dlib's picture of that size and padding
SFACE_PX, SFACE_PADDING, SFACE_LEFT, SFACE_TOP = 151, 0.625, 19, 5
SFACE_SHARE = 0.6  # length of SFace's part of a vector; dlib's is about 1.4. How it was chosen: FACES.md
BOX_DOWN = 0.05  # dlib's face boxes are squares that sit lower than MTCNN's, by this share of their side


@dataclass(frozen=True, eq=False)
class Face:
    """One found face."""

    box: Box
    square: tuple[float, float, float, float]  # left, top, right, bottom in pixels of the looked-at picture: as dlib's detector has it


class Describer(Protocol):
    """Faces of one picture to identity vectors."""

    name: str
    width: int
    weights: Sequence[Path]

    def __call__(self, pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        """(H, W, 3) uint8 -> (n, width) float32, compared by distance."""


class FaceFinder:
    """Where faces are, by MTCNN; whose they are it can't tell. Faces below `smallest` of the looked-at picture's longer side aren't looked
    for; the picture is made no larger than `largest_px`."""

    def __init__(self, device: str = "cpu", smallest: float = SMALLEST_SHARE, largest_px: int = LARGEST_SIDE_PX):
        from facenet_pytorch import MTCNN  # its weights are in its wheel

        self.smallest, self.largest_px = smallest, largest_px
        self.detector: Any = MTCNN(keep_all=True, post_process=False, device=torch.device(device)).eval()

    def found(self, image: Image.Image) -> tuple[np.ndarray, list[Face]]:
        """The looked-at picture with its repeated edge (H, W, 3) uint8, and the faces in it, the largest first."""
        image = image.convert("RGB")
        image.thumbnail((self.largest_px, self.largest_px))
        edge = round(MARGIN * min(image.size))
        pixels = np.pad(np.asarray(image), ((edge, edge), (edge, edge), (0, 0)), mode="edge")
        self.detector.min_face_size = max(SMALLEST_PX, round(self.smallest * max(image.size)))
        boxes, certainty = self._detected(pixels)
        faces = [face_of(box, edge, image.size) for box, sure in zip(boxes, certainty, strict=True) if sure >= FOUND_AT]
        return pixels, [face for face in faces if face is not None][:MOST_FACES]

    def _detected(self, pixels: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
        if min(pixels.shape[:2]) < self.detector.min_face_size:
            return [], []
        boxes, certainty = self.detector.detect(Image.fromarray(pixels))
        return ([], []) if boxes is None else (list(boxes), list(certainty))


@lru_cache(maxsize=1)
def _portrait_finder() -> FaceFinder:
    return FaceFinder("cpu", PORTRAIT_SHARE, PORTRAIT_PX)


def large_faces(image: Image.Image) -> list[Box]:
    """Boxes of the faces that are a good part of a photo, as in a portrait. Tells nothing of whose they are."""
    found = [face.box for face in _portrait_finder().found(image)[1]]
    return [box for box in found if (box[2] - box[0]) * (box[3] - box[1]) >= PORTRAIT_SHARE**2]


class FaceEncoder:
    """Region vectors of a photo are its faces, the largest first; a photo without a face has none."""

    name = FACES

    def __init__(self, describer: Describer, device: str = "cpu"):
        self.describer, self.width = describer, describer.width + EXTRA
        self.finder = FaceFinder(device)
        self.fingerprint = f"{FACES}-{FORMAT}-{describer.name}-{hash_of([*detector_weights(), *describer.weights])}"

    def see(self, image: Image.Image) -> Seen:
        pixels, faces = self.finder.found(image)
        vectors = lifted(self.describer(pixels, faces)) if faces else np.zeros((0, self.width))
        return Seen(vectors.astype(np.float16), [face.box for face in faces])

    def noun_hint(self, image: Image.Image) -> str | None:
        return None  # a person is a person


def face_of(corners: np.ndarray, edge: int, size: tuple[int, int]) -> Face | None:
    """MTCNN's box (pixels, with the repeated edge) as a Face; None where nothing of it is in the photo."""
    left, top, right, bottom = (float(x) for x in corners)
    across, down = (left + right) / 2, (top + bottom) / 2
    half = (right - left + bottom - top) / 4
    down_square = down + BOX_DOWN * 2 * half
    shares = [(left - edge) / size[0], (top - edge) / size[1], (right - edge) / size[0], (bottom - edge) / size[1]]
    box = tuple(min(max(share, 0.0), 1.0) for share in shares)
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    return Face(box, (across - half, down_square - half, across + half, down_square + half))  # type: ignore[arg-type]


class DlibDescriber:
    """Aligned by dlib's landmarks; the descriptors of the face and of its mirror image are averaged."""

    name, width = "dlib", 128

    def __init__(self, device: str = "cpu"):
        """Errors: FacesMissing."""
        dlib = _dlib()
        self.weights: Sequence[Path] = (weight_file(LANDMARKS), weight_file(WEIGHTS))
        try:
            self._landmarks = dlib.shape_predictor(str(self.weights[0]))
        except RuntimeError as error:
            raise FacesMissing(f"{LANDMARKS} is cut short. Install it again: `myvlm models install faces`.") from error
        self._descriptor = FaceDescriptor(self.weights[1], device)

    def __call__(self, pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        return self.describe(pixels, self.landmarks(pixels, faces))

    def landmarks(self, pixels: np.ndarray, faces: Sequence[Face]) -> list[Any]:
        """dlib's five of each face."""
        dlib = _dlib()
        return [self._landmarks(pixels, dlib.rectangle(*(round(x) for x in face.square))) for face in faces]

    def describe(self, pixels: np.ndarray, landmarks: Sequence[Any]) -> np.ndarray:
        """(n, 128) of faces whose landmarks are known."""
        return both_ways(self._descriptor, face_chips(pixels, landmarks, CHIP_PX, CHIP_PADDING))


class PairDescriber:
    """dlib's descriptor and SFace's side by side, so that their squared distances add up: they err on different faces."""

    name, width = "dlib_sface", 128 + face_sface.WIDTH

    def __init__(self, sface: Path, device: str = "cpu"):
        """Errors: FacesMissing."""
        self._dlib = DlibDescriber(device)
        self._sface = SFace(sface, device)
        self.weights: Sequence[Path] = (*self._dlib.weights, sface)

    def __call__(self, pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        landmarks = self._dlib.landmarks(pixels, faces)
        wide = face_chips(pixels, landmarks, SFACE_PX, SFACE_PADDING)
        side = face_sface.CHIP_PX
        chips = wide[:, SFACE_TOP : SFACE_TOP + side, SFACE_LEFT : SFACE_LEFT + side]
        return np.hstack([self._dlib.describe(pixels, landmarks), SFACE_SHARE * unit_rows(both_ways(self._sface, chips))])


def face_chips(pixels: np.ndarray, landmarks: Sequence[Any], size: int, padding: float) -> np.ndarray:
    """(n, size, size, 3) uint8: eyes level, always at the same place; with `padding` of the face's size around it."""
    dlib = _dlib()
    return np.stack([dlib.get_face_chip(pixels, shape, size=size, padding=padding) for shape in landmarks])


def both_ways(describe: Callable[[np.ndarray], np.ndarray], chips: np.ndarray) -> np.ndarray:
    """(n, side, side, 3) -> (n, d): the mean of a face's descriptor and its mirror image's."""
    both = describe(np.concatenate([chips, chips[:, :, ::-1]]))
    return (both[: len(chips)] + both[len(chips) :]) / 2


class FacenetDescriber:
    """facenet's InceptionResnetV1 with weights from a local file: a safetensors or torch state dict; the face's box scaled to 160 px."""

    name, width = "facenet", 512
    SIDE_PX = 160

    def __init__(self, path: Path, device: str = "cpu"):
        """Errors: FacesMissing where the file isn't there or isn't such weights."""
        from facenet_pytorch import InceptionResnetV1

        self.weights: Sequence[Path] = (path,)
        self.device = device
        self._net = InceptionResnetV1(pretrained=None)
        try:
            self._net.load_state_dict({k: v for k, v in state_dict(path).items() if not k.startswith("logits.")})
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise FacesMissing(
                f"{path} doesn't hold the weights of facenet's InceptionResnetV1, or is cut short. Check engine.face_weights."
            ) from error
        self._net = self._net.eval().to(device)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        photo = Image.fromarray(pixels)
        chips = np.stack([np.asarray(photo.resize((self.SIDE_PX, self.SIDE_PX), Image.Resampling.BILINEAR, f.square)) for f in faces])
        x = torch.from_numpy(chips).to(self.device).permute(0, 3, 1, 2).float().sub(127.5).div(128)  # (n, 3, 160, 160)
        return unit_rows((self._net(x) + self._net(x.flip(3))).cpu().numpy())


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors only: nothing in the file is run. Errors: OSError, RuntimeError, ValueError: the file is cut short or another."""
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise ValueError("not tensors") from error


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def hash_of(paths: Sequence[Path]) -> str:
    """First 8 hex digits of the files' SHA-256."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def detector_weights() -> list[Path]:
    """MTCNN's three files in the wheel of facenet-pytorch."""
    import facenet_pytorch

    folder = Path(facenet_pytorch.__file__).parent / "data"
    return [folder / name for name in ("pnet.pt", "rnet.pt", "onet.pt")]


def load_faces(device: str = "cpu", weights: str = "") -> FaceEncoder:
    """With dlib's descriptor, SFace's beside it where that is installed, or with facenet's where `weights` names its file.
    Errors: FacesMissing."""
    try:
        if weights:
            return FaceEncoder(FacenetDescriber(Path(weights), device), device)
        sface = sface_file()
        return FaceEncoder(PairDescriber(sface, device) if sface else DlibDescriber(device), device)
    except ImportError as error:
        raise FacesMissing(f"{error.name} isn't installed. Run `myvlm models install faces` and start again.") from error


def _dlib() -> Any:
    import dlib

    return dlib
