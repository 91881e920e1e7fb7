"""neural-compressor's PT2E static quantization as an ONNX file: the other int8 recipe the search may choose."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
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
        path.write_bytes(fold_padding(fold_constant_quantize(graph)).SerializeToString())
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


def fold_padding(model: Any) -> Any:
    """Padding with zeros that only convolutions read, through a QuantizeLinear and back or not, as their own `pads`.

    onnxruntime runs a convolution in int8 where its output is quantized right away; with a Pad between, it computes in
    float and unpacks the weights at every inference: small networks take about twice as long. The answers stay, for
    zero is quantized without error.
    """
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    kept_outputs = {output.name for output in graph.output}
    gone = []
    for pad in (node for node in graph.node if node.op_type == "Pad"):
        sides = _zeros_around(pad, constants)
        convolutions = _convolutions(pad.output[0], readers, kept_outputs)
        if sides is None or not convolutions:
            continue
        for conv in convolutions:
            _widen(conv, sides)
        for reader in readers[pad.output[0]]:
            reader.input[0] = pad.input[0]
        gone.append(pad)
    for pad in gone:
        graph.node.remove(pad)
    if gone:
        del graph.value_info[:]  # the shapes noted there were those of padded tensors
    return model


def _zeros_around(pad: Any, constants: Mapping[str, Any]) -> tuple[list[int], list[int]] | None:
    """Rows and columns of zeros a Pad puts before and after an image; None where it does anything else."""
    from onnx import numpy_helper

    modes = [a.s for a in pad.attribute if a.name == "mode"]
    names = list(pad.input)
    others = [name for name in names[1:] if name]
    if modes not in ([], [b"constant"]) or len(others) != len(names[1:3]) or any(n not in constants for n in others):
        return None
    amounts, *value = (numpy_helper.to_array(constants[name]) for name in others)
    if len(amounts) != 8 or (value and np.any(value[0])):
        return None
    before, after = amounts[:4].tolist(), amounts[4:].tolist()
    return (before[2:], after[2:]) if not any(before[:2] + after[:2]) and min(before + after) >= 0 else None


def _convolutions(name: str, readers: Mapping[str, list[Any]], kept: Collection[str]) -> list[Any]:
    """The convolutions that alone read a tensor as their input, quantized and back between or not; else none."""
    found = []
    for node in readers.get(name, []) if name not in kept else []:
        if node.input[0] != name or list(node.input).count(name) > 1:
            return []
        if node.op_type == "Conv" and not any(a.name == "auto_pad" and a.s != b"NOTSET" for a in node.attribute):
            found.append(node)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            behind = _convolutions(node.output[0], readers, kept)
            if not behind:
                return []
            found += behind
        else:
            return []
    return found


def _widen(conv: Any, sides: tuple[list[int], list[int]]) -> None:
    from onnx import helper

    attribute = next((a for a in conv.attribute if a.name == "pads"), None)
    own = list(attribute.ints) if attribute is not None else [0] * 4
    if attribute is not None:
        conv.attribute.remove(attribute)
    wider = [mine + more for mine, more in zip(own, [*sides[0], *sides[1]], strict=True)]
    conv.attribute.append(helper.make_attribute("pads", wider))
