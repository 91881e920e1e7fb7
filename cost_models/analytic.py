"""The analytic cost model: a roofline an operator, with cycles fitted to published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cost_models.anatomy import amounts, operator_amounts, rates_of
from cost_models.energy import energy_of, power_of
from cost_models.estimate import Costs, Estimate, Item, LayerCost
from cost_models.extract import group_of
from cost_models.flash import flash_items
from cost_models.measurement import Measurement
from cost_models.memory import ram_items, total
from cost_models.roofline import CPU_ONLY as CPU_ONLY
from cost_models.roofline import NO_WINOGRAD, WINOGRAD, Roofline, peak_macs_s, roofline_of
from cost_models.support import unsupported
from cost_models.workload import KINDS, Operator, Workload
from specs.chip import Precision, Target

Array = NDArray[np.float64]
_GROUP = {kind: ("conv", "dwconv", "dense", "other").index(group_of(kind)) for kind in KINDS}


class AnalyticModel:
    """Prices workloads with the efficiencies the package carries; `base.CostModel` without training."""

    def predict(self, workloads: Sequence[Workload], target: Target) -> list[Costs]:
        """One `Costs` a workload; latency is that of one thread at the catalogue's clock."""
        rooflines: dict[Precision, Roofline | str] = {}
        result = []
        for workload in workloads:
            if workload.precision not in rooflines:
                rooflines[workload.precision] = roofline_of(target, workload.precision)
            result.append(_costs(workload, target, rooflines[workload.precision]))
        return result

    def latency_ms(self, workloads: Sequence[Workload], target: Target) -> tuple[Array, Array, Array]:
        """Latency alone with its interval, each (n,), for ranking tens of thousands; NaN where it is not known."""
        rooflines: dict[Precision, tuple[Roofline | str, float | str]] = {}
        figures = np.full((len(workloads), 3), np.nan)
        for index, workload in enumerate(workloads):
            precision = workload.precision
            if precision not in rooflines:
                rooflines[precision] = roofline_of(target, precision), peak_macs_s(target, precision)
            roofline, peak = rooflines[precision]
            if not isinstance(roofline, str):
                bound = 0.0 if isinstance(peak, str) else _fewest_macs(workload, target) / peak * 1e3
                figures[index] = _figures(workload, roofline, bound)
        return figures[:, 0], figures[:, 1], figures[:, 2]

    def explain(self, workload: Workload, target: Target) -> Costs:
        """The same with `layers`: what every operator takes and what holds it back."""
        roofline = roofline_of(target, workload.precision)
        costs = _costs(workload, target, roofline)
        layers = tuple(_layer(workload, op, roofline) for op in workload.operators)
        return Costs(costs.metrics, costs.items, layers, costs.unsupported, costs.notes)

    def fit(self, measurements: Sequence[tuple[Workload, Measurement]]) -> AnalyticModel:
        """The same model: learning from a target's own measurements is what the learned models are for."""
        return self


def lower_bound_ms(workload: Workload, target: Target) -> Estimate:
    """A latency no program on the target can beat: all MACs at the peak of every unit the runtime may use.

    `value` = `low`; `high` is unknown and set equal, as for every exact figure.
    """
    peak = peak_macs_s(target, workload.precision)
    if isinstance(peak, str):
        return Estimate.absent(peak)
    return Estimate.exact(_fewest_macs(workload, target) / peak * 1e3)


def _fewest_macs(workload: Workload, target: Target) -> float:
    """MACs that no algorithm the runtime may use can save."""
    macs: float = workload.macs
    if target.runtime.id not in NO_WINOGRAD:
        for op in workload.operators:
            if op.kind == "conv" and (not op.kernel or max(op.kernel) > 1):
                macs -= op.macs * (1 - 1 / WINOGRAD)
    return macs


def _latency_ms(workload: Workload, roofline: Roofline) -> float:
    if roofline.fine:
        return float(amounts(workload, roofline.tile) @ rates_of(roofline))
    sizes, per_mac, per_byte, per_moved = workload.tensor_bytes, roofline.per_mac, roofline.per_byte, roofline.per_moved
    per_output, tensors = roofline.per_output, workload.tensors
    time = roofline.per_call * len(workload.operators)
    for op in workload.operators:
        group = _GROUP.get(op.kind, 3)
        moved = op.weight_bytes
        for i in op.inputs:
            moved += sizes[i]
        for i in op.outputs:
            moved += sizes[i]
        if group == 3:
            work = moved * per_byte
        else:
            work = op.macs * per_mac[group]
            for i in op.outputs:
                work += prod(tensors[i].shape) * per_output
        memory = moved * per_moved
        time += work if work > memory else memory
    return time


def _latency(workload: Workload, target: Target, roofline: Roofline | str) -> Estimate:
    if isinstance(roofline, str):
        return Estimate.absent(roofline)
    value, low, high = _figures(workload, roofline, lower_bound_ms(workload, target).value or 0.0)
    return Estimate(value, low, high, roofline.source, 0)


def _figures(workload: Workload, roofline: Roofline, bound: float) -> tuple[float, float, float]:
    value = _latency_ms(workload, roofline)
    factor = roofline.factor * (1.5 if workload.unknown_ops else 1.0)
    low = max(value / factor, bound)
    return max(value, low), low, max(value * factor, low)


def _costs(workload: Workload, target: Target, roofline: Roofline | str) -> Costs:
    ram, flash = ram_items(workload, target), flash_items(workload, target)
    latency = _latency(workload, target, roofline)
    metrics = {
        "latency_ms": latency,
        "peak_ram_bytes": total(ram),
        "flash_bytes": total(flash),
        "energy_mj": energy_of(latency, target.chip, target.runtime.id),
        "power_mw": power_of(target.chip, target.runtime.id),
    }
    items: tuple[Item, ...] = (*ram, *flash)
    return Costs(metrics, items, (), unsupported(workload, target.runtime), _notes(workload, roofline))


def basis(target: Target) -> str:
    """What latency figures on a target rest on, in a sentence; of int8 where the runtime has it."""
    precision: Precision = "int8" if "int8" in target.runtime.precisions else "fp32"
    roofline = roofline_of(target, precision)
    return f"none: {roofline}" if isinstance(roofline, str) else roofline.sentence()


def _notes(workload: Workload, roofline: Roofline | str) -> tuple[str, ...]:
    notes = [roofline.sentence()] if isinstance(roofline, Roofline) else []
    if workload.unknown_ops:
        notes.append("operators costed by their bytes only: " + ", ".join(workload.unknown_ops[:8]))
    return tuple(notes)


def _layer(workload: Workload, op: Operator, roofline: Roofline | str) -> LayerCost:
    moved = workload.moved_bytes(op)
    if isinstance(roofline, str):
        return LayerCost(op.name, op.kind, op.macs, moved, None, "unknown")
    group, calls, memory = _GROUP.get(op.kind, 3), roofline.per_call, moved * roofline.per_moved
    if roofline.fine:
        work = float(operator_amounts(workload, op, roofline.tile) @ rates_of(roofline)) - calls
        calls += roofline.per_run / len(workload.operators)
        memory = 0.0
    elif group == 3:
        work = moved * roofline.per_byte
    else:
        written = sum(workload.tensors[i].elements for i in op.outputs)
        work = op.macs * roofline.per_mac[group] + written * roofline.per_output
    bound: Literal["compute", "memory", "overhead"] = "memory" if group == 3 or memory > work else "compute"
    if calls > max(work, memory):
        bound = "overhead"
    return LayerCost(op.name, op.kind, op.macs, moved, calls + max(work, memory), bound)
