"""The ONNX graph behind a workload: nodes in execution order, every shape known, constants told from activations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cost_models.onnx_fuse import fuse
from cost_models.onnx_kinds import CLASSIC, KINDS_BY_OP, STANDARD_DOMAINS
from cost_models.onnx_nodes import Node
from cost_models.onnx_shapes import MISFIT, Shapes, infer
from cost_models.read_common import MAX_OPERATORS, MAX_TENSORS, checked_shape, without_batch
from cost_models.wire import check_onnx
from specs.errors import ModelFileError

BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
        16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4}  # fmt: skip
"""Bits of an element by the number of onnx.proto's TensorProto.DataType."""
INDEX_TYPES = (6, 7, 8, 9, 12, 13)
STRINGS = 8
SMALL_ELEMENTS = 4096
"""Constants beyond this are weights: their data do not take part in shape inference."""


class Graph:
    """Nodes in execution order with what is known of every tensor they touch."""

    def __init__(self, nodes: list[Node], inputs: list[str], outputs: list[str], shapes: Shapes,
                 types: dict[str, int], constants: set[str], values: dict[str, Any],
                 external_bytes: int, strangers: frozenset[str] = frozenset()) -> None:  # fmt: skip
        self.nodes, self.inputs, self.outputs = nodes, inputs, outputs
        self._strangers = strangers
        self._writer = {out: node for node in nodes for out in node.outputs}
        self.external_bytes = external_bytes
        self._shapes, self._types, self._constants, self._values = shapes, types, constants, values
        self._stored: dict[str, str] = {}
        for node in nodes:
            if all(i in constants or not i for i in node.inputs) or node.op == "Shape":
                constants.update(o for o in node.outputs if o)
                if node.op in ("DequantizeLinear", "Cast") and node.inputs:
                    self._stored[node.outputs[0]] = node.inputs[0]
        nodes = self.nodes = fuse(nodes, self.is_constant, outputs)
        self.used = {i for node in nodes for i in node.inputs} | set(outputs)
        convolved = {len(shapes.get(n.inputs[0], ())) for n in nodes if n.op in ("Conv", "QLinearConv") and n.inputs}
        self._channels_first = {4, 5} | (convolved & {3})  # three dimensions are channels and length, or a sequence

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._shapes:
            stranger = self._stranger_before(name)
            if stranger:
                raise unknown_operator(stranger)
            raise ModelFileError(f"the shape of {name!r} is known at run time only",
                                 next="simplify the model with fixed input shapes")  # fmt: skip
        return self._shapes[name]

    def _stranger_before(self, name: str) -> str:
        """An operator nobody knows that `name` depends on, the nearest one; empty where there is none."""
        seen, ahead = set[str](), [name] if self._strangers else []
        for one in ahead:  # grows while it is walked
            node = self._writer.get(one)
            if node is None or one in seen:
                continue
            if node.op in self._strangers:
                return node.op
            seen.add(one)
            ahead += node.inputs
        return ""

    def elements(self, name: str) -> int:
        return prod(self.shape(name))

    def channels(self, name: str) -> int:
        shape = self.shape(name)
        return shape[1] if len(shape) > 1 else 1

    def plain_shape(self, name: str) -> tuple[int, ...]:
        """Without batch, channels last."""
        shape = self.shape(name)
        if len(shape) in self._channels_first:
            shape = (shape[0], *shape[2:], shape[1])
        return without_batch(shape)

    def bits(self, name: str) -> int:
        return BITS.get(self._types.get(name, 1), 32)

    def stored_bits(self, name: str) -> int:
        """Bits a constant takes in the file: those before it is dequantized or cast."""
        while name in self._stored:
            name = self._stored[name]
        return self.bits(name)

    def is_index(self, name: str, kind: str) -> bool:
        """Whether a constant is a shape, an axis or a bound rather than a parameter."""
        while name in self._stored:
            name = self._stored[name]
        return self._types.get(name, 1) in INDEX_TYPES and kind not in ("conv", "dwconv", "dense")

    def scalar(self, name: str) -> float | None:
        value = self._values.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def shaped(data: bytes, folder: Path) -> Graph:
    """Parses, checks and infers the shapes of a serialized model.

    Raises:
        ModelFileError: not a model, cyclic, absurd dimensions, or shapes known at run time only.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # comes with onnx, untyped

    check_onnx(data)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError):
        raise ModelFileError("not a readable ONNX file", seen=f"{len(data)} bytes") from None
    graph = model.graph
    if not graph.node or model.ir_version <= 0:
        raise ModelFileError("not a model file", seen=f"{len(data)} bytes", allowed="an ONNX or TFLite model")
    if len(graph.node) > MAX_OPERATORS or len(graph.initializer) > MAX_TENSORS:
        raise ModelFileError("too many operators or weights", seen=len(graph.node), allowed=f"{MAX_OPERATORS}")
    for named in (*graph.node, *model.opset_import):
        if named.domain == "ai.onnx":  # another name of the standard's
            named.domain = ""
    values = {t.name: v for t in graph.initializer if (v := _value(onnx, t)) is not None}
    external = _strip(graph, folder)
    initializers = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = _fix_inputs(graph, initializers)
    order = _order(graph, set(inputs) | initializers)
    ordered = [graph.node[i] for i in order]
    # the file's own figures for inner tensors may carry a symbolic batch: used where inference knows nothing
    noted = {v.name: v.type for v in (*graph.value_info, *graph.output)}
    nodes = [_node(onnx, n) for n in ordered]
    constants = set(initializers)
    for node, message in zip(nodes, ordered, strict=True):
        if node.op == "Constant":
            constants.update(node.outputs)
            found = [a.t for a in message.attribute if a.HasField("t")]
            value = _value(onnx, found[0]) if found else None
            if value is not None:
                values[node.outputs[0]] = value
    strangers = _strangers(onnx, model)
    try:
        shapes, types = infer(onnx, model, ordered, noted, values, constants)
    except ModelFileError as error:
        if strangers and error.what == MISFIT:  # what was assumed of them
            raise unknown_operator(min(strangers)) from None
        raise
    nodes = [n for n in nodes if n.op != "Constant" and n.outputs and n.outputs[0]]
    outputs = [o.name for o in graph.output]
    return Graph(nodes, inputs, outputs, shapes, types, constants, values, external, strangers)


def unknown_operator(name: str) -> ModelFileError:
    """What a model is told whose operator nobody here knows."""
    return ModelFileError(f"unknown operator {name[:100]!r}", allowed="operators of the ONNX standard",
                          next="export the model with those alone")  # fmt: skip


def _strangers(onnx: Any, model: Any) -> frozenset[str]:
    """Operators, as `Node.op` names them, that neither the standard nor the file itself describes."""
    own = {(function.domain, function.name) for function in model.functions}
    found = set()
    for node in model.graph.node:
        standard = node.domain in STANDARD_DOMAINS
        known = standard and (node.op_type in KINDS_BY_OP or node.op_type in CLASSIC)
        if not known and (node.domain, node.op_type) not in own and not onnx.defs.has(node.op_type, node.domain):
            found.add(_op(node))
    return frozenset(found)


def _strip(graph: Any, folder: Path) -> int:
    """Drops the data of large weights (their sizes are enough); returns the bytes of external data inside `folder`."""
    files: dict[str, None] = {}
    for tensor in graph.initializer:
        checked_shape(tensor.dims, tensor.name[:200])
        if tensor.data_location == 1:
            files.update({e.value: None for e in tensor.external_data if e.key == "location"})
        if prod(tensor.dims) > SMALL_ELEMENTS or tensor.data_location == 1:
            for part in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data",
                         "string_data", "external_data", "data_location"):  # fmt: skip
                tensor.ClearField(part)
    total = 0
    for name in files:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            total += path.stat().st_size
    return total


def _value(onnx: Any, tensor: Any) -> NDArray[Any] | None:
    """A constant's data, where they are at hand and few enough to compute with."""
    if tensor.data_location != 0 or not 0 <= prod(tensor.dims) <= SMALL_ELEMENTS or tensor.data_type == STRINGS:
        return None
    try:
        value: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):
        return None  # fewer data than its dimensions say: of no use to shapes, its size still counts
    return value


def _fix_inputs(graph: Any, initializers: set[str]) -> list[str]:
    names = []
    for value in graph.input:
        if value.name in initializers:
            continue
        names.append(value.name)
        if not value.type.HasField("tensor_type"):
            continue
        dims = value.type.tensor_type.shape.dim
        for index, dim in enumerate(dims):
            if dim.HasField("dim_value") and (dim.dim_value > 0 or (index and dim.dim_value == 0)):
                continue
            if index:
                seen = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims]
                raise ModelFileError(f"input {value.name!r} has dimensions known at run time only", seen=seen,
                                     next="export with a fixed input shape")  # fmt: skip
            dim.Clear()
            dim.dim_value = 1
        checked_shape((d.dim_value for d in dims), value.name[:200])
    return names


def _order(graph: Any, known: set[str]) -> Sequence[int]:
    """Indices of the nodes such that each comes after those it reads; the file's order wherever it is one."""
    writer = {out: i for i, node in enumerate(graph.node) for out in node.output if out}
    needs = [{writer[name] for name in node.input if name in writer} for node in graph.node]
    for node in graph.node:
        missing = next((name for name in node.input if name and name not in writer and name not in known), None)
        if missing is not None:
            raise ModelFileError(f"{node.op_type} reads {missing[:200]!r}, which nothing writes")
    if all(not need or max(need) < i for i, need in enumerate(needs)):
        return range(len(needs))
    readers: dict[int, list[int]] = {}
    for i, need in enumerate(needs):
        for j in need:
            readers.setdefault(j, []).append(i)
    left = [len(need) for need in needs]
    ready = [i for i, count in enumerate(left) if not count][::-1]
    order = []
    while ready:
        i = ready.pop()
        order.append(i)
        for j in readers.get(i, ()):
            left[j] -= 1
            if not left[j]:
                ready.append(j)
    if len(order) < len(needs):
        raise ModelFileError("the graph has a cycle", next="export the model again")
    return order


def _op(message: Any) -> str:
    return message.op_type if message.domain in STANDARD_DOMAINS else f"{message.domain}::{message.op_type}"


def _node(onnx: Any, message: Any) -> Node:
    wanted = ("group", "strides", "kernel_shape", "transB", "min", "max")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in message.attribute if a.name in wanted}
    held = tuple(len(a.floats) for a in message.attribute if a.floats)
    return Node(_op(message), message.name, list(message.input), list(message.output), attributes, held)
