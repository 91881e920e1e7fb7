"""neural-compressor's PT2E static quantization as an ONNX file: the other int8 recipe the search may choose."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from advisor.model import BuiltModel, to_nchw
from advisor.runtimes.quiet import toolchain


def export_pt2e(model: BuiltModel, path: Path) -> tuple[str, ...]:
    """Write the quantized model to `path` with int8 weights stored as such; returns notes."""
    # neural-compressor writes a workspace folder beside the caller unless told otherwise
    with toolchain("neural-compressor PT2E"), tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            graph = _converted(model)
        finally:
            os.chdir(here)
        path.write_bytes(fold_constant_quantize(graph).SerializeToString())
    return ("quantized by neural-compressor (PT2E, static, per-channel weights)",)


def _converted(model: BuiltModel) -> Any:
    import onnx
    import torch
    from neural_compressor.torch.export import export
    from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

    module = model.module
    if model.network is not None:
        module = _folded_module(model)
    module = module.eval()
    samples = torch.from_numpy(to_nchw(model.calibration))
    prepared = prepare(export(module, (samples[:1],)), get_default_static_config())
    with torch.no_grad():
        for i in range(len(samples)):
            prepared(samples[i : i + 1])
        quantized = convert(prepared)
        program = torch.onnx.export(quantized, (samples[:1],), dynamo=True, verbose=False,
                                    input_names=["input"], output_names=["logits"])  # fmt: skip
    assert program is not None  # noqa: S101 - dynamo export returns a program or raises
    file = Path("quantized.onnx")
    program.save(str(file))
    return onnx.load(str(file))


def _folded_module(model: BuiltModel) -> Any:
    """The own-family network as torch module with normalisation folded into its convolutions."""
    from dataclasses import replace

    from advisor.network.to_torch import to_torch

    assert model.network is not None  # noqa: S101 - the caller checked
    bare = replace(model.network, layers=tuple(replace(layer, norm=False) for layer in model.network.layers))
    return to_torch(bare, model.weights)


def fold_constant_quantize(model: Any) -> Any:
    """Replace QuantizeLinear of constants by the quantized constants, so that the file holds int8 weights."""
    from onnx import numpy_helper

    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or not all(name in constants for name in node.input):
            kept.append(node)
            continue
        value, scale, *rest = (numpy_helper.to_array(constants[name]) for name in node.input)
        zero = rest[0] if rest else np.zeros_like(scale, np.uint8)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if scale.ndim == 1:
            shape = [1] * value.ndim
            shape[axis] = -1
            scale, zero_wide = scale.reshape(shape), zero.reshape(shape)
        else:
            zero_wide = zero
        info = np.iinfo(zero.dtype)
        quantized = np.clip(np.rint(value / scale) + zero_wide, info.min, info.max).astype(zero.dtype)
        tensor = numpy_helper.from_array(quantized, node.output[0])
        graph.initializer.append(tensor)
        constants[tensor.name] = tensor
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    left = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
    return model
