"""What readers give and tasks are made of: samples as they came, before any preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from specs.errors import DataError

Form = Literal["image", "waveform", "features", "series"]
"""image (N, H, W, 1 or 3) · waveform (N, samples) · audio features (N, T, F) · series (N, T, C)."""
MAX_BYTES = 2 * 1024**3
"""A data set may hold at most this much, as read and as float32; declared sizes are checked before reading."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Part:
    """Samples with labels as the user wrote them (numbers or text) and, where known, whom each came from."""

    x: NDArray[Any]
    y: NDArray[Any]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True)
class Read:
    """A data set as a reader found it; missing splits are carved from `train`."""

    where: str
    form: Form
    train: Part
    val: Part | None = None
    test: Part | None = None
    classes: tuple[str, ...] = ()
    """Names of the whole-number labels 0, 1, …; empty: the labels name themselves."""
    rate_hz: int = 0
    scale: float = 0.0
    """What brings raw values to 0…1 or ±1; 0: what suits their type and range."""
    notes: tuple[str, ...] = ()
    any_size: bool = False
    """Read from files of any size (pictures, recordings), brought to one: what comes later may be of any size too."""

    def parts(self) -> dict[str, Part]:
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {split: part for split, part in named.items() if part is not None}


def check_size(samples: int, values: int, bytes_each: int, where: str) -> None:
    """Refuses more than `MAX_BYTES`, before anything is allocated.

    Raises:
        DataError: `samples` of `values` numbers of `bytes_each` bytes are too much.
    """
    size = samples * values * bytes_each
    if size > MAX_BYTES:
        raise DataError("the data set is too large", where=where, seen=f"{size / 1024**3:.1f} GiB",
                        allowed=f"at most {MAX_BYTES // 1024**3} GiB", next="use fewer or smaller samples")  # fmt: skip


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def some(names: list[str], limit: int = 5) -> str:
    """The first few names, and how many more."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
