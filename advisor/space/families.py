"""Architecture families: a few parameters in, a `Network` out.

Adding a family is one class here or in a plug-in (entry point `advisor.architectures`) and one row in
`advisor/plugins.py`; `advisor.testing.FamilyContract` is its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from advisor.network.description import Builder, Network, network_shape

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Ints:
    """Whole numbers low…high in steps: an ordered dimension."""

    name: str
    low: int
    high: int
    step: int = 1

    def grid(self) -> tuple[Value, ...]:
        return tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True, slots=True)
class Choice:
    """Values without order."""

    name: str
    values: tuple[Value, ...]

    def grid(self) -> tuple[Value, ...]:
        return self.values


Dimension = Ints | Choice
Params = Mapping[str, Value]


class Family(Protocol):
    """`stages` is how many pruning ratios a candidate of this family has."""

    name: str
    stages: int

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        """What is searched for inputs of `shape` (the task's, without batch)."""
        ...

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network: ...


class DSCNN:
    """Depthwise-separable CNN: a stem and equal blocks, the keyword-spotting classic; small arenas."""

    name = "dscnn"
    stages = 2

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        return (
            Ints("width", 8, 64, 8),
            Ints("depth", 2, 6),
            Choice("kernel", (3, 5)),
            Choice("stem_stride", _strides(shape)),
            Ints("growth", 1, 3),
        )

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network:
        b = Builder(self.name, network_shape(shape))
        width, depth, growth = _int(params, "width"), _int(params, "depth"), _int(params, "growth")
        _stem(b, width, params)
        halves = _halvings(b, depth)
        for i in range(depth):
            b.stage = 0 if i < (depth + 1) // 2 else 1
            b.dwconv(_int(params, "kernel"), 2 if i in halves else 1)
            b.conv(width * growth if b.stage else width)
        return b.classifier(classes)


class MobileNet:
    """Inverted residuals: expand, depthwise, project, with kernel, expansion, width, depth and squeeze-excite."""

    name = "mobilenet"
    stages = 3

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        return (
            Ints("width", 8, 32, 4),
            Ints("depth", 1, 3),
            Choice("kernel", (3, 5)),
            Ints("expansion", 2, 6),
            Choice("squeeze_excite", (0, 1)),
            Choice("stem_stride", _strides(shape)),
        )

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network:
        b = Builder(self.name, network_shape(shape))
        width = _int(params, "width")
        _stem(b, width, params)
        for stage, factor in enumerate((1, 1.5, 2)):
            b.stage = stage
            out = max(8, round(width * factor / 4) * 4)
            for i in range(_int(params, "depth")):
                stride = 2 if i == 0 and stage > 0 and max(b.shape()[:2]) >= 4 else 1
                self._block(b, out, params, stride)
        b.conv(out * 2)
        return b.classifier(classes)

    def _block(self, b: Builder, out: int, params: Params, stride: int) -> None:
        source, channels = b.last, b.shape()[2]
        b.conv(channels * _int(params, "expansion"))
        b.dwconv(_int(params, "kernel"), stride)
        if _int(params, "squeeze_excite"):
            b.squeeze_excite()
        project = b.conv(out, activation="")
        if b.shape(source) == b.shape(project):
            b.add(source, project)


class ResNet:
    """Tiny residual network in the manner of MLPerf Tiny's ResNet-8."""

    name = "resnet"
    stages = 3

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        return (
            Ints("width", 4, 32, 4),
            Ints("blocks", 1, 2),
            Ints("groups", 2, 3),
            Choice("stem_stride", _strides(shape)),
        )

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network:
        b = Builder(self.name, network_shape(shape))
        width = _int(params, "width")
        _stem(b, width, params)
        for stage in range(_int(params, "groups")):
            b.stage = stage
            for i in range(_int(params, "blocks")):
                stride = 2 if i == 0 and stage > 0 and max(b.shape()[:2]) >= 4 else 1
                self._block(b, width * 2**stage, stride)
        return b.classifier(classes)

    def _block(self, b: Builder, out: int, stride: int) -> None:
        source = b.last
        b.conv(out, 3, stride)
        second = b.conv(out, 3, activation="")
        if b.shape(source) != b.shape(second):
            b.last = source
            source = b.conv(out, 1, stride, activation="")
        b.add(source, second, activation="relu")


class TCN:
    """Temporal CNN: residual blocks of dilated 1-D convolutions, halving time between stages."""

    name = "tcn"
    stages = 2

    def dimensions(self, shape: tuple[int, ...]) -> tuple[Dimension, ...]:
        return (
            Ints("width", 8, 48, 8),
            Ints("depth", 2, 5),
            Choice("kernel", (3, 5, 7)),
            Choice("stem_stride", _strides(shape)),
            Choice("dilation", (1, 2)),
        )

    def build(self, params: Params, shape: tuple[int, ...], classes: int) -> Network:
        b = Builder(self.name, network_shape(shape, sequence=True))
        width, depth = _int(params, "width"), _int(params, "depth")
        b.conv(width, _int(params, "kernel"), _int(params, "stem_stride"))
        halves = _halvings(b, depth)
        for i in range(depth):
            b.stage = 0 if i < (depth + 1) // 2 else 1
            source = b.last
            dilation = 1 if i in halves else _int(params, "dilation")
            b.conv(width, _int(params, "kernel"), 2 if i in halves else 1, dilation=dilation)
            block = b.conv(width, 1, activation="")
            if b.shape(source) == b.shape(block):
                b.add(source, block, activation="relu")
        return b.classifier(classes)


def _int(params: Params, name: str) -> int:
    return int(params[name])


def _stem(b: Builder, width: int, params: Params) -> None:
    stride = _int(params, "stem_stride")
    b.conv(width, 3 if stride <= 2 else 5, stride)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    extent = max(shape[:2]) if len(shape) == 3 else shape[0]
    return (1,) if extent < 16 else (1, 2) if extent <= 64 else (2, 4)


def _halvings(b: Builder, depth: int) -> set[int]:
    """The blocks that halve the resolution: spread evenly, until four positions a side are left."""
    count, extent = 0, max(b.shape()[:2])
    while extent >= 8 and count < depth:
        extent, count = (extent + 1) // 2, count + 1
    return {round(i * depth / count) for i in range(count)} if count else set()
