"""Drift, noise, dropout and axis misalignment, on windows of sensor channels (N, T, C).

Units of the channels are not known, so noise and drift are shares of a channel's standard deviation in training.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.corruptions.base import Corruption, Facts, Samples, fixed

BURST = 0.05
"""Share of a window that is lost at a time: losses come in bursts."""


def drift(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """An offset of each channel that runs straight from one value to another, each within ± `share` of its spread."""
    assert facts.std is not None  # noqa: S101 - windows always have it
    start, end = rng.uniform(-1, 1, (2, len(x), 1, x.shape[2]))
    along = np.linspace(0, 1, x.shape[1])[:, None]
    offset = share * facts.std * (start + (end - start) * along)
    return np.asarray(x + offset, np.float32)


def noise(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Gaussian noise of `share` of each channel's spread."""
    assert facts.std is not None  # noqa: S101 - windows always have it
    return x + np.float32(share) * facts.std * rng.standard_normal(x.shape, np.float32)


def dropout(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """`share` of the readings lost in bursts, all channels at once; the last one read is repeated, as drivers do."""
    steps = x.shape[1]
    burst = max(1, round(BURST * steps))
    blocks = math.ceil(steps / burst)
    # the blocks that fall out at a low share fall out at a higher one too
    rank = rng.random((len(x), blocks)).argsort(axis=1).argsort(axis=1)
    lost = np.repeat(rank < min(max(1, round(share * blocks)), blocks - 1), burst, axis=1)[:, :steps]
    last = np.maximum.accumulate(np.where(lost, -1, np.arange(steps)), axis=1)
    first = np.argmin(lost, axis=1)[:, None]  # what precedes the first reading shows that one
    return np.take_along_axis(x, np.where(last < 0, first, last)[:, :, None], axis=1)


def axis_misalignment(x: Samples, degrees: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Every three channels turned by `degrees` about one random axis a sample: mounted or worn askew."""
    turn = rotations(len(x), degrees, rng)
    triples = x.reshape(*x.shape[:2], -1, 3)
    return np.asarray(np.einsum("nij,ntkj->ntki", turn, triples, optimize=True).reshape(x.shape), np.float32)


def rotations(count: int, degrees: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(count, 3, 3) turns about axes spread evenly over all directions, by Rodrigues' formula."""
    axis = rng.standard_normal((count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    cross = np.zeros((count, 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    angle = math.radians(degrees)
    return (np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)).astype(np.float32)


def _no_axes(facts: Facts) -> str:
    channels = facts.shape[-1]
    return "" if channels % 3 == 0 else f"misalignment needs channels in threes (x, y, z), the data has {channels}"


def _one_step(facts: Facts) -> str:
    return "" if facts.shape[0] > 1 else "dropout needs windows of more than one reading"


SENSORS: dict[str, Corruption] = {
    # no published scale: up to an offset as large as what is measured varies
    "drift": Corruption("of the spread", fixed(0.1, 0.25, 0.5, 0.75, 1.0), drift),
    # no published scale: from a good sensor to one whose noise is half of what it shows
    "noise": Corruption("of the spread", fixed(0.05, 0.1, 0.2, 0.3, 0.5), noise),
    # no published scale: up to every other reading lost
    "dropout": Corruption("of the readings", fixed(0.05, 0.1, 0.2, 0.3, 0.5), dropout, _one_step),
    # no published scale: mounted by eye, up to a band that slipped around the wrist
    "axis-misalignment": Corruption("degrees", fixed(5, 10, 15, 20, 30), axis_misalignment, _no_axes),
}
