"""Writing TFLite files: conversion through the Keras mirror, litert-torch for opaque networks, and slimming."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from advisor.model import BuiltModel
from advisor.network.to_keras import to_keras
from advisor.runtimes.mixed import FULL_INT8, floating_layers
from advisor.runtimes.quiet import toolchain
from advisor.runtimes.source import quantized_tflite, source_tflite
from specs.errors import ToolchainError

WIDE = "int16x8"
"""16-bit activations and 8-bit weights in every layer: not a recipe of its own, what `mixed` is on TFLM."""


def convert(model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
    """The TFLite file of a built model (fp32, fp16 weights, or full int8 with int8 input and output), and notes.

    Raises:
        ToolchainError: the converter failed, or litert-torch is needed and not installed.
    """
    if model.network is not None:
        with toolchain("TFLite conversion"):
            return slim(_through_keras(model)), ()
    if model.source is not None:
        return source_tflite(model)
    return _through_litert_torch(model)


def _through_keras(model: BuiltModel) -> bytes:
    import keras
    import tensorflow as tf

    assert model.network is not None  # noqa: S101 - the caller checked
    converter = tf.lite.TFLiteConverter.from_keras_model(to_keras(model.network, model.weights))
    if model.quantization in (*FULL_INT8, "mixed", WIDE):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in model.calibration)
    if model.quantization in FULL_INT8:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif model.quantization == WIDE:
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide]
        converter.inference_input_type = converter.inference_output_type = tf.int16
    elif model.quantization == "mixed":
        return _mixed(converter, floating_layers(model))
    elif model.quantization == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    elif model.quantization != "fp32":
        raise ToolchainError(f"TFLite has no {model.quantization}", allowed="fp32, fp16, int8, int8-qat, mixed")
    data: bytes = converter.convert()
    keras.backend.clear_session()  # or every network ever converted stays in memory
    return data


def _mixed(converter: Any, floating: frozenset[str]) -> bytes:
    """int8 with these layers on the quantizer's list of nodes to leave alone; float32 input and output.

    What `tf.lite.experimental.QuantizationDebugger` does, less its instrumented model.
    """
    import keras
    from tensorflow.lite.python.convert import mlir_quantize

    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    keras.backend.clear_session()
    data: bytes = mlir_quantize(calibrated, denylisted_nodes=_outputs(calibrated, floating))
    return data


def _outputs(data: bytes, layers: frozenset[str]) -> list[str]:
    """Names of the tensors that the operators of these layers write; `to_keras` names operators by their layer."""
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
    found = []
    for op in graph.operators:
        for index in op.outputs:
            name = graph.tensors[index].name.decode()
            words = {re.sub(r"(_act)?(_\d+)?$", "", word) for word in re.split("[/;]", name)}
            if words & layers:
                found.append(name)
    return found


def _through_litert_torch(model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
    if model.quantization not in ("fp32", *FULL_INT8, "mixed"):
        raise ToolchainError(f"litert-torch exports no {model.quantization} here", allowed="fp32, int8, mixed")
    try:
        import litert_torch
        import torch
    except ImportError:
        raise ToolchainError(f"{model.name} needs litert-torch to become TFLite",
                             next="pip install 'edge-advisor[litert-torch]'") from None  # fmt: skip
    height, width, channels = model.input_shape
    with toolchain("litert-torch conversion"):
        wrapped = litert_torch.to_channel_last_io(model.module.eval(), args=[0])
        edge = litert_torch.convert(wrapped, (torch.zeros(1, height, width, channels),))
        data, notes = _exported(edge), ("converted by litert-torch: operators of the exported torch graph",)
    if model.quantization == "fp32":
        return slim(data), notes
    data, more = quantized_tflite(data, model)
    return data, (*notes, *more)


def _exported(edge: Any) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        edge.export(str(path))
        return path.read_bytes()


def slim(data: bytes) -> bytes:
    """The same model without what no runtime reads: tensor names, value ranges, metadata; weights inline.

    Names of a Keras graph take more flash than the weights of a tiny network. External-offset buffers, which TFLM
    accepts and then answers with a constant, are moved inline.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    for buffer in model.buffers:
        if getattr(buffer, "offset", 0) > 1:
            buffer.data = np.frombuffer(data[buffer.offset : buffer.offset + buffer.size], np.uint8)
            buffer.offset = buffer.size = 0
    model.metadata = []
    model.metadataBuffer = None
    model.description = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None
                if tensor.quantization.scale is None or not len(tensor.quantization.scale):
                    tensor.quantization = None
    _drop_unused_buffers(model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _drop_unused_buffers(model: Any) -> None:
    """Activations all share the empty buffer 0, and equal constants share one."""
    kept: list[Any] = [model.buffers[0]]
    index: dict[bytes, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
            if not content:
                tensor.buffer = 0
                continue
            if content not in index:
                index[content] = len(kept)
                kept.append(model.buffers[tensor.buffer])
            tensor.buffer = index[content]
    model.buffers = kept
