"""The input of an ONNX file. The reader of workloads has looked at the file before: sizes and framing are sound."""

from __future__ import annotations

from typing import Any

from advisor.own.port import Port, checked
from cost_models.onnx_graph import unknown_operator
from cost_models.onnx_kinds import STANDARD_DOMAINS
from specs.errors import ModelFileError

_RUNTIMES_OWN = ("com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")
"""Domains whose operators onnxruntime alone can list."""


def onnx_port(data: bytes) -> Port:
    """The input; of an integer one the scale and zero point that the graph gives it.

    Raises:
        ModelFileError: more than one input, weights outside the file, an operator that nothing runs, or an input that
            is no sample.
    """
    import onnx

    model = onnx.ModelProto()
    model.ParseFromString(data)
    graph = model.graph
    if any(tensor.data_location for tensor in _tensors([graph, *model.functions])):
        hint = "save the model as one file (onnx.save_model with save_as_external_data=False)"
        raise ModelFileError("its weights lie outside the file", next=hint)
    _check_operators(onnx, model)
    stored = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        raise ModelFileError("it does not take one input", seen=[v.name[:60] for v in inputs[:8]], allowed="one input")
    kind = inputs[0].type.tensor_type
    dims = [d.dim_value if d.dim_value > 0 else 1 for d in kind.shape.dim]
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, ValueError):
        dtype = f"type {kind.elem_type}"
    return checked(inputs[0].name, dims, dtype, *_quantization(onnx, graph, inputs[0].name))


def _check_operators(onnx: Any, model: Any) -> None:
    """Raise ModelFileError for an operator of a domain that nothing here has, or of none by that name."""
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain in _RUNTIMES_OWN or (node.domain, node.op_type) in own:
            continue
        domain = "" if node.domain == "ai.onnx" else node.domain  # two names of the same
        if node.domain not in STANDARD_DOMAINS or not onnx.defs.has(node.op_type, domain):
            raise unknown_operator(f"{node.domain}::{node.op_type}" if node.domain else node.op_type)


def _tensors(graphs: list[Any]) -> Any:
    """Every stored tensor of graphs and functions, those inside attributes and inner graphs too."""
    while graphs:
        one = graphs.pop()
        yield from getattr(one, "initializer", ())
        for sparse in getattr(one, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in one.node:
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += list(attribute.graphs)
                yield from ([attribute.t] if attribute.HasField("t") else [])
                yield from attribute.tensors


def _quantization(onnx: Any, graph: Any, name: str) -> tuple[float, int]:
    """Scale and zero point of an integer input: those of the DequantizeLinear nodes that read it."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = [node for node in graph.node if name in node.input]
    if not readers or any(node.op_type != "DequantizeLinear" for node in readers):
        return 0.0, 0
    found = []
    for part in readers[0].input[1:3]:
        if part not in constants:
            return 0.0, 0
        value = onnx.numpy_helper.to_array(constants[part])
        if value.size != 1:
            return 0.0, 0
        found.append(value.reshape(-1)[0])
    return float(found[0]), int(found[1]) if len(found) > 1 else 0
