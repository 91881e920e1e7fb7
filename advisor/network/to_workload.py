"""The workload reading: exact operators, MACs, bytes and bit widths, without tracing anything."""

from __future__ import annotations

from typing import Literal

from advisor.network.description import FUSED, Layer, Network
from cost_models.workload import Operator, Tensor, Workload
from specs.chip import Precision

_KIND = {
    "conv": "conv", "dwconv": "dwconv", "dense": "dense", "max-pool": "max-pool", "avg-pool": "avg-pool",
    "global-pool": "global-avg-pool", "add": "add", "scale": "mul", "flatten": "reshape",
}  # fmt: skip


def to_workload(network: Network, precision: Precision, format: Literal["onnx", "tflite"] = "tflite") -> Workload:
    """The operators as the converter for `format` writes them and its runtime fuses them."""
    bits = 8 if precision == "int8" else 32
    weight_bytes = {"int8": 1, "fp16": 2, "fp32": 4}[precision]
    bias_bytes = 4 if precision == "int8" else weight_bytes
    tensors = [Tensor(network.input_shape, bits)]
    index = {"input": 0}
    operators: list[Operator] = []
    shapes = network.shapes
    for layer in network.layers:
        if layer.kind == "flatten" and format == "tflite" and shapes[layer.inputs[0]][:2] == (1, 1):
            index[layer.name] = index[layer.inputs[0]]  # the converter drops it: FULLY_CONNECTED reads (1, 1, 1, C)
            continue
        inputs = tuple(index[name] for name in layer.inputs)
        shape = shapes[layer.name]
        elements, params = _weights(network, layer)
        fused = layer.activation in FUSED
        index[layer.name] = len(tensors)
        tensors.append(Tensor(shape[2:] if layer.kind in ("dense", "flatten") else shape, bits))
        operators.append(
            Operator(
                kind=_KIND[layer.kind],
                name=layer.name,
                inputs=inputs,
                outputs=(index[layer.name],),
                macs=_macs(elements, layer, shape),
                params=params,
                weight_bytes=elements * weight_bytes + (params - elements) * bias_bytes,
                kernel=shapes[layer.inputs[0]][:2] if layer.kind == "global-pool" else layer.kernel,
                stride=layer.stride,
                groups=shape[2] if layer.kind == "dwconv" else 1,
                activation=layer.activation if fused else "",
            )
        )
        if not fused:
            tensors.append(Tensor(shape, bits))
            before, index[layer.name] = index[layer.name], len(tensors) - 1
            name = f"{layer.name}_act"
            operators.append(Operator("activation", name, (before,), (index[layer.name],), activation=layer.activation))
    output = (index[network.layers[-1].name],)
    return Workload(network.id, tuple(tensors), tuple(operators), (0,), output, precision, format)


def _weights(network: Network, layer: Layer) -> tuple[int, int]:
    """Kernel elements, and kernel and bias elements together."""
    if layer.kind not in ("conv", "dwconv", "dense"):
        return 0, 0
    out = network.shapes[layer.name][2]
    inputs = 1 if layer.kind == "dwconv" else network.in_channels(layer)
    elements = out * inputs * layer.kernel[0] * layer.kernel[1]
    return elements, elements + out


def _macs(elements: int, layer: Layer, shape: tuple[int, int, int]) -> int:
    return elements if layer.kind == "dense" else elements * shape[0] * shape[1]
