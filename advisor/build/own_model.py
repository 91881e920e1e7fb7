"""A user's own model as a candidate's: an ONNX or TFLite file as our runtimes feed it, a torch program as module."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from advisor.model import BuiltModel, SourceFile
from advisor.own.file import ModelFile
from advisor.own.fit import Fit
from advisor.own.program import read_program
from specs.errors import ModelFileError


def own_model(base: BuiltModel, file: ModelFile, fit: Fit) -> tuple[BuiltModel, tuple[str, ...]]:
    """`base` with the model of the file, and notes.

    Raises:
        ModelFileError: the model does not run, or takes channels first where our sessions cannot feed them.
    """
    data = file.path.read_bytes()
    notes: tuple[str, ...] = ()
    if file.format == "pt2":
        from advisor.build.program_module import program_module

        return replace(base, module=program_module(read_program(data), fit)), ()
    if file.format == "onnx":
        data, notes = onnx_source(data, file, fit)
    elif not fit.plain:
        raise ModelFileError("a TFLite model to be compressed must take channels last", where=str(file.path),
                             seen=file.input.dims, next="convert it with channels last")  # fmt: skip
    return replace(base, source=SourceFile(data, file.format, file.precision)), notes


def onnx_source(data: bytes, file: ModelFile, fit: Fit) -> tuple[bytes, tuple[str, ...]]:
    """The file as it is where it takes (1, C, H, W) float32 and gives (1, classes), else with what is needed before
    and after it; and notes."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(data)
    graph, port = model.graph, file.input
    rank = len(graph.output[0].type.tensor_type.shape.dim)
    if fit.channels_first and port.dtype == "float32" and rank == 2:
        return data, ()
    height, width, channels = _sides(fit)
    front, back = [], []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), f"advisor_{name}"))
        return f"advisor_{name}"

    last = "advisor_input"
    if not fit.channels_first:
        # from (1, C, H, W): back to (H, W, C), then in the file's order
        order = [0, *((2, 3, 1)[axis] for axis in fit.axes)]
        front.append(helper.make_node("Transpose", [last], ["advisor_turned"], perm=order))
        shape = constant("shape", np.array([1, *fit.dims], np.int64))
        front.append(helper.make_node("Reshape", ["advisor_turned", shape], ["advisor_laid"]))
        last = "advisor_laid"
    if port.dtype == "float16":
        front.append(helper.make_node("Cast", [last], ["advisor_cast"], to=onnx.TensorProto.FLOAT16))
        last = "advisor_cast"
    elif port.dtype != "float32":
        zero = np.array(port.zero, port.dtype)
        ends = [last, constant("scale", np.float32(port.scale)), constant("zero", zero)]
        front.append(helper.make_node("QuantizeLinear", ends, ["advisor_quantized"]))
        last = "advisor_quantized"
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == port.name:
                node.input[i] = last
    result = graph.output[0].name
    if rank != 2:
        back.append(helper.make_node("Reshape", [result, constant("classes", np.array([1, file.outputs], np.int64))],
                                     ["advisor_logits"]))  # fmt: skip
        kind = graph.output[0].type.tensor_type.elem_type
        graph.output.insert(0, helper.make_tensor_value_info("advisor_logits", kind, [1, file.outputs]))
        del graph.output[1:]
    nodes = [*front, *graph.node, *back]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    kept = [value for value in graph.input if value.name != port.name]
    del graph.input[:]
    graph.input.extend([helper.make_tensor_value_info("advisor_input", 1, [1, channels, height, width]), *kept])
    return model.SerializeToString(), ("input and output brought into the form of the task by operators of their own",)


def _sides(fit: Fit) -> tuple[int, int, int]:
    from advisor.network.description import network_shape

    sides = network_shape(fit.shape)
    assert prod(sides) == prod(fit.dims)  # noqa: S101 - fits are made by `fit`
    return sides
