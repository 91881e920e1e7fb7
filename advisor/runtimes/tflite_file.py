"""Writing TFLite files: conversion through the Keras mirror, litert-torch for opaque networks, and slimming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advisor.model import BuiltModel
from advisor.network.to_keras import to_keras
from advisor.network.weights import Array
from advisor.runtimes.quiet import toolchain
from specs.errors import ToolchainError


def convert(model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
    """The TFLite file of a built model (fp32, fp16 weights, or full int8 with int8 input and output), and notes.

    Raises:
        ToolchainError: the converter failed, or litert-torch is needed and not installed.
    """
    if model.network is not None:
        with toolchain("TFLite conversion"):
            return slim(_through_keras(model)), ()
    return _through_litert_torch(model)


def _through_keras(model: BuiltModel) -> bytes:
    import keras
    import tensorflow as tf

    assert model.network is not None  # noqa: S101 - the caller checked
    converter = tf.lite.TFLiteConverter.from_keras_model(to_keras(model.network, model.weights))
    if model.quantization == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in model.calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif model.quantization == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    elif model.quantization != "fp32":
        raise ToolchainError(f"TFLite has no {model.quantization}", allowed="fp32, fp16, int8")
    data: bytes = converter.convert()
    keras.backend.clear_session()  # or every network ever converted stays in memory
    return data


def _through_litert_torch(model: BuiltModel) -> tuple[bytes, tuple[str, ...]]:
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
        data = _exported(edge)
        if model.quantization == "int8":
            data = _quantized(data, model.calibration)
    if model.quantization not in ("fp32", "int8"):
        raise ToolchainError(f"litert-torch exports no {model.quantization} here", allowed="fp32, int8")
    return slim(data), ("converted by litert-torch: operators of the exported torch graph",)


def _exported(edge: Any) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        edge.export(str(path))
        return path.read_bytes()


def _quantized(data: bytes, calibration: Array) -> bytes:
    import tempfile

    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    name = next(iter(Interpreter(model_content=data).get_signature_list().values()))["inputs"][0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        path.write_bytes(data)
        tool = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        ranges = tool.calibrate({"serving_default": [{name: row[None]} for row in calibration]})
        quantized = tool.quantize(ranges).quantized_model
    return bytes(quantized)


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
