"""The ONNX reading: a graph written node by node from folded weights, in milliseconds and without tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from advisor.network.description import Layer, Network
from advisor.network.weights import Weights

OPSET = 17
"""The newest that every runtime in the catalogue reads."""


def to_onnx(network: Network, folded: Weights) -> onnx.ModelProto:
    """Float32 graph `input` (1, C, H, W) → `logits` (1, classes) with weights from `fold`."""
    height, width, channels = network.input_shape
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for layer in network.layers:
        _emit(network, layer, folded, nodes, tensors)
    graph = helper.make_graph(
        nodes,
        network.family,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, network.classes])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edge-advisor")
    model.ir_version = 9  # what opset 17 needs; newer ones older runtimes refuse
    onnx.checker.check_model(model)
    return model


def _emit(
    network: Network, layer: Layer, folded: Weights, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]
) -> None:
    is_last = layer is network.layers[-1]
    result = "logits" if is_last else layer.name
    inputs = list(layer.inputs)
    raw = f"{layer.name}.linear" if layer.activation else result
    window: dict[str, Any] = {
        "kernel_shape": list(layer.kernel),
        "strides": list(layer.stride),
        "dilations": list(layer.dilation),
        "pads": _pads(network, layer),
    }

    def constant(part: str, value: NDArray[np.float32]) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{layer.name}.{part}"))
        return f"{layer.name}.{part}"

    if layer.kind in ("conv", "dwconv"):
        group = network.in_channels(layer) if layer.kind == "dwconv" else 1
        inputs += [constant(part, folded[f"{layer.name}.{part}"]) for part in ("kernel", "bias")]
        nodes.append(helper.make_node("Conv", inputs, [raw], name=layer.name, group=group, **window))
    elif layer.kind == "dense":
        inputs += [constant("kernel", folded[f"{layer.name}.kernel"]), constant("bias", folded[f"{layer.name}.bias"])]
        nodes.append(helper.make_node("Gemm", inputs, [raw], name=layer.name, transB=1))
    elif layer.kind in ("max-pool", "avg-pool"):
        window.pop("dilations")
        kind = "MaxPool" if layer.kind == "max-pool" else "AveragePool"
        nodes.append(helper.make_node(kind, inputs, [raw], name=layer.name, **window))
    elif layer.kind == "flatten":
        if network.shapes[layer.inputs[0]][:2] != (1, 1):
            nodes.append(helper.make_node("Transpose", inputs, [f"{layer.name}.nhwc"], perm=[0, 2, 3, 1]))
            inputs = [f"{layer.name}.nhwc"]
        nodes.append(helper.make_node("Flatten", inputs, [raw], name=layer.name, axis=1))
    else:
        kind = {"global-pool": "GlobalAveragePool", "add": "Add", "scale": "Mul"}[layer.kind]
        nodes.append(helper.make_node(kind, inputs, [raw], name=layer.name))
    if layer.activation == "relu6":
        limits = [constant("low", np.float32(0)), constant("high", np.float32(6))]  # type: ignore[arg-type]
        nodes.append(helper.make_node("Clip", [raw, *limits], [result], name=f"{layer.name}.clip"))
    elif layer.activation:
        kind = {"relu": "Relu", "sigmoid": "Sigmoid", "hard-swish": "HardSwish"}[layer.activation]
        nodes.append(helper.make_node(kind, [raw], [result], name=f"{layer.name}.{layer.activation}"))


def _pads(network: Network, layer: Layer) -> list[int]:
    top, bottom, left, right = network.padding(layer) if layer.kernel else (0, 0, 0, 0)
    return [top, left, bottom, right]
