"""What X-CUBE-AI (ST Edge AI Core) takes on a microcontroller: its activations plan, its structures, its kernels.

The plan's rules are read off the allocations of published networks (data/memory_facts.csv) and of generated `network.c`
files: a convolution writes over its input while it reads it, a pooling right behind an 8-bit convolution is done line
by line, a padded convolution gets a padded copy of its input, and every kernel asks for its scratch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import prod
from typing import Any

from cost_models.workload import Operator, Workload

ID = "stm32cube-ai"
PLANNED = "7"
"""Releases (7 and 8) whose published figures are plans within one memory, which is what a limit on RAM asks for; those
of release 10 spread tensors over several memories of their boards."""
WINDOW_SCRATCH = 5120
"""Bytes of the unrolled window of a convolution over many channels, whatever their number (network.c files)."""
WINDOW_CHANNEL = (14, 32)
"""Bytes more for an output channel: of up to 16 of them, of more."""
FEW_CHANNELS = 3
"""Convolutions of at most as many input channels unroll without that buffer."""
IN_PLACE = ("add", "mul", "activation", "reshape", "quantize", "softmax")
"""Operators that write where they read, when nothing else reads it afterwards."""
OVERLAID = ("conv", "dwconv", "pad", "max-pool", "avg-pool")
"""Operators that write over their input with a margin, when nothing else reads it afterwards."""
KERNEL_OF = {"conv": "conv", "dwconv": "conv", "dense": "dense", "matmul": "dense", "add": "eltwise", "mul": "eltwise",
             "avg-pool": "pool", "max-pool": "pool", "global-avg-pool": "pool", "mean": "pool", "softmax": "nl",
             "activation": "nl", "concat": "move", "slice": "move", "transpose": "move", "pad": "move",
             "resize": "move", "norm": "norm", "recurrent": "recurrent"}  # fmt: skip
"""Which part of the library an operator links."""
FREE = ("reshape", "quantize")
"""Operators that become no layer of the generated network, or a trivial one."""


@dataclass(frozen=True, slots=True)
class Stm32Plan:
    """`overlaid` tells whether the peak is at an operator that writes over its input."""

    bytes: int
    overlaid: bool


@dataclass(frozen=True, slots=True)
class _Step:
    op: Operator
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scratch: int


@cache
def fitted() -> dict[str, Any]:
    """The parameters `cost_models.fit_memory` found."""
    text = files("cost_models").joinpath("data", "memory.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def scratch_bytes(workload: Workload, op: Operator) -> int:
    """What a kernel asks for beside its input and output (sizes of arrays in generated network.c files)."""
    if not op.inputs or not op.outputs:
        return 0
    source, out = workload.tensors[op.inputs[0]], workload.tensors[op.outputs[0]]
    if op.op == "SVMClassifier":
        return 4 * op.macs // max(1, source.elements)  # one kernel value a support vector
    if op.kind not in ("conv", "dwconv") or not source.shape or not out.shape:
        return 0
    channels, filters, window = source.shape[-1], out.shape[-1], prod(op.kernel)
    if source.bits > 8:
        return 4 * window * (1 if op.kind == "dwconv" else channels)
    if op.kind == "dwconv":
        return (4 * window + 1) * channels
    if window == 1:
        return 4 * channels + 10 * filters
    if channels > FEW_CHANNELS:
        return WINDOW_SCRATCH + WINDOW_CHANNEL[filters > 16] * filters
    return 4 * window * channels + 34 * filters


def plan(workload: Workload) -> Stm32Plan:
    """The peak of the activations, kernels' scratch included, before the fitted margin of overlaid operators."""
    size = workload.tensor_bytes
    steps = _steps(workload)
    last: dict[int, int] = {}
    for time, step in enumerate(steps):
        last.update(dict.fromkeys(step.inputs, time))
    last.update(dict.fromkeys(workload.outputs, len(steps)))
    live = {i for i in workload.inputs if i in last}
    peak, overlaid = sum(size[i] for i in live), False
    for time, step in enumerate(steps):
        dying = [i for i in step.inputs if last[i] <= time]
        kept = sum(size[i] for i in live if i not in dying)
        before, after = sum(size[i] for i in dying), sum(size[i] for i in step.outputs)
        copy = _padded_copy(workload, step.op)
        if dying and copy:
            before, copy = copy, 0
        over = bool(dying) and step.op.kind in (*OVERLAID, *IN_PLACE)
        need = kept + copy + step.scratch + (max(before, after) if over else before + after)
        if need > peak:
            peak, overlaid = need, over and step.op.kind in OVERLAID
        live.difference_update(dying)
        live.update(i for i in step.outputs if last.get(i, -1) > time)
    return Stm32Plan(peak, overlaid)


def _steps(workload: Workload) -> list[_Step]:
    """The operators as the tool runs them: pooling right behind an 8-bit convolution is part of it."""
    readers: dict[int, int] = {}
    for op in workload.operators:
        for i in op.inputs:
            readers[i] = readers.get(i, 0) + 1
    steps: list[_Step] = []
    for op in workload.operators:
        behind = steps[-1] if steps else None
        if (
            behind is not None
            and op.kind in ("max-pool", "avg-pool")
            and behind.op.kind == "conv"
            and behind.outputs == op.inputs
            and workload.tensors[op.inputs[0]].bits == 8
            and readers.get(op.inputs[0]) == 1
            and op.inputs[0] not in workload.outputs
        ):
            shape = workload.tensors[op.inputs[0]].shape
            lines = op.kernel[0] * prod(shape[1:]) if op.kernel and len(shape) == 3 else 0
            steps[-1] = _Step(behind.op, behind.inputs, op.outputs, behind.scratch + lines)
        else:
            steps.append(_Step(op, tuple(dict.fromkeys(op.inputs)), op.outputs, scratch_bytes(workload, op)))
    return steps


def _padded_copy(workload: Workload, op: Operator) -> int:
    """Bytes of the input with its borders, where a convolution pads; 0 where it does not."""
    if op.kind != "conv" or len(op.kernel) != 2 or max(op.kernel) == 1 or not op.inputs:
        return 0
    source, out = workload.tensors[op.inputs[0]], workload.tensors[op.outputs[0]]
    if len(source.shape) != 3 or len(out.shape) != 3 or source.shape[2] <= FEW_CHANNELS:
        return 0
    step = op.stride[0] if op.stride else 1
    if out.shape[0] * step < source.shape[0]:
        return 0  # valid padding: the borders are cut off instead
    high, wide = source.shape[0] + op.kernel[0] - 1, source.shape[1] + op.kernel[1] - 1
    return high * wide * source.shape[2] * source.bits // 8


def features(workload: Workload) -> dict[str, int]:
    """What its structures and its code grow with: layers, weighted layers, kernels linked, quantized channels."""
    layers = [op for op in workload.operators if op.kind not in FREE]
    weighted = [op for op in layers if op.kind in ("conv", "dwconv", "dense")]
    channels = sum((workload.tensors[op.outputs[0]].shape or (1,))[-1] for op in weighted if op.outputs)
    kernels = {KERNEL_OF.get(op.kind, "other") for op in layers}
    return {"layers": len(layers), "weighted": len(weighted), "kernels": len(kernels), "channels": channels}


def _linear(model: dict[str, float], found: dict[str, int]) -> float:
    return model["base"] + sum(model[name] * count for name, count in found.items() if name in model)


def _spread(value: float, ends: list[float]) -> tuple[int, int, int]:
    return int(value * ends[0]), int(value), int(value * ends[1])


def activations_bytes(workload: Workload) -> tuple[int, int, int]:
    """The activations buffer, inputs and outputs in it: low, likely, high."""
    found, model = plan(workload), fitted()["activations"]
    if not found.overlaid:
        return _spread(found.bytes, model["exact"])
    # the range holds what either releases published
    margins, ranges = model["overlay"], model["overlaid"]
    ends = [[margins[name] * end for end in ranges[name]] for name in margins]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return int(found.bytes * low), int(found.bytes * margins[PLANNED]), int(found.bytes * high)


def runtime_ram_bytes(workload: Workload) -> tuple[int, int, int]:
    """The tool's own structures: low, likely, high."""
    model = fitted()["runtime_ram"][_group(workload)]
    return _spread(_linear(model, features(workload)), model["range"])


def code_bytes(workload: Workload) -> tuple[int, int, int]:
    """Kernels linked, generated code and per-channel scales: low, likely, high."""
    model = fitted()["code"][_group(workload)]
    return _spread(_linear(model, features(workload)), model["range"])


def _group(workload: Workload) -> str:
    return "int8" if workload.precision == "int8" else "fp32"
