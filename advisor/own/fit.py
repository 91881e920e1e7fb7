"""How a task's samples are laid out for a model file's input."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from advisor.network.description import network_shape
from advisor.network.weights import Array
from advisor.own.file import ModelFile
from specs.errors import ModelFileError

_LAST, _FIRST, _SWAPPED = (0, 1, 2), (2, 0, 1), (1, 0, 2)
"""Orders of (H, W, C): channels last, channels first, and features before steps."""
MAX_SIDE = 1024
"""Images are stretched to the file's input up to this side, as tasks do."""


@dataclass(frozen=True)
class Fit:
    """`shape`: the task's input shape that the file takes. `axes`: the order of a sample's (H, W, C) in the file, whose
    input without batch has `dims`."""

    shape: tuple[int, ...]
    axes: tuple[int, int, int]
    dims: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """Whether the values lie in memory as (H, W, C) does."""
        sides = network_shape(self.shape)
        kept = [axis for axis in self.axes if sides[axis] > 1]
        return kept == sorted(kept)

    @property
    def channels_first(self) -> bool:
        """Whether the input is (C, H, W) exactly."""
        sides = network_shape(self.shape)
        return self.dims == tuple(sides[axis] for axis in _FIRST)

    def arrange(self, x: Array) -> Array:
        """(samples, H, W, C) as the file's input takes them."""
        moved = np.transpose(x, (0, *(axis + 1 for axis in self.axes)))
        return np.ascontiguousarray(moved.reshape(len(x), *self.dims))


def fit(file: ModelFile, shape: tuple[int, ...], *, images: bool) -> Fit:
    """How samples of `shape` (the task's, without batch) enter the file; images are stretched where sizes differ.

    Raises:
        ModelFileError: the input is of another shape.
    """
    dims = file.input.dims[1:]
    order = (_LAST, _FIRST) if file.format == "tflite" else (_FIRST, _LAST)
    sides = network_shape(shape)
    for axes in (*order, _SWAPPED):
        if _bare(tuple(sides[axis] for axis in axes)) == _bare(dims):
            return Fit(shape, axes, dims)
    # a flat input says nothing of the order of channels: taken where there is but one order
    if _bare(dims) == (prod(sides),) and (sides[2] == 1 or sides[0] * sides[1] == 1):
        return Fit(shape, _LAST, dims)
    for axes in order if images and len(dims) == 3 else ():
        found = tuple(dims[axes.index(axis)] for axis in range(3))
        if found[2] == sides[2] and max(found[:2]) <= MAX_SIDE:
            return Fit(found, axes, dims)
    plain = " or ".join(str((1, *(sides[axis] for axis in axes))) for axes in dict.fromkeys(order))
    sizes = " (height and width as the file likes)" if images else ""
    raise ModelFileError("its input is not the task's", where=str(file.path), seen=file.input.dims,
                         allowed=plain + sizes, next="export the model for this input")  # fmt: skip


def check_classes(file: ModelFile, classes: int) -> None:
    """Raise ModelFileError unless the first output has one number a class."""
    if file.outputs != classes:
        allowed = f"{classes}, the task's classes in order"
        seen = f"{file.outputs} numbers"
        raise ModelFileError("its output is not one number a class", where=str(file.path), seen=seen, allowed=allowed)


def _bare(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Without sides of 1, which do not move values in memory."""
    return tuple(side for side in dims if side != 1)
