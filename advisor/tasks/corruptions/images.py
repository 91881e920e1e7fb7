"""Low light, over-exposure, blur, tilt, occlusion, sensor noise and JPEG, on images (N, H, W, C) in 0…1.

Where a published scale exists it is taken: ImageNet-C and CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019). Blur is
given there in pixels of 224 and is scaled by the shorter side; noise and JPEG were published for sides of 32 and 224,
and are geometric in the side between the two (as published outside).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.corruptions.base import Corruption, Facts, Levels, Samples, fixed, signs

GAMMA = 2.2
"""Encoding of pixels: light is pixel to this power (IEC 61966-2-1, sRGB, within a percent or two)."""
FULL_WELL, READ_NOISE = 5000.0, 3.0
"""Electrons a small pixel (about 1.4 µm) holds at white, and its read noise: usual data-sheet values."""
DIRECTIONS = 12
"""Directions of motion that are told apart, over half a turn."""
_SMALL, _LARGE = 32, 224


def low_light(x: Samples, stops: float, rng: np.random.Generator, facts: Facts) -> NDArray[np.float64]:
    """Exposure cut by `stops` and not made up for by gain: darker, and noisier as fewer photons are counted."""
    electrons = np.clip(x, 0.0, 1.0).astype(np.float64) ** GAMMA * (FULL_WELL * 2.0**-stops)
    counted = rng.poisson(electrons) + rng.normal(0.0, READ_NOISE, x.shape)
    return np.asarray(np.maximum(counted / FULL_WELL, 0.0) ** (1 / GAMMA))


def over_exposure(x: Samples, stops: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """`stops` too much light: what goes beyond white is lost."""
    return x * np.float32(2.0 ** (stops / GAMMA))


def motion_blur(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """A streak as long as `share` of the shorter side, each sample in a direction of its own."""
    length = share * min(x.shape[1:3])
    at = np.linspace(-0.5, 0.5, 4 * math.ceil(length) + 3) * length
    turns = rng.integers(DIRECTIONS, size=len(x))
    blurred = np.empty_like(x)
    for turn in np.unique(turns):
        angle = math.pi * turn / DIRECTIONS
        blurred[turns == turn] = blur(x[turns == turn], np.outer(at, [math.sin(angle), math.cos(angle)]))
    return blurred


def defocus(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Every point a disk whose radius is `share` of the shorter side."""
    radius = share * min(x.shape[1:3])
    grid = np.stack(np.meshgrid(*[np.linspace(-radius, radius, 4 * math.ceil(radius) + 9)] * 2), axis=-1).reshape(-1, 2)
    return blur(x, grid[(grid**2).sum(axis=1) <= radius**2 * (1 + 1e-9)])


def tilt(x: Samples, degrees: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """The camera rolled by `degrees` either way; what comes into view repeats the edge."""
    back = signs(len(x), rng)
    turned = np.empty_like(x)
    for chosen, angle in ((back, -degrees), (~back, degrees)):
        turned[chosen] = rotate(x[chosen], angle)
    return turned


def occlusion(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """A flat rectangle of some gray over `share` of the area, wholly inside, up to twice as long as wide."""
    count, h, w, _ = x.shape
    down, across, stretch, gray = rng.random((4, count))
    aspect = 2.0 ** (2 * stretch - 1)
    tall, wide = np.minimum(np.sqrt(share * aspect), 1.0) * h, np.minimum(np.sqrt(share / aspect), 1.0) * w
    rows, columns = _cover(down * (h - tall), tall, h), _cover(across * (w - wide), wide, w)
    mask = (rows[:, :, None] * columns[:, None, :])[..., None].astype(np.float32)
    return np.asarray(x + mask * (gray[:, None, None, None] - x), np.float32)


def noise(x: Samples, std: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Gaussian noise of `std` of the range on every pixel and channel."""
    return x + np.float32(std) * rng.standard_normal(x.shape, np.float32)


def jpeg(x: Samples, quality: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Written as JPEG and read back."""
    from PIL import Image

    levels = np.rint(np.clip(x, 0.0, 1.0) * 255).astype(np.uint8)
    result = np.empty_like(x)
    for i, picture in enumerate(levels):
        file = io.BytesIO()
        drawn = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        drawn.save(file, "JPEG", quality=round(quality))
        with Image.open(file) as read:
            result[i] = np.asarray(read, np.float32).reshape(picture.shape) / 255
    return result


def blur(x: Samples, points: NDArray[np.float64]) -> Samples:
    """The mean of images shifted by `points` ((P, 2) pixels down and across), bilinear, edges repeated."""
    reach = max(1, math.ceil(float(np.abs(points).max()) - 1e-9))
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    whole = np.floor(points).astype(int)
    part = points - whole
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - part[:, 0]) * np.abs(1 - j - part[:, 1])
            np.add.at(kernel, (whole[:, 0] + reach + i, whole[:, 1] + reach + j), weight / len(points))
    h, w = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (reach, reach + 1), (reach, reach + 1), (0, 0)), mode="edge")
    result = np.zeros_like(x)
    for row, column in np.argwhere(kernel > 1e-6):
        result += np.float32(kernel[row, column]) * padded[:, row : row + h, column : column + w]
    return result


def rotate(x: Samples, degrees: float) -> Samples:
    """Images turned about their centre, bilinear, edges repeated."""
    h, w = x.shape[1:3]
    down, across = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    rows = np.clip(cosine * down - sine * across + (h - 1) / 2, 0, h - 1)
    columns = np.clip(sine * down + cosine * across + (w - 1) / 2, 0, w - 1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom, right = np.minimum(top + 1, h - 1), np.minimum(left + 1, w - 1)
    low, near = (rows - top).astype(np.float32)[..., None], (columns - left).astype(np.float32)[..., None]
    upper = x[:, top, left] * (1 - near) + x[:, top, right] * near
    lower = x[:, bottom, left] * (1 - near) + x[:, bottom, right] * near
    return np.asarray(upper * (1 - low) + lower * low, np.float32)


def _cover(start: NDArray[np.float64], length: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(N, size): how much of each pixel of a row lies between `start` and `start + length`."""
    pixel = np.arange(size)[None, :]
    inside = np.minimum(pixel + 1, (start + length)[:, None]) - np.maximum(pixel, start[:, None])
    return np.asarray(np.clip(inside, 0.0, 1.0))


def between(small: Sequence[float], large: Sequence[float]) -> Levels:
    """Levels published for sides of 32 and of 224, geometric between."""

    def levels(facts: Facts) -> list[float]:
        share = min(1.0, max(0.0, math.log(facts.side / _SMALL) / math.log(_LARGE / _SMALL)))
        return [a ** (1 - share) * b**share for a, b in zip(small, large, strict=True)]

    return levels


IMAGES: dict[str, Corruption] = {
    # half the light at each step; at 5 stops an office becomes a street at night
    "low-light": Corruption("stops", fixed(1, 2, 3, 4, 5), low_light),
    # at 2.5 stops a gray card (18 % of white) is just lost
    "over-exposure": Corruption("stops", fixed(0.5, 1, 1.5, 2, 2.5), over_exposure),
    # uniform streaks that spread light as far as ImageNet-C's half-Gaussians of σ = 3, 5, 8, 12, 15 pixels of 224:
    # σ·√(12·(1 − 2/π)) = 2.09 σ
    "motion-blur": Corruption("of the side", fixed(*(2.09 * s / 224 for s in (3, 5, 8, 12, 15))), motion_blur),
    # ImageNet-C: disks of radius 3 to 10 pixels of 224
    "defocus": Corruption("of the side", fixed(*(radius / 224 for radius in (3, 4, 6, 8, 10))), defocus),
    # no published scale: hand-held pictures stay within some 10°, a camera knocked askew reaches 30°
    "tilt": Corruption("degrees", fixed(5, 10, 15, 20, 30), tilt),
    # up to Cutout's square on CIFAR-10, a quarter of the area (DeVries and Taylor, 2017)
    "occlusion": Corruption("of the area", fixed(0.05, 0.10, 0.15, 0.20, 0.25), occlusion),
    # CIFAR-10-C and ImageNet-C, `gaussian_noise`
    "noise": Corruption("of the range", between((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)), noise),
    # CIFAR-10-C and ImageNet-C, `jpeg_compression`
    "jpeg": Corruption("quality", between((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)), jpeg),
}
