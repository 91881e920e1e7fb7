"""Writes graphs as ONNX: float32, or int8 in the Q/DQ form of onnxruntime's static quantizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from advisor.calibrate.graph import Graph, Op, attention, padding

OPSET = 17
QUANTIZED = ("Conv", "Gemm", "MatMul", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Sigmoid",
             "Softmax", "Concat", "Transpose", "Reshape", "Flatten", "Resize", "Relu", "Clip",
             "LayerNormalization")  # fmt: skip
"""What the static quantizer surrounds with Q/DQ; the others stay float32 between them."""
_RANGE = {"Sigmoid": (1 / 256, 0), "Softmax": (1 / 256, 0)}
_USUAL = (1 / 16, 128)
_FUNCTIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "hard-swish": "HardSwish",
    "hard-sigmoid": "HardSigmoid",
    "tanh": "Tanh",
}
Array = NDArray[Any]


def onnx_bytes(graph: Graph, *, int8: bool, bare: bool = False, seed: int = 0) -> bytes:
    """The serialized model; node names begin with the names of the graph's operators.

    `bare` int8 models take and give integers: what is timed is then the operator, not the conversions around it.
    """
    writer = _Writer(graph, seed)
    for op in graph.ops:
        writer.emit(op)
    if int8:
        writer.quantize()
    narrow = writer.bare() if int8 and bare else {}
    inputs, outputs = (
        [helper.make_tensor_value_info(narrow.get(n, n), TensorProto.UINT8 if n in narrow else TensorProto.FLOAT,
                                       writer.dims[n]) for n in names]
        for names in ([n for n, _ in graph.inputs], graph.outputs())
    )  # fmt: skip
    body = helper.make_graph(writer.nodes, graph.name, inputs, outputs, list(writer.constants.values()))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edge-advisor")
    model.ir_version = 9
    return bytes(model.SerializeToString())


class _Writer:
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

    def quantize(self) -> None:
        """Surrounds what the static quantizer does with Q/DQ; rectifiers go into the range of what is before them."""
        nodes, self.nodes = self._without_rectifiers(), []
        done: dict[str, str] = {}
        for node in nodes:
            if node.op_type in QUANTIZED:
                self._quantize_inputs(node, done)
            else:  # the quantizer gives every reader of a quantized tensor its dequantized twin
                for i, name in enumerate(node.input):
                    node.input[i] = done.get(name, name)
            self.nodes.append(node)
            if node.op_type in QUANTIZED:
                self._pair(node.output[0], _RANGE.get(node.op_type, _USUAL), done, written=True)

    def bare(self) -> dict[str, str]:
        """Takes the conversions of inputs and outputs away; which integer tensor each is then known by."""
        found: dict[str, str] = {}
        ends = {*(name for name, _ in self.graph.inputs), *self.outputs}
        readers = [name for node in self.nodes for name in node.input]
        for node in list(self.nodes):
            sole = readers.count(node.input[0]) == 1
            if node.op_type == "QuantizeLinear" and node.input[0] in ends - self.outputs and sole:
                found[node.input[0]] = node.output[0]
                self.nodes.remove(node)
            elif node.op_type == "DequantizeLinear" and node.output[0] in self.outputs:
                found[node.output[0]] = node.input[0]
                self.nodes.remove(node)
        return found

    def _without_rectifiers(self) -> list[Any]:
        kept: list[Any] = []
        for node in self.nodes:
            if node.op_type in ("Relu", "Clip") and kept and kept[-1].output[0] == node.input[0]:
                kept[-1].output[0] = node.output[0]
                for bound in node.input[1:]:
                    self.constants.pop(bound, None)
            else:
                kept.append(node)
        return kept

    def _quantize_inputs(self, node: Any, done: dict[str, str]) -> None:
        weighted = node.op_type in ("Conv", "Gemm", "MatMul")
        for i, name in enumerate(node.input):
            if name in self.constants:
                value = numpy_helper.to_array(self.constants[name])
                if value.dtype != np.float32 or node.op_type in ("Resize", "Clip"):
                    continue
                if weighted and i == 2:
                    node.input[i] = self._bias(name, value, node)
                elif weighted or node.op_type == "LayerNormalization":
                    node.input[i] = self._weights(name, value, 0 if node.op_type != "MatMul" else value.ndim - 1)
                else:
                    node.input[i] = self._tensor(name, value)
            elif name:
                node.input[i] = self._pair(name, _USUAL, done)

    def _pair(self, name: str, scale_zero: tuple[float, int], done: dict[str, str], *, written: bool = False) -> str:
        """The dequantized twin of an activation; `written` by the node just appended, or read by the next."""
        if name in done:
            return done[name]
        scale = self.constant(f"{name}:scale", np.array(scale_zero[0], np.float32))
        zero = self.constant(f"{name}:zero", np.array(scale_zero[1], np.uint8))
        if written and name in self.outputs:  # an output of the graph is dequantized under its own name
            self.nodes[-1].output[0] = f"{name}:linear"
            self.node("QuantizeLinear", [f"{name}:linear", scale, zero], f"{name}:q", f"{name}:q")
            done[name] = self.node("DequantizeLinear", [f"{name}:q", scale, zero], name, f"{name}:dq")
            return name
        self.node("QuantizeLinear", [name, scale, zero], f"{name}:q", f"{name}:q")
        done[name] = self.node("DequantizeLinear", [f"{name}:q", scale, zero], f"{name}:dq", f"{name}:dq")
        return done[name]

    def _weights(self, name: str, value: Array, axis: int) -> str:
        per_channel = value.ndim > 1
        across = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.maximum(np.abs(value).max(across if per_channel else None) / 127, 1e-6).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        wide = scale.reshape(shape) if per_channel else scale
        inputs = [
            self.constant(f"{name}:int", np.clip(np.rint(value / wide), -127, 127).astype(np.int8)),
            self.constant(f"{name}:scale", scale),
            self.constant(f"{name}:zero", np.zeros(scale.shape, np.int8)),
        ]
        self.constants.pop(name, None)
        return self.node(
            "DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq", **({"axis": axis} if per_channel else {})
        )

    def _bias(self, name: str, value: Array, node: Any) -> str:
        weights = next(n for n in self.nodes[::-1] if n.output and n.output[0] == node.input[1])
        scale = numpy_helper.to_array(self.constants[weights.input[1]]) * np.float32(_USUAL[0])
        inputs = [
            self.constant(f"{name}:int", np.rint(value / scale).astype(np.int32)),
            self.constant(f"{name}:scale", scale.astype(np.float32)),
            self.constant(f"{name}:zero", np.zeros(scale.shape, np.int32)),
        ]
        self.constants.pop(name, None)
        return self.node("DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq", axis=0)

    def _tensor(self, name: str, value: Array) -> str:
        inputs = [
            self.constant(f"{name}:int", np.clip(np.rint(value * 16) + 128, 0, 255).astype(np.uint8)),
            self.constant(f"{name}:scale", np.array(_USUAL[0], np.float32)),
            self.constant(f"{name}:zero", np.array(_USUAL[1], np.uint8)),
        ]
        self.constants.pop(name, None)
        return self.node("DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq")
