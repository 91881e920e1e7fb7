"""What can be made of a user's model file for a runtime, and why not where not."""

from __future__ import annotations

from importlib.util import find_spec

from advisor.candidate import PRECISION
from advisor.own.file import ModelFile

NOT_TRAINED = "not pruned: only an exported torch program can be trained again here"
NO_PRUNER = "not pruned: networks that are not ours need Torch-Pruning (pip install 'edge-advisor[torch-pruning]')"
_FROM_TORCH = ("fp32", "int8", "mixed", "int8-qat", "int8-pt2e")
_FROM_FILE = ("fp32", "fp16", "int8", "mixed")


def refusal(file: ModelFile, quantization: str, runtime: str) -> str:
    """Why a recipe cannot be had of the file for the runtime; the empty string where it can."""
    if quantization == "mixed" and runtime == "tflm":
        return "TFLM runs no layers in float beside int8 ones"
    if file.format == "pt2":
        return "" if quantization in _FROM_TORCH else f"no exporter makes {quantization} of a torch program here"
    if (file.format == "onnx") != (runtime == "onnxruntime"):
        return f"nothing here converts {file.format} files for {runtime}; give a {' or '.join(taken(runtime))}"
    if quantization not in _FROM_FILE:
        return f"{quantization} starts from a torch program; give the model as torch.export.save writes it (.pt2)"
    if PRECISION[quantization] == file.precision and quantization != "mixed":
        return ""
    if file.precision != "fp32":
        return f"the file is {file.precision} already; give the float model for {quantization}"
    return ""


def taken(runtime: str) -> tuple[str, str]:
    """The kinds of files that models for a runtime are made of."""
    return ".onnx" if runtime == "onnxruntime" else ".tflite", ".pt2 (torch.export.save)"


def unpruned(file: ModelFile) -> str:
    """Why the file is searched without pruning; the empty string where it is pruned."""
    if file.format != "pt2":
        return NOT_TRAINED
    return "" if can_prune_modules() else NO_PRUNER


def mixture(file: ModelFile) -> str:
    """What the name of a file's precision leaves out, which is that of most of its MACs; empty where it is all.

    Narrow layers are told from float32 ones alone: biases are stored in 32 bits beside the weights of either.
    """
    narrow = wide = 0
    for op in file.workload.operators if file.workload else ():
        if op.macs and op.params:
            full = op.weight_bytes >= 4 * op.params
            narrow, wide = (narrow, wide + op.macs) if full else (narrow + op.macs, wide)
    if not narrow or not wide:
        return ""
    share = 100 * (wide if file.precision == "fp32" else narrow) / (narrow + wide)
    rest = "fewer bits" if file.precision == "fp32" else "fp32"
    return f"mixed precision, listed as {file.precision}: that is {share:.3g} % of its MACs, the rest is in {rest}"


def can_prune_modules() -> bool:
    """Whether what prunes networks that are not ours is installed."""
    return find_spec("torch_pruning") is not None
