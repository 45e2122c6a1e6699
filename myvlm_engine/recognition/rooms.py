"""Rooms that nobody photographed: pictures in which the towers see rooms, computed from the towers' own weights.

DeepInversion (Yin et al., CVPR 2020) on the three towers of the embedded encoder: from noise, a batch of pictures is changed until what
enters every normalisation layer has the mean and the variance that it has on photos of rooms, and the classifiers see furniture. Of
the photos only these two numbers a channel are used, means over all of them: no photo can be got back. Pictures are parametrised by their
Fourier coefficients (Olah et al., Feature Visualization, 2017), so that large shapes change as fast as small ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from tqdm import tqdm

from ..pocket.vision import VisionTower, square_pixels
from .afar import COLUMNS, ROOMS
from .encoders import load_towers
from .negatives import photos_in, read_photo

# ImageNet's furniture and what stands in rooms; each picture is to show two of them.
FURNITURE = (
    "dining table", "desk", "wardrobe", "window shade", "refrigerator", "china cabinet", "washbasin", "library", "folding chair", "monitor",
    "bookcase", "studio couch", "lampshade", "rocking chair", "stove", "sliding door",
)  # fmt: skip
SIDE_PX, COUNT, STEPS = 256, len(FURNITURE) // 2, 200
RATE = 0.1  # of Adam, falling to 0 by a cosine
CONTRAST, PALEST = 0.8, 1.8  # standard deviation of the noise to begin with, and from where on a pixel is held back; before the sigmoid
FURNITURE_WEIGHT, PALE_WEIGHT = 0.1, 2.0
SHIFT_PX = 16
# Colours of photos differ most in brightness, then from blue to yellow, then from green to red (their principal components).
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))


class Moments(NamedTuple):
    """Of what enters one layer: (C,) each."""

    mean: torch.Tensor
    variance: torch.Tensor


class Watched:
    """A tower that remembers what entered its normalisation layers."""

    def __init__(self, tower: VisionTower):
        self.tower = tower
        self.entered: list[torch.Tensor] = []
        for layer in tower.net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_hook(lambda _, inputs, __: self.entered.append(inputs[0]))

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, list[Moments]]:
        """(B, 3, S, S) in 0..1 -> logits (B, 1000), and a Moments of each layer."""
        self.entered = []
        logits = self.tower.net._fc(self.tower.passed(pixels, self.tower.net).head.mean((2, 3)))
        return logits, [Moments(x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)) for x in self.entered]


@torch.no_grad()
def moments_of(tower: Watched, photos: Sequence[Path], side: int) -> list[Moments]:
    """Each layer's, over all photos."""
    first, second = [], []
    for path in tqdm(photos, desc="photos of rooms"):
        found = tower(square_pixels(read_photo(path), side)[None])[1]
        first.append([m.mean for m in found])
        second.append([m.variance + m.mean**2 for m in found])
    means = [torch.stack(layer).mean(0) for layer in zip(*first, strict=True)]
    squares = [torch.stack(layer).mean(0) for layer in zip(*second, strict=True)]
    return [Moments(mean, square - mean**2) for mean, square in zip(means, squares, strict=True)]


def apart(found: Sequence[Moments], wanted: Sequence[Moments]) -> torch.Tensor:
    """How far the layers' means and deviations are from the wanted ones, in the wanted deviations: a sum over layers."""
    terms = []
    for (mean, variance), (mean0, variance0) in zip(found, wanted, strict=True):
        scale = variance0 + 1e-5
        terms.append(((mean - mean0) ** 2 / scale).mean() + ((variance.add(1e-5).sqrt() - scale.sqrt()) ** 2 / scale).mean())
    return torch.stack(terms).sum()


class Canvas(nn.Module):
    """COUNT pictures as Fourier coefficients, scaled so that they begin as natural noise (1/f)."""

    def __init__(self, count: int, side: int, chance: torch.Generator):
        super().__init__()
        down, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
        self.side, self.scale = side, 1 / (down**2 + across**2).sqrt().clamp(min=1 / side)
        self.waves = nn.Parameter(torch.randn(count, 3, *self.scale.shape, 2, generator=chance))
        self.colours = torch.tensor(COLOURS) / torch.tensor(COLOURS).norm(dim=0).max()
        with torch.no_grad():
            self.scale *= CONTRAST / self.plain().std()

    def plain(self) -> torch.Tensor:
        return torch.fft.irfft2(torch.view_as_complex(self.waves) * self.scale, s=(self.side, self.side), norm="ortho")

    def forward(self) -> torch.Tensor:
        """(B, 3, S, S) before the sigmoid."""
        return torch.einsum("bchw,dc->bdhw", self.plain(), self.colours)


def computed_rooms(
    towers: Sequence[Watched], wanted: Sequence[Sequence[Moments]], side: int, steps: int, seed: int, done: Callable[[torch.Tensor], None]
) -> torch.Tensor:
    """(COUNT, 3, S, S) in 0..1. `wanted`: of each tower. `done` gets the pictures as they are, every now and then."""
    chance = torch.Generator().manual_seed(seed)
    canvas = Canvas(COUNT, side, chance)
    labels = furniture().view(2, COUNT)
    optimizer = torch.optim.Adam([canvas.waves], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in tqdm(range(steps), desc="rooms"):
        plain = canvas()
        shift = torch.randint(-SHIFT_PX, SHIFT_PX + 1, (2,), generator=chance).tolist()
        moved = plain.sigmoid().roll(shift, (2, 3))
        if torch.rand((), generator=chance) < 0.5:
            moved = moved.flip(3)
        which = step % len(towers)
        logits, found = towers[which](moved)
        shown = torch.stack([F.cross_entropy(logits, one) for one in labels]).mean()
        pale = (plain.abs() - PALEST).relu().square().mean()
        loss = apart(found, wanted[which]) + FURNITURE_WEIGHT * shown + PALE_WEIGHT * pale
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            done(canvas().detach().sigmoid())
    return canvas().detach().sigmoid()


def furniture() -> torch.Tensor:
    """(2 * COUNT,) classes."""
    from torchvision.models import EfficientNet_B0_Weights

    names = [name.lower() for name in EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]]
    return torch.tensor([names.index(name) for name in FURNITURE])


def sheet_of(pictures: torch.Tensor) -> Image.Image:
    """Squares in rows of COLUMNS."""
    squares = [Image.fromarray((255 * p).round().byte().permute(1, 2, 0).numpy()) for p in pictures]
    side = squares[0].width
    sheet = Image.new("RGB", (COLUMNS * side, -(-len(squares) // COLUMNS) * side))
    for number, square in enumerate(squares):
        sheet.paste(square, (number % COLUMNS * side, number // COLUMNS * side))
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Computes pictures of rooms from the towers' weights and from statistics of photos.")
    parser.add_argument("photos", type=Path, nargs="+", help="folders with photos of rooms; those of the bank's half are used")
    parser.add_argument("--at-most", type=int, default=160, help="photos")
    parser.add_argument("--side", type=int, default=SIDE_PX)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOMS)
    given = parser.parse_args(arguments)
    photos = photos_in(given.photos, every=False)[: given.at_most]
    towers = [Watched(tower) for tower in load_towers()]
    wanted = [moments_of(tower, photos, given.side) for tower in towers]
    keep = lambda pictures: sheet_of(pictures).save(given.out, quality=90)
    keep(computed_rooms(towers, wanted, given.side, given.steps, given.seed, keep))
    print(f"{given.out}: {COUNT} rooms, {given.out.stat().st_size / 1000:.0f} kB, from {len(photos)} photos' means and variances")


if __name__ == "__main__":
    main()
