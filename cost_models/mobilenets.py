"""MobileNet v1 and v2 as int8 workloads, exactly as published ones are: what tables name without a file."""

from __future__ import annotations

from cost_models.workload import Operator, Tensor, Workload

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), *((512, 2),), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each depthwise-separable block (Howard et al. 2017, table 1)."""
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions and stride of each stage (Sandler et al. 2018, table 2)."""


def rounded(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, never more than a tenth below it."""
    near = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * channels else near


class _Chain:
    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.tensors = [Tensor(shape, 8)]
        self.operators: list[Operator] = []
        self.at = 0

    def shape(self) -> tuple[int, ...]:
        return self.tensors[self.at].shape

    def conv(self, filters: int, kernel: int, stride: int = 1, *, depthwise: bool = False, relu: bool = True) -> None:
        high, wide, channels = self.shape()
        out = channels if depthwise else filters
        shape = (-(-high // stride), -(-wide // stride), out)
        weights = kernel * kernel * (1 if depthwise else channels) * out
        self._add(
            "dwconv" if depthwise else "conv", (self.at,), shape, weights, shape[0] * shape[1] * weights,
            (kernel, kernel), (stride, stride), channels if depthwise else 1, "relu6" if relu else "",
        )  # fmt: skip

    def _add(self, kind: str, inputs: tuple[int, ...], shape: tuple[int, ...], weights: int = 0, macs: int = 0,
             kernel: tuple[int, ...] = (), stride: tuple[int, ...] = (), groups: int = 1,
             activation: str = "") -> None:  # fmt: skip
        self.tensors.append(Tensor(shape, 8))
        self.at = len(self.tensors) - 1
        bias = shape[-1] if weights else 0
        self.operators.append(
            Operator(kind, f"{kind}{len(self.operators)}", inputs, (self.at,), macs, weights + bias,
                     weights + 4 * bias, kernel, stride, groups, activation)
        )  # fmt: skip

    def add(self, other: int) -> None:
        self._add("add", (other, self.at), self.shape())

    def head(self, classes: int, name: str) -> Workload:
        channels = self.shape()[-1]
        self._add("mean", (self.at,), (channels,))
        self._add("dense", (self.at,), (classes,), channels * classes, channels * classes)
        self._add("softmax", (self.at,), (classes,))
        return Workload(name, tuple(self.tensors), tuple(self.operators), (0,), (self.at,), "int8")


def mobilenet_v1(width: float, side: int, classes: int, channels: int = 3) -> Workload:
    """Parameters without batch normalisation, which converters fold."""
    net = _Chain((side, side, channels))
    net.conv(int(32 * width), 3, 2)
    for filters, stride in V1:
        net.conv(0, 3, stride, depthwise=True)
        net.conv(int(filters * width), 1)
    return net.head(classes, f"mobilenet_v1_{width}_{side}")


def mobilenet_v2(width: float, side: int, classes: int, channels: int = 3) -> Workload:
    """Parameters without batch normalisation, which converters fold."""
    net = _Chain((side, side, channels))
    net.conv(rounded(32 * width), 3, 2)
    for expansion, filters, repeats, stride in V2:
        for repeat in range(repeats):
            source, before = net.at, net.shape()[-1]
            step, out = stride if repeat == 0 else 1, rounded(filters * width)
            if expansion > 1:
                net.conv(before * expansion, 1)
            net.conv(0, 3, step, depthwise=True)
            net.conv(out, 1, relu=False)
            if step == 1 and before == out:
                net.add(source)
    net.conv(rounded(1280 * width) if width > 1 else 1280, 1)
    return net.head(classes, f"mobilenet_v2_{width}_{side}")
