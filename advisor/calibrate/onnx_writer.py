"""Writes the operators of a graph as ONNX nodes in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from advisor.calibrate.graph import Graph, Op, attention, padding

_FUNCTIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "hard-swish": "HardSwish",
    "hard-sigmoid": "HardSigmoid",
    "tanh": "Tanh",
}
Array = NDArray[Any]


class Writer:
    """Nodes and constants of a float32 graph."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph = graph
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.shapes, self.heads = graph.shapes(), attention(graph)
        self.outputs = set(graph.outputs())
        self.dims = {name: self._dims(name) for name in self.shapes}

    def _dims(self, name: str) -> list[int]:
        shape = self.shapes[name]
        if len(shape) == 3 and name not in self.heads:
            return [1, shape[2], shape[0], shape[1]]
        return [1, *shape]

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def node(self, kind: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def weight(self, name: str, shape: tuple[int, ...], fan: int) -> str:
        return self.constant(name, (self.rng.standard_normal(shape) * (2 / fan) ** 0.5).astype(np.float32))

    def emit(self, op: Op) -> None:
        """The nodes of one operator; the last of them writes the tensor of its name."""
        x = list(op.inputs)
        raw = f"{op.name}:raw" if op.act in ("relu", "relu6") and op.kind in ("conv", "dense", "add") else op.name
        getattr(self, f"_{op.kind.replace('-', '_')}")(op, x, raw)
        if raw != op.name:
            self._activation("relu" if op.act == "relu" else "relu6", raw, op)

    def _conv(self, op: Op, x: list[str], raw: str) -> None:
        height, width, channels = self.shapes[op.inputs[0]]
        top, bottom = padding(height, op.kernel[0], op.stride, op.dilation[0])
        left, right = padding(width, op.kernel[1], op.stride, op.dilation[1])
        inner = channels // op.groups
        fan = inner * op.kernel[0] * op.kernel[1]
        w = self.weight(f"{op.name}:w", (op.out, inner, *op.kernel), fan)
        b = self.constant(f"{op.name}:b", np.full(op.out, 0.01, np.float32))
        self.node("Conv", [*x, w, b], raw, op.name, group=op.groups, kernel_shape=list(op.kernel),
                  strides=[op.stride] * 2, pads=[top, left, bottom, right], dilations=list(op.dilation))  # fmt: skip

    def _dense(self, op: Op, x: list[str], raw: str) -> None:
        shape = self.shapes[op.inputs[0]]
        if len(shape) == 3:
            self._conv(op, x, raw)
            return
        b = self.constant(f"{op.name}:b", np.full(op.out, 0.01, np.float32))
        if len(shape) == 1:
            w = self.weight(f"{op.name}:w", (op.out, shape[-1]), shape[-1])
            self.node("Gemm", [*x, w, b], raw, op.name, transB=1)
            return
        w = self.weight(f"{op.name}:w", (shape[-1], op.out), shape[-1])
        product = self.node("MatMul", [*x, w], f"{op.name}:product", op.name)
        self.node("Add", [product, b], raw, f"{op.name}:bias")

    def _window(self, kind: str, op: Op, x: list[str], raw: str) -> None:
        height, width, _ = self.shapes[op.inputs[0]]
        top, bottom = padding(height, op.kernel[0], op.stride)
        left, right = padding(width, op.kernel[1], op.stride)
        self.node(kind, x, raw, op.name, kernel_shape=list(op.kernel), strides=[op.stride] * 2,
                  pads=[top, left, bottom, right])  # fmt: skip

    def _max_pool(self, op: Op, x: list[str], raw: str) -> None:
        self._window("MaxPool", op, x, raw)

    def _avg_pool(self, op: Op, x: list[str], raw: str) -> None:
        self._window("AveragePool", op, x, raw)

    def _global_pool(self, op: Op, x: list[str], raw: str) -> None:
        self.node("GlobalAveragePool", x, raw, op.name)

    def _mean(self, op: Op, x: list[str], raw: str) -> None:
        self.node("ReduceMean", x, raw, op.name, axes=[2, 3], keepdims=1)

    def _slice(self, op: Op, x: list[str], raw: str) -> None:
        values = (op.factor, op.factor + op.out, 1)
        bounds = [self.constant(f"{op.name}:{i}", np.array([v], np.int64)) for i, v in enumerate(values)]
        self.node("Slice", [*x, *bounds], raw, op.name)

    def _add(self, op: Op, x: list[str], raw: str) -> None:
        self.node("Add", x, raw, op.name)

    def _mul(self, op: Op, x: list[str], raw: str) -> None:
        self.node("Mul", x, raw, op.name)

    def _concat(self, op: Op, x: list[str], raw: str) -> None:
        self.node("Concat", x, raw, op.name, axis=1 if len(self.dims[op.name]) == 4 else -1)

    def _softmax(self, op: Op, x: list[str], raw: str) -> None:
        self.node("Softmax", x, raw, op.name, axis=-1)

    def _act(self, op: Op, x: list[str], raw: str) -> None:
        self._activation(op.act, x[0], op)

    def _activation(self, function: str, source: str, op: Op) -> None:
        name = op.name if op.kind == "act" else f"{op.name}:{function}"
        if function == "relu6":
            bounds = [self.constant(f"{op.name}:{k}", np.array(v, np.float32)) for k, v in (("low", 0), ("high", 6))]
            self.node("Clip", [source, *bounds], op.name, name)
        elif function == "gelu":  # as torch's exporter writes it; onnxruntime makes one operator of it
            values = (("root", 2**0.5), ("one", 1.0), ("half", 0.5))
            root, one, half = (self.constant(f"{op.name}:{k}", np.array(v, np.float32)) for k, v in values)
            parts = [f"{op.name}:{i}" for i in range(4)]
            self.node("Div", [source, root], parts[0], f"{name}:div")
            self.node("Erf", [parts[0]], parts[1], f"{name}:erf")
            self.node("Add", [parts[1], one], parts[2], f"{name}:add")
            self.node("Mul", [source, parts[2]], parts[3], f"{name}:mul")
            self.node("Mul", [parts[3], half], op.name, name)
        else:
            self.node(_FUNCTIONS[function], [source], op.name, name)

    def _norm(self, op: Op, x: list[str], raw: str) -> None:
        channels = self.shapes[op.name][-1]
        scale = self.constant(f"{op.name}:w", np.ones(channels, np.float32))
        shift = self.constant(f"{op.name}:b", np.zeros(channels, np.float32))
        if len(self.shapes[op.name]) < 3:
            self.node("LayerNormalization", [*x, scale, shift], raw, op.name, axis=-1)
            return
        last = self.node("Transpose", x, f"{op.name}:last", f"{op.name}:t0", perm=[0, 2, 3, 1])
        normed = self.node("LayerNormalization", [last, scale, shift], f"{op.name}:normed", op.name, axis=-1)
        self.node("Transpose", [normed], raw, f"{op.name}:t1", perm=[0, 3, 1, 2])

    def _reshape(self, op: Op, source: str, output: str, dims: list[int], name: str) -> str:
        shape = self.constant(f"{output}:shape", np.array(dims, np.int64))
        return self.node("Reshape", [source, shape], output, name)

    def _flatten(self, op: Op, x: list[str], raw: str) -> None:
        self.node("Flatten", x, raw, op.name, axis=1)

    def _tokens(self, op: Op, x: list[str], raw: str) -> None:
        tokens, channels = self.shapes[op.name]
        flat = self._reshape(op, x[0], f"{op.name}:flat", [1, channels, tokens], f"{op.name}:r")
        self.node("Transpose", [flat], raw, op.name, perm=[0, 2, 1])

    def _heads(self, op: Op, x: list[str], raw: str) -> None:
        count, tokens, width = self.shapes[op.name]
        split = self._reshape(op, x[0], f"{op.name}:split", [1, tokens, count, width], f"{op.name}:r")
        self.node("Transpose", [split], raw, op.name, perm=[0, 2, 1, 3])

    def _merge(self, op: Op, x: list[str], raw: str) -> None:
        turned = self.node("Transpose", x, f"{op.name}:turned", op.name, perm=[0, 2, 1, 3])
        self._reshape(op, turned, raw, [1, *self.shapes[op.name]], f"{op.name}:r")

    def _scores(self, op: Op, x: list[str], raw: str) -> None:
        turned = self.node("Transpose", [x[1]], f"{op.name}:turned", f"{op.name}:t", perm=[0, 1, 3, 2])
        self.node("MatMul", [x[0], turned], raw, op.name)

    def _mix(self, op: Op, x: list[str], raw: str) -> None:
        self.node("MatMul", x, raw, op.name)

    def _resize(self, op: Op, x: list[str], raw: str) -> None:
        scales = self.constant(f"{op.name}:scales", np.array([1, 1, op.factor, op.factor], np.float32))
        self.node("Resize", [*x, "", scales], raw, op.name, mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip

    def _pad(self, op: Op, x: list[str], raw: str) -> None:
        pads = self.constant(f"{op.name}:pads", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        self.node("Pad", [*x, pads], raw, op.name)

    def _transpose(self, op: Op, x: list[str], raw: str) -> None:
        order = [0, 3, 1, 2] if len(self.shapes[op.inputs[0]]) == 3 else [0, 2, 1]
        self.node("Transpose", x, raw, op.name, perm=order)
