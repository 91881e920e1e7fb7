"""A network computing as its int8 file will, in float and differentiable: fake quantization with the exporters' grids.

Weights: symmetric, per output channel, ±127 (both exporters). Activations: 8 bits per tensor, asymmetric, from the
smallest and largest value on the calibration samples, 0 included (both exporters' default). Where they differ:
TensorFlow's converter lets every pooling keep the grid of its input and fixes the sigmoid's to 1/256; onnxruntime's
does so for max and average pools only. TensorFlow's calibrator adds in place and sees the sum in an input's memory:
that input's range holds both. A layer's fused activation is applied before its output is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from advisor.network.description import FUSED, WEIGHTED, Layer, Network
from advisor.network.to_torch import TorchNetwork, get_weights, set_weights
from advisor.network.weights import Array, Weights

Scheme = Literal["onnx", "tflite"]
_LEVELS = 255
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x, "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "hard-swish": F.hardswish,
}  # fmt: skip
_SAME_GRID = {"onnx": ("max-pool", "avg-pool", "flatten"), "tflite": ("max-pool", "avg-pool", "global-pool", "flatten")}


class FakeQuant(TorchNetwork):
    """`network` with folded weights, int8 in all layers but `floating`.

    The ranges follow the weights: they are found again on `samples` (NHWC) whenever `train()` or `eval()` is called,
    with rounded weights and unrounded activations, as the exporters calibrate.
    """

    def __init__(
        self, network: Network, folded: Weights, samples: Array, scheme: Scheme, floating: Collection[str] = ()
    ) -> None:
        super().__init__(without_norms(network))
        set_weights(self, folded)
        self.scheme: Scheme = scheme
        self.points = points(network, scheme)
        self.rounded_weights = frozenset(la.name for la in network.layers if la.kind in WEIGHTED) - set(floating)
        self.rounded_points = rounded_points(network, scheme, floating)
        nhwc = torch.from_numpy(np.ascontiguousarray(samples))
        self.register_buffer("samples", nhwc.permute(0, 3, 1, 2), persistent=False)
        self._bare = {layer.name: replace(layer, activation="") for layer in self.network.layers}
        self._seen: dict[str, tuple[float, float]] | None = None
        self._grids: dict[str, tuple[float, int]] = {}
        self.eval()

    def train(self, mode: bool = True) -> FakeQuant:
        super().train(mode)
        if hasattr(self, "_grids"):  # the base class may ask before anything is set up
            self.calibrate()
        return self

    @torch.no_grad()
    def calibrate(self) -> None:
        """Find every tensor's range anew."""
        self._seen = {}
        for batch in torch.split(self.samples, 256):  # type: ignore[arg-type]  # a buffer is a Tensor
            self(batch)
        if self.scheme == "tflite":
            self._share_memory(self._seen)
        self._grids = {point: grid(low, high) for point, (low, high) in self._seen.items()}
        if self.scheme == "tflite":
            for layer in self.network.layers:
                if layer.activation == "sigmoid":
                    self._grids[layer.name] = (1 / 256, 0)
        self._seen = None

    def _share_memory(self, seen: dict[str, tuple[float, float]]) -> None:
        """Widen the range of the first input that an addition alone reads to that of its sum."""
        read = [name for layer in self.network.layers for name in layer.inputs]
        for layer in self.network.layers:
            own = [name for name in layer.inputs if read.count(name) == 1 and self.points[name] in seen]
            if layer.kind == "add" and own:
                first, total = seen[self.points[own[0]]], seen[_written(layer)]
                seen[self.points[own[0]]] = min(first[0], total[0]), max(first[1], total[1])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._round(x, "input"))

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        weighted = layer.kind in WEIGHTED
        y = self._weighted(layer, inputs[0]) if weighted else super()._run(self._bare[layer.name], inputs)
        if layer.activation not in FUSED:
            y = self._round(y, f"{layer.name}.linear")
        y = _ACTIVATIONS[layer.activation](y)
        return self._round(y, self.points[layer.name], own=not same_grid(layer, self.scheme))

    def _weighted(self, layer: Layer, x: Tensor) -> Tensor:
        module = self.weighted[layer.name]
        kernel: Tensor = module.weight  # type: ignore[assignment]
        bias: Tensor = module.bias  # type: ignore[assignment]
        if layer.name in self.rounded_weights:
            kernel = round_kernel(kernel)
        if layer.kind == "dense":
            return F.linear(x, kernel, bias)
        top, bottom, left, right = self.network.padding(layer)
        groups = self.network.in_channels(layer) if layer.kind == "dwconv" else 1
        return F.conv2d(F.pad(x, (left, right, top, bottom)), kernel, bias, layer.stride, 0, layer.dilation, groups)

    def _round(self, x: Tensor, point: str, *, own: bool = True) -> Tensor:
        if self._seen is not None:
            if own:  # a pool's own range plays no part where it keeps its input's grid
                low, high = x.aminmax()
                before = self._seen.get(point, (0.0, 0.0))
                self._seen[point] = min(before[0], low.item()), max(before[1], high.item())
            return x
        if point not in self.rounded_points:
            return x
        scale, zero = self._grids[point]
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, _LEVELS)

    def scales(self) -> list[float]:
        """Steps of the grids of all rounded tensors, each once, ascending: those of the exported file."""
        return sorted({self._grids[point][0] for point in self.rounded_points})

    @torch.no_grad()
    def weights(self) -> dict[str, Array]:
        """Folded weights as deployed: kernels on their int8 grid, which the exporters find again exactly."""
        found = get_weights(self)
        for name in self.rounded_weights:
            found[f"{name}.kernel"] = round_kernel(self.weighted[name].weight).cpu().numpy().copy()  # type: ignore[arg-type]
        return found


def without_norms(network: Network) -> Network:
    """The network as it is once normalisation is folded."""
    return replace(network, layers=tuple(replace(layer, norm=False) for layer in network.layers))


def points(network: Network, scheme: Scheme) -> dict[str, str]:
    """For `input` and every layer the tensor whose grid its output has: its own, or its source's."""
    found = {"input": "input"}
    for layer in network.layers:
        found[layer.name] = found[layer.inputs[0]] if layer.kind in _SAME_GRID[scheme] else layer.name
    return found


def same_grid(layer: Layer, scheme: Scheme) -> bool:
    """Whether the layer keeps its input's grid, and with it its width."""
    return layer.kind in _SAME_GRID[scheme]


def rounded_points(network: Network, scheme: Scheme, floating: Collection[str]) -> frozenset[str]:
    """Tensors in 8 bits when the layers `floating` compute in float: all that an int8 layer reads or writes."""
    grid = points(network, scheme)
    found = set() if floating else {"input"}
    for layer in network.layers:
        if layer.name in floating or same_grid(layer, scheme):
            continue
        found |= {grid[name] for name in layer.inputs} | {layer.name}
        if layer.activation not in FUSED:
            found.add(f"{layer.name}.linear")
    return frozenset(found)


def _written(layer: Layer) -> str:
    """The tensor that the layer's own operator writes: an activation that is not fused follows it."""
    return layer.name if layer.activation in FUSED else f"{layer.name}.linear"


def round_kernel(kernel: Tensor) -> Tensor:
    """A kernel on its per-channel grid; gradients pass straight through."""
    with torch.no_grad():
        largest = kernel.detach().abs().amax(tuple(range(1, kernel.ndim)))
        scale = (largest / 127).clamp(min=1e-12)
        zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernel, scale, zero, 0, -127, 127)


def grid(low: float, high: float) -> tuple[float, int]:
    scale = max((high - low) / _LEVELS, 1e-12)
    return scale, round(min(max(-low / scale, 0), _LEVELS))
