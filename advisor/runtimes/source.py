"""Files made of a model file that the user brought: as it is, quantized after training, or with halved weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from advisor.candidate import PRECISION
from advisor.model import BuiltModel
from advisor.network.weights import Array
from advisor.runtimes.quiet import toolchain
from specs.errors import ToolchainError

_HALVED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")
"""Operators whose weights ai-edge-quantizer stores in half precision."""
_QUANTIZED = ("quantized by ai-edge-quantizer",)


def brought(model: BuiltModel, format: str) -> bytes | None:
    """The user's file where it is what the recipe asks for; None where it has to be converted, or none was brought.

    Raises:
        ToolchainError: a file of another format, or one that is quantized already.
    """
    source = model.source
    if source is None:
        return None
    if source.format != format:
        hint = f"give a .{format}, or the exported torch program (.pt2)"
        raise ToolchainError(f"nothing here converts {source.format} files to {format}", next=hint)
    if source.precision == PRECISION[model.quantization] and model.quantization in ("fp32", "fp16", "int8"):
        return source.data
    if source.precision != "fp32":
        raise ToolchainError(f"the file is {source.precision} already", next="give the float model")
    return None


def source_graph(model: BuiltModel) -> Any:
    """The user's ONNX model, its input called `input` as calibration expects."""
    import onnx

    assert model.source is not None  # noqa: S101 - the caller checked
    graph = onnx.load_from_string(model.source.data)
    stored = {tensor.name for tensor in graph.graph.initializer}
    (entry,) = (value for value in graph.graph.input if value.name not in stored)
    names = {"input": "advisor_other", entry.name: "input"}  # where something else is called so, it gives way
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer, *graph.graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.graph.node:
        for part in (node.input, node.output):
            for i, name in enumerate(part):
                part[i] = names.get(name, name)
    return graph


def source_tflite(model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
    """The TFLite file of a model whose source is one, and notes.

    Raises:
        ToolchainError: as `brought`, or ai-edge-quantizer fails or is not installed.
    """
    from advisor.runtimes.tflite_file import slim

    data = brought(model, "tflite")
    if data is not None:
        if _outside(data):  # TFLM answers with a constant where weights lie behind the file's tables
            return slim(data), ("weights moved into the file's tables",)
        return data, ("the file as it was brought",)
    assert model.source is not None  # noqa: S101 - else `brought` raised
    if model.quantization == "fp16":
        return _halved(model.source.data), _QUANTIZED
    return quantized_tflite(model.source.data, model)


def quantized_tflite(data: bytes, model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
    """A float TFLite file in int8, with what `mixed` keeps in float; and notes.

    Raises:
        ToolchainError: ai-edge-quantizer fails or is not installed.
    """
    from advisor.runtimes.tflite_file import slim
    from advisor.runtimes.tflite_mix import float_operators

    with _tool() as (quantizer, recipe), tempfile.TemporaryDirectory() as folder:
        named, dims = _named(slim(data))
        path = Path(folder) / "float.tflite"
        path.write_bytes(named)
        rows = [np.ascontiguousarray(row, np.float32).reshape(dims) for row in model.calibration]
        ranges = whole_ranges(quantizer.Quantizer(str(path), recipe.static_wi8_ai8()), path, "x", rows)

        def quantized(floating: Sequence[str]) -> bytes:
            tool = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
            for name in floating:
                tool.update_quantization_recipe(f"(^|;){name};", quantizer._TFLOpName.ALL_SUPPORTED,
                                                algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)  # fmt: skip
            return bytes(tool.quantize(ranges).quantized_model)

        if model.quantization != "mixed":
            return slim(quantized(())), _QUANTIZED
        names, note = float_operators(named, rows, model, quantized)
        return slim(quantized(names)), (*_QUANTIZED, note)


def _halved(data: bytes) -> bytes:
    from advisor.runtimes.tflite_file import slim

    with _tool() as (quantizer, _), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        path.write_bytes(_named(slim(data))[0])
        tool = quantizer.Quantizer(str(path))
        for name in _HALVED:
            tool.add_weight_only_config(".*", quantizer._TFLOpName(name), num_bits=16,
                                        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING)  # fmt: skip
        return slim(bytes(tool.quantize().quantized_model))


@contextmanager
def _tool() -> Iterator[tuple[Any, Any]]:
    """ai-edge-quantizer's `quantizer` and `recipe`; what they raise becomes one ToolchainError line."""
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        raise ToolchainError("quantizing TFLite files that are not ours needs ai-edge-quantizer",
                             next="pip install 'edge-advisor[litert-torch]'") from None  # fmt: skip
    with toolchain("ai-edge-quantizer"):
        yield quantizer, recipe


def whole_ranges(tool: Any, path: Path, name: str, rows: Sequence[Array]) -> dict[str, Any]:
    """Least and greatest value of every tensor over all calibration `rows`, as ai-edge-quantizer takes them.

    Its own `calibrate` keeps a moving average of each sample's range, which clips what is not average: 8 dB instead of
    26 dB on a small network.
    """
    from ai_edge_litert.interpreter import Interpreter

    found: dict[str, Any] = {
        key: dict(entry) for key, entry in tool.calibrate({"serving_default": [{name: rows[0]}]}).items()
    }
    runner = Interpreter(model_path=str(path), num_threads=1, experimental_preserve_all_tensors=True)
    runner.allocate_tensors()
    place = {entry["name"]: entry["index"] for entry in runner.get_tensor_details()}
    into = runner.get_input_details()[0]["index"]
    for row in rows:
        runner.set_tensor(into, row)
        runner.invoke()
        for key, entry in found.items():
            if key in place and "min" in entry and entry["min"] is not None and np.size(entry["min"]) == 1:
                value = runner.get_tensor(place[key])
                entry["min"] = np.minimum(entry["min"], value.min())
                entry["max"] = np.maximum(entry["max"], value.max())
    return found


def _outside(data: bytes) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    return any(model.Buffers(i).Offset() > 1 for i in range(model.BuffersLength()))


def _named(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The model with a name for every tensor and a signature, by which ai-edge-quantizer tells them apart; and the
    input's dimensions."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    for g, graph in enumerate(model.subgraphs):
        for i, tensor in enumerate(graph.tensors):
            tensor.name = f"t{g}_{i}".encode()
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = [_entry(schema, b"x", graph.inputs[0])]
    signature.outputs = [_entry(schema, f"y{i}".encode(), index) for i, index in enumerate(graph.outputs)]
    model.signatureDefs = [signature]
    dims = tuple(int(side) for side in graph.tensors[graph.inputs[0]].shape)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), dims


def _entry(schema: Any, name: bytes, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
