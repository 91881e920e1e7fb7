"""What a corruption is, and what it has to know of the samples it is done to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.raw import Form

SEVERITIES = (1, 2, 3, 4, 5)

Samples = NDArray[np.float32]
"""Samples in unit range: images (N, H, W, C) in 0…1, waveforms (N, S) in ±1; features and windows in their own unit."""


@dataclass(frozen=True)
class Facts:
    """What the raw samples of a task are. `low`…`high` is what unit range 0…1 of an image stands for, `scale` what
    brings a waveform to ±1. `mean` and `std` of each feature or channel (last axis), over training samples."""

    form: Form
    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0
    scale: float = 1.0
    rate_hz: int = 0
    mean: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None

    @property
    def side(self) -> int:
        """The shorter side of an image in pixels: what blur and compression are measured against."""
        return min(self.shape[:2])


Levels = Callable[[Facts], Sequence[float]]
"""The physical level of severities 1 to 5."""


@dataclass(frozen=True)
class Corruption:
    """`act(samples, level, rng, facts)` gives changed samples of the same shape; what leaves the range is clipped by
    the caller. `lacks` says why the corruption means nothing for such samples, or nothing."""

    unit: str
    levels: Levels
    act: Callable[[Samples, float, np.random.Generator, Facts], NDArray[Any]]
    lacks: Callable[[Facts], str] = lambda _facts: ""


def fixed(*levels: float) -> Levels:
    """The same levels whatever the samples are."""
    return lambda _facts: levels


def signs(count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """True for about half of `count` samples: those that are turned or shifted the other way."""
    return rng.random(count) < 0.5
