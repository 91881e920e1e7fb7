"""The analytic cost model: a roofline an operator, with cycles fitted to published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cost_models import efficiency
from cost_models.energy import energy_of, power_of
from cost_models.estimate import Costs, Estimate, Item, LayerCost
from cost_models.extract import group_of
from cost_models.flash import flash_items
from cost_models.measurement import Measurement
from cost_models.memory import TFLM_FAMILY, ram_items, total
from cost_models.support import unsupported
from cost_models.workload import KINDS, Operator, Workload
from specs import catalog
from specs.chip import ComputeUnit, Precision, Target

Array = NDArray[np.float64]
WIDER: dict[Precision, tuple[Precision, ...]] = {
    "int8": ("int8", "fp16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "fp32": ("fp32",),
}
"""A precision a core does not have is done in the next wider one."""
ACCELERATED = {"vela": ("npu",), "neutron": ("npu",), "silabs-mvp": ("npu",), "ai8x": ("npu",), "nncase": ("npu",),
               "edgetpu": ("npu",), "hailort": ("npu",), "rknn": ("npu",), "qnn": ("npu", "dsp", "gpu"),
               "tidl": ("npu", "dsp"), "vx-delegate": ("npu",), "hobot-dnn": ("npu",),
               "tpu-mlir": ("npu",), "tensorrt": ("gpu", "npu"),
               "stm32cube-ai": ("npu",)}  # fmt: skip
"""Runtimes that run on something other than the CPU, and on what, best first."""
CPU_ONLY = ("litert", "onnxruntime", "ncnn", "tflm", "esp-nn")
NO_WINOGRAD = ("tflm", "esp-nn", "silabs-mvp", "litert", "onnxruntime", "vela")
"""Runtimes that multiply as often as a network's definition says; others may use Winograd's transforms."""
WINOGRAD = 5.07
"""F(6x6, 3x3) multiplies 64 times for 36 outputs of 9 products each: no transform in use saves more."""
_GROUP = {kind: ("conv", "dwconv", "dense", "other").index(group_of(kind)) for kind in KINDS}
_BITS = {"int8": 1, "fp16": 2, "fp32": 4}
NPU_EFFICIENCY = 0.25
"""Share of its makers' peak an accelerator reaches on small networks, where nothing was measured: 0.05 to 0.9 seen."""
NPU_FACTOR = 5.0
NPU_CALL_MS = 0.003
X86_EFFICIENCY = (0.3, 0.08, 0.1)
"""Shares of one core's peak that vectorised x86 kernels reach in conv, dwconv, dense, where the runtime was not
measured: what was (ncnn on cores without dot products) says little of kernels that have them."""
X86_FACTOR = 5.0
X86_CALL_MS = 0.0005
X86_BYTES_S = 8e9
"""Bytes of element-wise work one core gets through in a second."""


@dataclass(frozen=True, slots=True)
class _Roofline:
    """What one target costs in milliseconds: per MAC by group, per element these write, per byte of other operators,
    per call, per byte moved."""

    per_mac: tuple[float, float, float]
    per_output: float
    per_byte: float
    per_call: float
    per_moved: float
    factor: float
    source: Literal["predicted", "assumed"]
    n: int
    basis: str


class AnalyticModel:
    """Prices workloads with the efficiencies the package carries; `base.CostModel` without training."""

    def predict(self, workloads: Sequence[Workload], target: Target) -> list[Costs]:
        """One `Costs` a workload; latency is that of one thread at the catalogue's clock."""
        rooflines: dict[Precision, _Roofline | str] = {}
        result = []
        for workload in workloads:
            if workload.precision not in rooflines:
                rooflines[workload.precision] = _roofline(target, workload.precision)
            result.append(_costs(workload, target, rooflines[workload.precision]))
        return result

    def latency_ms(self, workloads: Sequence[Workload], target: Target) -> tuple[Array, Array, Array]:
        """Latency alone with its interval, each (n,), for ranking tens of thousands; NaN where it is not known."""
        rooflines: dict[Precision, tuple[_Roofline | str, float | str]] = {}
        figures = np.full((len(workloads), 3), np.nan)
        for index, workload in enumerate(workloads):
            precision = workload.precision
            if precision not in rooflines:
                rooflines[precision] = _roofline(target, precision), peak_macs_s(target, precision)
            roofline, peak = rooflines[precision]
            if not isinstance(roofline, str):
                bound = 0.0 if isinstance(peak, str) else _fewest_macs(workload, target) / peak * 1e3
                figures[index] = _figures(workload, roofline, bound)
        return figures[:, 0], figures[:, 1], figures[:, 2]

    def explain(self, workload: Workload, target: Target) -> Costs:
        """The same with `layers`: what every operator takes and what holds it back."""
        roofline = _roofline(target, workload.precision)
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


def peak_macs_s(target: Target, precision: Precision) -> float | str:
    """Multiply-accumulates a second of every unit the runtime may use together, or why that is not known."""
    peak = 0.0
    fused_half = target.runtime.id not in ("tflm", "esp-nn", "onnxruntime")
    for unit in usable_units(target):
        rate = unit_peak_macs_s(unit, precision, fused_half=fused_half)
        if rate is None:
            return f"the peak of {unit.name} of {target.chip.id} is unknown"
        peak += rate
    return peak or f"{target.chip.id} lists no unit {target.runtime.id} runs on"


def _fewest_macs(workload: Workload, target: Target) -> float:
    """MACs that no algorithm the runtime may use can save."""
    macs: float = workload.macs
    if target.runtime.id not in NO_WINOGRAD:
        for op in workload.operators:
            if op.kind == "conv" and (not op.kernel or max(op.kernel) > 1):
                macs -= op.macs * (1 - 1 / WINOGRAD)
    return macs


def usable_units(target: Target) -> list[ComputeUnit]:
    """Every unit the runtime may put work on; of a runtime that is not known, all."""
    units = list(target.chip.compute)
    if target.runtime.id in CPU_ONLY:
        return [unit for unit in units if unit.kind == "cpu"]
    return units


def unit_peak_macs_s(unit: ComputeUnit, precision: Precision, *, fused_half: bool = False) -> float | None:
    """The unit's peak of all cores in this precision, or in the next wider one it has.

    `fused_half`: whether fp32 networks may be run in half precision.
    """
    order: tuple[Precision, ...] = ("fp16", "fp32") if fused_half and precision == "fp32" else WIDER[precision]
    core = catalog.cores().get(unit.core)
    rates = []
    for name in order:
        if name in unit.peak_macs_s:
            rates.append(unit.peak_macs_s[name])
        elif core is not None and name in core.peak_macs_per_cycle and unit.clock_hz:
            rates.append(core.peak_macs_per_cycle[name] * unit.clock_hz * unit.count)
    return max(rates) if rates else None


def _unit(target: Target) -> ComputeUnit | None:
    """The unit a single-threaded program of this runtime spends its time on."""
    units = target.chip.compute
    for kind in ACCELERATED.get(target.runtime.id, ()):
        for unit in units:
            if unit.kind == kind:
                return unit
    cpus = [unit for unit in units if unit.kind == "cpu"]
    return max(cpus, key=lambda unit: (unit_peak_macs_s(unit, "fp32") or 0.0) / unit.count, default=None)


def _roofline(target: Target, precision: Precision) -> _Roofline | str:
    """The target's constants, or the reason why it has none."""
    unit = _unit(target)
    if unit is None:
        return f"{target.chip.id} lists no unit {target.runtime.id} runs on"
    peak = unit_peak_macs_s(unit, precision)
    bandwidths = [m.bandwidth_bytes_s for m in target.chip.memories if m.bandwidth_bytes_s]
    per_moved = 1e3 / max(bandwidths) if bandwidths else 0.0
    data = efficiency.load()
    kind = efficiency.core_class(unit.core, target.chip)
    measured = f"core:{unit.core}" in data.counts
    if unit.kind != "cpu" and not measured:
        if not peak:
            return f"the peak of {unit.name} is unknown"
        rate = 1e3 / (peak * NPU_EFFICIENCY)
        return _Roofline((rate, 4 * rate, 4 * rate), 0.0, max(per_moved, 4 * rate), NPU_CALL_MS, per_moved, NPU_FACTOR,
                         "assumed", 0, "a share of the maker's peak")  # fmt: skip
    if not unit.clock_hz:
        return f"the clock of {unit.name} is unknown"
    unmeasured = f"runtime class:{target.runtime.id}|{precision}|x86" not in data.counts
    scalar = target.runtime.id in TFLM_FAMILY  # whose kernels for x86 are the plain reference ones
    if kind == "x86" and peak and unmeasured and not scalar:
        rates = [1e3 * unit.count / (peak * share) for share in X86_EFFICIENCY]
        return _Roofline((rates[0], rates[1], rates[2]), 0.0, 1e3 / X86_BYTES_S, X86_CALL_MS, per_moved, X86_FACTOR,
                         "assumed", 0, "a share of the core's peak")  # fmt: skip
    found = data.cycles(target.runtime.id, unit.core, kind, precision)
    ms = 1e3 / unit.clock_hz
    # no fitted rate beats the core: one core's share of the peak is the floor of a MAC's cost
    floor = 1e3 * unit.count / peak if peak else 0.0
    if target.runtime.id not in NO_WINOGRAD:
        floor /= WINOGRAD
    conv, dwconv, dense, output, byte, call = found.per
    return _Roofline(
        (max(conv * ms, floor), max(dwconv * ms, floor), max(dense * ms, floor)), output * ms, byte * ms, call * ms,
        per_moved,
        found.factor, "predicted" if found.known else "assumed", found.n, found.basis,
    )  # fmt: skip


def _latency_ms(workload: Workload, roofline: _Roofline) -> float:
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


def _latency(workload: Workload, target: Target, roofline: _Roofline | str) -> Estimate:
    if isinstance(roofline, str):
        return Estimate.absent(roofline)
    value, low, high = _figures(workload, roofline, lower_bound_ms(workload, target).value or 0.0)
    return Estimate(value, low, high, roofline.source, 0)


def _figures(workload: Workload, roofline: _Roofline, bound: float) -> tuple[float, float, float]:
    value = _latency_ms(workload, roofline)
    factor = roofline.factor * (1.5 if workload.unknown_ops else 1.0)
    low = max(value / factor, bound)
    return max(value, low), low, max(value * factor, low)


def _costs(workload: Workload, target: Target, roofline: _Roofline | str) -> Costs:
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
    roofline = _roofline(target, precision)
    return f"none: {roofline}" if isinstance(roofline, str) else _basis(roofline)


def _basis(roofline: _Roofline) -> str:
    many = "" if roofline.n == 1 else "s"
    sentences = {
        "core": f"latency fitted to {roofline.n} published measurement{many} of this runtime on this core",
        "class": f"latency fitted to {roofline.n} published measurement{many} of this runtime on similar cores",
        "crossed": "latency inferred: similar cores were measured, but not with this runtime",
        "default": "latency assumed: no core like this has published measurements",
    }
    return sentences.get(roofline.basis, f"latency assumed from {roofline.basis}")


def _notes(workload: Workload, roofline: _Roofline | str) -> tuple[str, ...]:
    notes = [_basis(roofline)] if isinstance(roofline, _Roofline) else []
    if workload.unknown_ops:
        notes.append("operators costed by their bytes only: " + ", ".join(workload.unknown_ops[:8]))
    return tuple(notes)


def _layer(workload: Workload, op: Operator, roofline: _Roofline | str) -> LayerCost:
    moved = workload.moved_bytes(op)
    if isinstance(roofline, str):
        return LayerCost(op.name, op.kind, op.macs, moved, None, "unknown")
    group = _GROUP.get(op.kind, 3)
    written = sum(workload.tensors[i].elements for i in op.outputs)
    work = op.macs * roofline.per_mac[group] + written * roofline.per_output if group < 3 else moved * roofline.per_byte
    memory = moved * roofline.per_moved
    bound: Literal["compute", "memory", "overhead"] = "memory" if group == 3 or memory > work else "compute"
    if roofline.per_call > max(work, memory):
        bound = "overhead"
    return LayerCost(op.name, op.kind, op.macs, moved, roofline.per_call + max(work, memory), bound)
