"""The one input of a model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specs.errors import ModelFileError

_FLOATS = ("float32", "float16")
_INTEGERS = ("int8", "uint8", "int16")


@dataclass(frozen=True)
class Port:
    """`dims` start with the batch of 1. `scale` is 0 for floats; integers q stand for (q − zero) · scale."""

    name: str
    dims: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero: int = 0


def checked(name: str, dims: Sequence[int], dtype: str, scale: float = 0.0, zero: int = 0) -> Port:
    """The port, if samples can be fed to it one at a time.

    Raises:
        ModelFileError: a batch other than 1, or numbers that real values cannot be turned into.
    """
    shown = name[:60]
    if len(dims) < 2 or dims[0] != 1:
        raise ModelFileError(f"input {shown!r} has no batch of 1", seen=tuple(dims),
                             next="export the model for one sample, batch first")  # fmt: skip
    if dtype in _FLOATS:
        return Port(name, tuple(dims), dtype)
    if dtype not in _INTEGERS or not 0 < scale < float("inf"):
        allowed = "float32, float16, or int8, uint8, int16 with a scale and a zero point"
        raise ModelFileError(f"input {shown!r} takes numbers that samples cannot be turned into", seen=dtype,
                             allowed=allowed)  # fmt: skip
    return Port(name, tuple(dims), dtype, scale, zero)
