"""How a task's samples are laid out for a model file's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from advisor.network.description import network_shape
from advisor.network.weights import Array
from advisor.own.file import ModelFile
from specs.errors import ModelFileError

Shape = tuple[int, ...]
_LAST, _FIRST, _SWAPPED = (0, 1, 2), (2, 0, 1), (1, 0, 2)
"""Orders of (H, W, C): channels last, channels first, and features before steps."""
MAX_SIDE = 1024
"""Images are stretched to the file's input up to this side, as tasks do."""


@dataclass(frozen=True)
class Fit:
    """`shape`: the task's input shape that the file takes. `axes`: the order of a sample's (H, W, C) in the file, whose
    input without batch has `dims`."""

    shape: Shape
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


def fit(file: ModelFile, shape: Shape, *, others: Sequence[Shape] = (), any_size: bool = False) -> Fit:
    """How samples of `shape` (the task's, without batch) enter the file. Images are stretched to one of the `others`,
    which the task offers too, or to whatever the file takes where they are of `any_size`.

    Raises:
        ModelFileError: the input is of another shape.
    """
    dims = file.input.dims[1:]
    order = (_LAST, _FIRST) if file.format == "tflite" else (_FIRST, _LAST)
    for one in (shape, *others):
        sides = network_shape(one)
        for axes in (*order, _SWAPPED):
            if _bare(tuple(sides[axis] for axis in axes)) == _bare(dims):
                return Fit(one, axes, dims)
        # a flat input says nothing of the order of channels: taken where there is but one order
        if _bare(dims) == (prod(sides),) and (sides[2] == 1 or sides[0] * sides[1] == 1):
            return Fit(one, _LAST, dims)
    sides = network_shape(shape)
    for axes in order if any_size and len(dims) == 3 else ():
        found = tuple(dims[axes.index(axis)] for axis in range(3))
        if found[2] == sides[2] and max(found[:2]) <= MAX_SIDE:
            return Fit(found, axes, dims)
    plain = " or ".join(str((1, *(sides[axis] for axis in axes))) for axes in dict.fromkeys(order))
    sizes = " (height and width as the file likes)" if any_size else ", as the data's samples are"
    size = "×".join(map(str, shape))
    hint = "" if any_size else ", or give data of the model's size"
    raise ModelFileError("its input is not the task's", where=str(file.path), seen=file.input.dims,
                         allowed=plain + sizes, next=f"export the model for {size}{hint}")  # fmt: skip


def for_task(file: ModelFile, shapes: Sequence[Shape], classes: int, *, any_size: bool) -> Fit:
    """How a task's samples enter the file: inputs of one of `shapes`, the first being natural, `classes` numbers out.

    Raises:
        ModelFileError: the file is for another task.
    """
    way = fit(file, shapes[0], others=shapes[1:], any_size=any_size)
    if file.outputs != classes:
        raise ModelFileError("its output is not one number a class", where=str(file.path),
                             seen=f"{file.outputs} numbers", allowed=f"{classes}, the task's classes in order",
                             next="give a model of these classes")  # fmt: skip
    return way


def resized(shape: Shape, wanted: Shape) -> str:
    """What samples of `shape` go through before a file that wants another one sees them; empty where nothing."""
    before, after = ("×".join(map(str, sides[:2])) for sides in (shape, wanted))
    return "" if tuple(shape) == tuple(wanted) else f"inputs are resized from {before} to {after}"


def _bare(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Without sides of 1, which do not move values in memory."""
    return tuple(side for side in dims if side != 1)
