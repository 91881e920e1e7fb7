"""Where a workload's activations lie in memory: the plan its runtime would make, and what it needs beside it."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Literal

from cost_models.estimate import Item, Source
from cost_models.workload import Operator, Workload
from specs.chip import Target

Planner = Literal["tflm", "greedy"]
ALIGNMENT = {"tflm": 16, "greedy": 64}
"""Bytes a buffer is rounded up to: TFLM's MicroArenaBufferAlignment; LiteRT's and onnxruntime's allocators."""

# TFLM's persistent structures on a 32-bit device, in bytes (pointers of 4; fields as in tflite-micro's c/common.h)
EVAL_TENSOR = 12
NODE_AND_REGISTRATION = 32
IO_TENSOR = 40
IO_QUANTIZATION = 20
ALLOCATORS = 460
"""Arena allocators, memory planner, graph and subgraph tables; a 64-bit host's recorded rest is twice this."""
OP_DATA = {"conv": 56 + 28, "dwconv": 56 + 28, "dense": 36 + 16, "avg-pool": 36 + 28, "max-pool": 36 + 28,
           "global-avg-pool": 36 + 28, "add": 60 + 8, "mul": 44 + 8, "softmax": 48 + 4, "concat": 48 + 8, "pad": 60,
           "mean": 48 + 4, "quantize": 28, "activation": 32, "reshape": 36, "transpose": 4, "recurrent": 300,
           "slice": 48}  # fmt: skip
"""A kernel's own data and its parsed options, by kind."""
PER_CHANNEL = 8
"""Output multiplier and shift of a channel, of quantized convolutions."""


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """`offsets` and `lifetimes` (first and last operator, both included) index `Workload.tensors`.

    `bytes` is the arena's size, kernels' scratch buffers included.
    """

    bytes: int
    offsets: tuple[int, ...]
    lifetimes: tuple[tuple[int, int], ...]


def plan_arena(workload: Workload, planner: Planner) -> ArenaPlan:
    """Places the activations as the planner does.

    `tflm` repeats TFLM's greedy planner: largest first, each at the lowest gap that is free during its life; among
    equal sizes the one later in the file first, scratch buffers before tensors. `greedy` is the same idea at cache
    line alignment without scratch buffers, as LiteRT and onnxruntime plan.
    """
    operators = workload.operators
    tensor_bytes = workload.tensor_bytes
    count = len(tensor_bytes)
    first, last = [-1] * count, [-1] * count
    for i in (*workload.inputs, *workload.outputs):
        first[i] = last[i] = 0
    time = 0
    for op in operators:
        time += 1
        for i in op.outputs:
            first[i] = last[i] = time
        for i in op.inputs:
            last[i] = time
    for i in workload.outputs:
        last[i] = time
    up = ALIGNMENT[planner] - 1
    buffers = [((size + up) & ~up, i) for i, size in enumerate(tensor_bytes) if size]
    if planner == "tflm":
        for time, op in enumerate(operators, 1):
            if op.kind in _MAY_SCRATCH:
                for size in scratch_bytes(workload, op):
                    buffers.append(((size + up) & ~up, len(first)))
                    first.append(time)
                    last.append(time)
    # TFLM fills its list from the end before a stable sort: of equal sizes the highest index comes first
    buffers.sort(reverse=True)
    offsets = [0] * len(first)
    placed: list[tuple[int, int, int, int]] = []
    top = 0
    for size, i in buffers:
        begin, end = first[i], last[i]
        offset = 0
        for start, stop, other_begin, other_end in placed:
            if other_begin <= end and begin <= other_end:
                if start - offset >= size:
                    break
                if stop > offset:
                    offset = stop
        offsets[i] = offset
        insort(placed, (offset, offset + size, begin, end))
        if offset + size > top:
            top = offset + size
    return ArenaPlan(top, tuple(offsets[:count]), tuple(zip(first[:count], last[:count], strict=True)))


_MAY_SCRATCH = frozenset(("mean", "global-avg-pool", "conv", "recurrent", "matmul"))


def scratch_bytes(workload: Workload, op: Operator) -> tuple[int, ...]:
    """Scratch buffers TFLM's reference kernels ask for while `op` runs, in the order they ask."""
    source, out = workload.tensors[op.inputs[0]], workload.tensors[op.outputs[0]]
    if op.kind in ("mean", "global-avg-pool"):
        if op.op in ("REDUCE_MAX", "REDUCE_MIN"):
            # one index a dimension (the batch included), one an axis
            return 4 * (len(source.shape) + 1), 4 * (len(source.shape) - len(out.shape) or 1)
        if op.op in ("", "MEAN", "SUM") and source.bits in (8, 16):
            return (4 * out.elements,)  # accumulators
        return ()
    if op.op == "TRANSPOSE_CONV" and source.bits in (8, 16):
        return (out.elements * (4 if source.bits == 8 else 8),)
    return ()
