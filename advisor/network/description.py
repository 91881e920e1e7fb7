"""A network as a frozen list of layers: the one description that torch, Keras, ONNX and the cost models read.

Everything is 2-D, channels last. A time series of T steps and C channels is the image (T, 1, C), which is the same
memory; kernels are then (k, 1). Padding is TensorFlow's SAME everywhere, so that no runtime needs a pad operator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

from specs.errors import SpecError

LayerKind = Literal["conv", "dwconv", "dense", "max-pool", "avg-pool", "global-pool", "add", "scale", "flatten"]
Activation = Literal["", "relu", "relu6", "sigmoid", "hard-swish"]
Shape = tuple[int, int, int]
"""Height, width, channels."""

WEIGHTED = ("conv", "dwconv", "dense")
FUSED = ("", "relu", "relu6")
"""Activations every runtime fuses into the layer before; the others are operators of their own."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer and what it reads. `inputs` name earlier layers, or `input`.

    conv/dwconv/dense own a kernel and a bias; while training, conv and dwconv have batch normalisation between the
    two where `norm` is set. `scale` multiplies its first input by its second, one factor a channel.
    `stage` groups layers for pruning ratios.
    """

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    out: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = ""
    norm: bool = True
    stage: int = 0


@dataclass(frozen=True)
class Network:
    """Layers in execution order; the last one is the output (logits)."""

    family: str
    input_shape: Shape
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        _ = self.shapes  # an ill-wired network cannot be constructed

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer, and of `input`."""
        found: dict[str, Shape] = {"input": self.input_shape}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in found]
            if missing or layer.name in found:
                raise SpecError(
                    "ill-wired network", where=f"{self.family}.{layer.name}", seen=missing or "name used twice"
                )
            found[layer.name] = _output_shape(layer, [found[name] for name in layer.inputs])
        return found

    @property
    def classes(self) -> int:
        return self.layers[-1].out

    def layer(self, name: str) -> Layer:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def in_channels(self, layer: Layer) -> int:
        return self.shapes[layer.inputs[0]][2]

    def padding(self, layer: Layer) -> tuple[int, int, int, int]:
        """SAME padding of a windowed layer: top, bottom, left, right."""
        height, width, _ = self.shapes[layer.inputs[0]]
        top, bottom = _same(height, layer.kernel[0], layer.stride[0], layer.dilation[0])
        left, right = _same(width, layer.kernel[1], layer.stride[1], layer.dilation[1])
        return top, bottom, left, right

    def kernel_shape(self, layer: Layer) -> tuple[int, ...]:
        """Kernel shape in torch's order: conv (out, in, kh, kw), dwconv (out, 1, kh, kw), dense (out, in)."""
        if layer.kind == "dense":
            return (layer.out, self.in_channels(layer))
        inputs = 1 if layer.kind == "dwconv" else self.in_channels(layer)
        return (layer.out, inputs, *layer.kernel)

    @cached_property
    def id(self) -> str:
        """Content id, the same for the same structure whatever its layers are called."""
        index = {"input": 0} | {layer.name: i + 1 for i, layer in enumerate(self.layers)}
        rows = [
            (la.kind, [index[n] for n in la.inputs], la.out, la.kernel, la.stride, la.dilation, la.activation, la.norm)
            for la in self.layers
        ]
        text = json.dumps([self.input_shape, rows], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def network_shape(shape: tuple[int, ...], *, sequence: bool = False) -> Shape:
    """The network's input for a task's shape: (H, W, C) as it is, (T, C) as (T, 1, C).

    `sequence` families read (T, F, 1) features as T steps of F channels; the memory layout stays the same.
    """
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    if len(shape) == 3:
        return (shape[0], 1, shape[1] * shape[2]) if sequence else (shape[0], shape[1], shape[2])
    raise SpecError("networks take (H, W, C) or (T, C)", seen=shape)


class Builder:
    """Appends layers with generated names; families are written with it."""

    def __init__(self, family: str, input_shape: Shape) -> None:
        self.family, self.input_shape = family, input_shape
        self.layers: list[Layer] = []
        self.last = "input"
        self.stage = 0
        self._shapes: dict[str, Shape] = {"input": input_shape}

    def shape(self, name: str | None = None) -> Shape:
        return self._shapes[name or self.last]

    def conv(self, out: int, kernel: int = 1, stride: int = 1, activation: Activation = "relu", *, dilation: int = 1,
             norm: bool = True) -> str:  # fmt: skip
        """Convolution; the kernel shrinks to what the input's extent makes sense of."""
        return self._windowed("conv", out, kernel, stride, activation, dilation, norm)

    def dwconv(self, kernel: int = 3, stride: int = 1, activation: Activation = "relu") -> str:
        return self._windowed("dwconv", self.shape()[2], kernel, stride, activation, 1, True)

    def pool(self, kind: Literal["max-pool", "avg-pool"], size: int = 2) -> str:
        return self._windowed(kind, 0, size, size, "", 1, False)

    def squeeze_excite(self, ratio: int = 4) -> str:
        """Channel gates: global mean, two 1×1 convolutions, sigmoid, scale."""
        source, channels = self.last, self.shape()[2]
        self._append("global-pool", (source,))
        self.conv(_multiple(channels / ratio, 4), norm=False)
        gate = self.conv(channels, activation="sigmoid", norm=False)
        return self._append("scale", (source, gate))

    def add(self, first: str, second: str, activation: Activation = "") -> str:
        return self._append("add", (first, second), activation=activation)

    def classifier(self, classes: int) -> Network:
        """Global mean, flatten, dense: the head all families share; returns the finished network."""
        self.stage += 1
        if self.shape()[:2] != (1, 1):
            self._append("global-pool", (self.last,))
        self._append("flatten", (self.last,))
        self._append("dense", (self.last,), out=classes, norm=False)
        return Network(self.family, self.input_shape, tuple(self.layers))

    def _windowed(self, kind: LayerKind, out: int, kernel: int, stride: int, activation: Activation, dilation: int,
                  norm: bool) -> str:  # fmt: skip
        height, width, _ = self.shape()
        return self._append(
            kind,
            (self.last,),
            out=out,
            kernel=(_clamp(kernel, height), _clamp(kernel, width)),
            stride=(stride, stride),  # equal even along an extent of 1, where it moves nothing: TensorFlow wants it so
            dilation=(dilation if height > kernel else 1, dilation if width > kernel else 1),
            activation=activation,
            norm=norm,
        )

    def _append(self, kind: LayerKind, inputs: tuple[str, ...], **fields: object) -> str:
        name = f"{kind.replace('-', '_')}{len(self.layers)}"
        layer = Layer(name, kind, inputs, stage=self.stage, **fields)  # type: ignore[arg-type]  # fields of Layer
        self.layers.append(layer)
        self._shapes[name] = _output_shape(layer, [self._shapes[n] for n in inputs])
        self.last = name
        return name


def _clamp(kernel: int, extent: int) -> int:
    # a kernel wider than the input only reads padding
    return 1 if extent == 1 else min(kernel, extent if extent % 2 else extent + 1)


def _multiple(value: float, of: int) -> int:
    return max(of, round(value / of) * of)


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _output_shape(layer: Layer, inputs: list[Shape]) -> Shape:
    height, width, channels = inputs[0]
    if layer.kind in ("conv", "dwconv", "max-pool", "avg-pool"):
        out = layer.out if layer.kind == "conv" else channels
        return (ceil(height / layer.stride[0]), ceil(width / layer.stride[1]), out)
    if layer.kind == "global-pool":
        return (1, 1, channels)
    if layer.kind == "flatten":
        return (1, 1, height * width * channels)
    if layer.kind == "dense":
        return (1, 1, layer.out)
    wanted = inputs[0] if layer.kind == "add" else (1, 1, channels)
    if inputs[1] != wanted:
        raise SpecError("shapes do not fit", where=layer.name, seen=inputs)
    return inputs[0]


def param_count(network: Network, layers: Iterable[Layer] | None = None) -> int:
    """Weights and biases with normalisation folded, as deployed."""
    total = 0
    for layer in network.layers if layers is None else layers:
        if layer.kind in WEIGHTED:
            count = 1
            for size in network.kernel_shape(layer):
                count *= size
            total += count + layer.out
    return total
