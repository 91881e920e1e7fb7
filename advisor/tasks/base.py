"""What is learned: data in three splits, the score that decides, and the preprocessing a device must repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cost_models.estimate import Estimate
from specs.spec import TaskKind

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Dataset:
    """`x`: float32, (samples, *shape), channels last, preprocessed for the network; `y`: int64 class indexes."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Preprocessing:
    """How a raw sample becomes the network's input: `words` for people, `numbers` (JSON values) for programs.

    `macs`/`bytes` price what a device spends on it per inference (0 for scaling pixels; the log-mel and MFCC front
    ends count their FFTs and filter banks).
    """

    words: str
    numbers: dict[str, Any]
    macs: int = 0
    bytes: int = 0


class Task(Protocol):
    """One learning problem with its data loaded lazily and cached.

    `shape` is the input's natural shape without batch, channels last: (H, W, C) or (T, C). `shapes` are the input
    shapes the search may choose from (image resolutions; a single entry elsewhere).
    """

    kind: TaskKind
    shape: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    classes: tuple[str, ...]
    fingerprint: str
    """SHA-256 over the loaded samples and labels of all splits."""
    notes: tuple[str, ...]
    """What the user should know of the data: files skipped and why, classes with few samples, …"""
    any_size: bool
    """Whether the data are files of any size, brought to one as they are read: other sizes are as good. Samples of an
    array have the size they have."""

    normalization: str
    """What is subtracted from features over time: the means of the training split (`training`, as of every other
    input), or before them also each sample's own (`sample`)."""

    def load(self, split: Split, shape: tuple[int, ...] | None = None) -> Dataset:
        """The split, resized to `shape` where given. Validation is carved from training data, stratified and seeded,
        and never overlaps test."""
        ...

    def preprocessing(self, shape: tuple[int, ...] | None = None) -> Preprocessing: ...

    def score(self, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> Estimate:
        """The task's metric of predicted class indexes, with its 90 % interval and `n`; source `measured`."""
        ...
