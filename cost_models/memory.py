"""Where a workload's activations lie in memory: the plan its runtime would make, and what it needs beside it."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Literal

from cost_models import stm32
from cost_models.estimate import Estimate, Item, Source
from cost_models.workload import Operator, Workload
from specs.chip import Target

Planner = Literal["tflm", "mvp", "greedy"]
METRIC = "peak_ram_bytes"
TFLM_FAMILY = ("tflm", "esp-nn", "silabs-mvp", "vela", "neutron")
"""Runtimes that are TFLM with other kernels: its planner, its records."""
ALIGNMENT = {"tflm": 16, "mvp": 16, "greedy": 64}
"""Bytes a buffer is rounded up to: TFLM's MicroArenaBufferAlignment; LiteRT's and onnxruntime's allocators."""

# TFLM's persistent structures on a 32-bit device, in bytes: pointers of 4, fields as in its c/common.h.
# The same sums with pointers of 8 give a 64-bit host's recorded tail to 1 %.
EVAL_TENSOR = 12
NODE_AND_REGISTRATION = 32
IO_TENSOR = 40
IO_QUANTIZATION = 20
ALLOCATORS = 290
"""Arena allocators, memory planner, graph and subgraph tables."""
OP_DATA = {"conv": 92, "dwconv": 96, "dense": 96, "avg-pool": 73, "max-pool": 73, "global-avg-pool": 89, "add": 69,
           "mul": 40, "softmax": 76, "concat": 76, "pad": 56, "mean": 89, "quantize": 30, "activation": 40,
           "reshape": 44, "transpose": 16, "slice": 36, "recurrent": 400, "resize": 24, "matmul": 80}  # fmt: skip
"""A kernel's own data and its parsed options, by kind."""
OP_DATA_OTHER = 48
PER_CHANNEL = 8
"""Multiplier and shift of an output channel of convolutions (and of dense layers quantized per channel)."""
MVP_PER_CHANNEL = {"conv": 4, "dwconv": 8, "dense": 2}
"""The same of Silicon Labs' kernels: 16-bit scale and bias; bias alone where there is one scale."""
CONSTANTS = {"conv": 2, "dwconv": 2, "dense": 2, "reshape": 1, "pad": 1, "mean": 1, "global-avg-pool": 1, "slice": 2,
             "transpose": 1, "resize": 1}  # fmt: skip
"""Constant tensors an operator brings along; each costs a record too."""


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
    equal sizes the one later in the file first, scratch buffers before tensors. `mvp` is the same with the buffers of
    Silicon Labs' accelerated kernels. `greedy` is the same idea at cache line alignment without scratch buffers, as
    LiteRT and onnxruntime plan.
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
    if planner != "greedy":
        for time, op in enumerate(operators, 1):
            if op.kind in _MAY_SCRATCH:
                for size in scratch_bytes(workload, op, planner):
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


_MAY_SCRATCH = frozenset(("mean", "global-avg-pool", "conv"))


def scratch_bytes(workload: Workload, op: Operator, planner: Planner = "tflm") -> tuple[int, ...]:
    """Scratch buffers TFLM's kernels ask for while `op` runs, in the order they ask."""
    if planner == "mvp" and op.kind == "conv" and op.inputs:
        # the accelerator computes in 16-bit floats: 5 % median error over 18 published arenas (SiliconLabs/mltk)
        return (2 * workload.tensors[op.inputs[0]].elements,)
    if op.op == "TRANSPOSE_CONV":
        bits = workload.tensors[op.inputs[-1]].bits
        return (workload.tensors[op.outputs[0]].elements * (bits // 2),) if bits in (8, 16) else ()
    if op.kind == "conv" or not op.inputs:
        return ()
    source, out = workload.tensors[op.inputs[0]], workload.tensors[op.outputs[0]]
    if op.op in ("REDUCE_MAX", "REDUCE_MIN"):
        # one index a dimension (the batch included), one an axis
        return 4 * (len(source.shape) + 1), 4 * (len(source.shape) - len(out.shape) or 1)
    if op.op in ("", "MEAN", "SUM") and source.bits in (8, 16):
        return (4 * out.elements,)  # 32-bit accumulators
    return ()


def optimized_scratch_bytes(workload: Workload) -> int:
    """The most scratch an optimised kernel library (CMSIS-NN, ESP-NN) may ask for beside the plan.

    A column of the input as 16-bit numbers, twice, where a convolution unrolls its window.
    """
    most = 0
    for op in workload.operators:
        if op.kind in ("conv", "dwconv") and op.inputs:
            shape = workload.tensors[op.inputs[0]].shape
            channels = shape[-1] if shape else 1
            window = 1
            for side in op.kernel:
                window *= side
            if op.kind == "dwconv" or window > 1:
                most = max(
                    most, 4 * window * (channels if op.kind == "dwconv" else max(1, channels // max(1, op.groups)))
                )
    return (most + 15) & ~15


def persistent_bytes(workload: Workload, planner: Planner = "tflm") -> tuple[int, int, int]:
    """TFLM's own records of tensors and operators on a 32-bit device: low, likely, high."""
    own, constants, per_channel_dense = 0, 0, 0
    shapes = workload.tensors
    for op in workload.operators:
        own += OP_DATA.get(op.kind, OP_DATA_OTHER)
        constants += CONSTANTS.get(op.kind, 0)
        if op.outputs and op.kind in ("conv", "dwconv", "dense"):
            shape = shapes[op.outputs[0]].shape
            channels = shape[-1] if shape else 1
            if planner == "mvp":
                own += MVP_PER_CHANNEL[op.kind] * channels
            elif op.kind == "dense":
                per_channel_dense += channels
            else:
                own += PER_CHANNEL * channels
    ends = len(workload.inputs) + len(workload.outputs)
    tables = (
        EVAL_TENSOR * (len(shapes) + constants)
        + NODE_AND_REGISTRATION * len(workload.operators)
        + (IO_TENSOR + IO_QUANTIZATION) * ends
    )
    likely = ALLOCATORS + tables + own
    # short enums and other kernels' data structures move it by some 10 %
    return int(0.9 * likely), likely, int(1.1 * likely) + PER_CHANNEL * per_channel_dense


def live_bytes(workload: Workload) -> int:
    """The most activation bytes alive at once: no planner without recomputation or in-place tricks needs less."""
    plan_first: dict[int, int] = dict.fromkeys(workload.inputs, 0)
    plan_last: dict[int, int] = {}
    for time, op in enumerate(workload.operators, 1):
        for i in op.outputs:
            plan_first.setdefault(i, time)
            plan_last[i] = time
        for i in op.inputs:
            plan_last[i] = time
    count = len(workload.operators)
    change = [0] * (count + 2)
    for i in workload.outputs:
        plan_last[i] = count
    for i, begin in plan_first.items():
        change[begin] += workload.tensor_bytes[i]
        change[plan_last.get(i, begin) + 1] -= workload.tensor_bytes[i]
    most = now = 0
    for delta in change:
        now += delta
        most = max(most, now)
    return most


def ram_items(workload: Workload, target: Target) -> tuple[Item, ...]:
    """The RAM budget on a target, itemised: `arena`, then `persistent` (TFLM) or `weights`, then `runtime`."""
    facts = target.runtime
    low, likely, high = facts.ram_bytes
    runtime = Item(METRIC, "runtime", low, likely, high, "assumed")
    if facts.id == stm32.ID:
        small, likely, high = stm32.runtime_ram_bytes(workload)
        small = min(likely, max(small, low))  # less was never published
        return (Item(METRIC, "arena", *stm32.activations_bytes(workload), "predicted"),
                Item(METRIC, "weights", 0, 0, 0, "computed"),
                Item(METRIC, "runtime", small, likely, high, "predicted"))  # fmt: skip
    if facts.id in TFLM_FAMILY:
        planner: Planner = "mvp" if facts.id == "silabs-mvp" else "tflm"
        arena = plan_arena(workload, planner).bytes
        # the planner's own arithmetic; a device's optimised kernels may add their scratch on top
        most = arena if target.is_host else arena + optimized_scratch_bytes(workload)
        small, records, large = persistent_bytes(workload, planner)
        return (Item(METRIC, "arena", arena, arena, most, "computed"),
                Item(METRIC, "persistent", small, records, large, "assumed"), runtime)  # fmt: skip
    arena = plan_arena(workload, "greedy").bytes
    lowest = min(arena, live_bytes(workload))
    if any(memory.kind == "dram" for memory in target.chip.memories):
        # buffers grow in steps, and kernels keep packed copies of the weights beside the file they map or read
        weights = workload.weight_bytes
        return (Item(METRIC, "arena", lowest, arena, 2 * arena, "computed"),
                Item(METRIC, "weights", weights, 2 * weights, 3 * weights, "assumed"), runtime)  # fmt: skip
    # microcontroller toolchains overlay inputs on outputs where they can, or add im2col buffers
    most = arena + optimized_scratch_bytes(workload)
    return (Item(METRIC, "arena", lowest // 2, arena, most, "computed"),
            Item(METRIC, "weights", 0, 0, 0, "computed"), runtime)  # fmt: skip


def total(items: tuple[Item, ...]) -> Estimate:
    """The sum of a budget: every item at its low, likely and high end."""
    source: Source = "assumed"
    if all(i.source == "computed" and i.low_bytes == i.high_bytes for i in items):
        source = "computed"
    elif all(i.source in ("computed", "predicted") for i in items):
        source = "predicted"
    return Estimate(
        sum(i.bytes for i in items), sum(i.low_bytes for i in items), sum(i.high_bytes for i in items), source
    )
