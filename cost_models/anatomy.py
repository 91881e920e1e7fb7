"""What a network's time is made of: amounts of work by part, and the share of it that each part takes on a target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from cost_models.roofline import Roofline, roofline_of
from cost_models.workload import Operator, Workload
from specs.chip import Precision, Target

Array = NDArray[np.float64]
CLASSES = ("first", "conv", "conv1", "dwconv", "dense", "other")
"""Classes of operators by the kernels that serve them: a first layer's few channels fill no vector, spatial and 1x1
convolutions are different programs, and what multiplies nothing moves data."""
SPATIAL = ("first", "conv", "conv1", "dwconv")
PARTS = (
    "run", *(f"call {c}" for c in CLASSES), *(f"macs {c}" for c in CLASSES[:-1]), *(f"data {c}" for c in CLASSES),
    *(f"taps {c}" for c in SPATIAL), "ragged", "ragged dwconv", "weights", "rows",
)  # fmt: skip
"""An inference; calls; MACs, with output channels filled up to whole vectors; elements written, or by others bytes
moved; copies of input positions that a kernel wider than one reads, each by itself; MACs of output channels beyond the
last whole vector; bytes of weights; rows of output."""
FEW_CHANNELS = 3
ROW_CHANNELS = 64
"""Output channels that a call for one row of positions computes at once."""
_CALL, _MACS, _DATA, _TAPS = (PARTS.index(f"{name} first") for name in ("call", "macs", "data", "taps"))
_RAGGED, _WEIGHTS, _ROWS = PARTS.index("ragged"), PARTS.index("weights"), PARTS.index("rows")
_FIRST, _CONV, _CONV1, _DWCONV, _DENSE, _OTHER = range(len(CLASSES))
_KIND = {"conv": _CONV, "dwconv": _DWCONV, "dense": _DENSE, "matmul": _DENSE, "recurrent": _DENSE}


def amounts(workload: Workload, tile: int) -> Array:
    """(PARTS,) of one workload; kept with it, since searches cost the same network many times."""
    kept = workload.__dict__.setdefault("_amounts", {})
    if tile not in kept:
        found = [0.0] * len(PARTS)
        found[0] = 1.0
        for op in workload.operators:
            _add(found, workload, op, tile)
        kept[tile] = np.array(found)
    return np.asarray(kept[tile])


def operator_amounts(workload: Workload, op: Operator, tile: int) -> Array:
    """(PARTS,): what one operator adds."""
    found = [0.0] * len(PARTS)
    _add(found, workload, op, tile)
    return np.array(found)


def _add(found: list[float], workload: Workload, op: Operator, tile: int) -> None:
    tensors = workload.tensors
    kind = _KIND.get(op.kind, _OTHER)
    if kind == _OTHER:
        found[_CALL + kind] += 1
        found[_DATA + kind] += workload.moved_bytes(op)
        return
    window = prod(op.kernel)
    if kind == _CONV:
        shape = tensors[op.inputs[0]].shape if op.inputs else ()
        kind = _FIRST if shape and shape[-1] <= FEW_CHANNELS else _CONV if window > 1 else _CONV1
    shape = tensors[op.outputs[0]].shape if op.outputs else ()
    channels = max(1, shape[-1] if shape else 1)
    written = prod(shape)
    over = channels % tile
    found[_CALL + kind] += 1
    found[_MACS + kind] += op.macs * (channels + tile - over if over else channels) / channels
    found[_DATA + kind] += written
    found[_WEIGHTS] += op.weight_bytes
    if over:
        found[_RAGGED + (kind == _DWCONV)] += op.macs * over / channels
    if kind != _DENSE:
        columns = max(1, shape[-2]) if len(shape) > 1 else 1
        found[_ROWS] += written / channels / columns * -(-channels // ROW_CHANNELS)
        if window > 1:
            found[_TAPS + kind] += written / channels * window


@cache
def rates_of(roofline: Roofline) -> Array:
    """(PARTS,) milliseconds a unit of each amount."""
    conv, dwconv, dense = roofline.per_mac
    rates = np.array([
        roofline.per_run, *[roofline.per_call] * len(CLASSES), conv, conv, conv, dwconv, dense,
        *[roofline.per_output] * _OTHER, roofline.per_byte, *[roofline.per_tap] * len(SPATIAL),
        *roofline.per_ragged, roofline.per_weight, roofline.per_row,
    ])  # fmt: skip
    rates.setflags(write=False)
    return rates


def shares_of(workloads: Sequence[Workload], target: Target) -> Array:
    """(n, PARTS): the share of a network's time that each part takes by the target's roofline; rows sum to 1."""
    rooflines: dict[Precision, tuple[Array, int]] = {}
    found = np.zeros((len(workloads), len(PARTS)))
    for i, workload in enumerate(workloads):
        if workload.precision not in rooflines:
            roofline = roofline_of(target, workload.precision)
            # where nothing is known of the target any processor's proportions have to do
            rooflines[workload.precision] = (
                (_PLAIN, 1) if isinstance(roofline, str) else (rates_of(roofline), roofline.tile)
            )
        rates, tile = rooflines[workload.precision]
        found[i] = amounts(workload, tile) * rates
    found[found.sum(axis=1) == 0, 0] = 1  # nothing runs but an inference
    return np.asarray(found / found.sum(axis=1, keepdims=True))


_PLAIN = np.array([0.0, *[1e3] * len(CLASSES), 1, 1, 1, 3, 2, *[2.0] * len(CLASSES), *[0.0] * len(SPATIAL), 0, 0, 0, 0])
"""Proportions of a plain processor: a call is worth a thousand MACs, a depthwise MAC three, an element two."""
