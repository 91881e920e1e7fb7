"""From timings to a calibration: levels by the reference's usual speed, nodes to kernels, then the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.calibrate import design
from advisor.calibrate.collect import workload_of
from advisor.calibrate.design import Item
from advisor.calibrate.match import kernel_times, style_of
from advisor.calibrate.samples import SampleFile
from advisor.measure.many import Timing
from cost_models.calibrate import Calibration, fit_calibration
from cost_models.kernel_model import KernelTimes
from cost_models.kernels import COLUMN, Style, lower
from cost_models.measurement import Measurement
from cost_models.workload import Workload
from specs.chip import Precision

LEAST_US = 0.1
"""No kernel is taken for quicker: what profiling adds to each is known to about that."""
QUICK_US = 5.0
"""Latency from which on an error counts by its share."""
TRUSTED = 1.8
"""Latency over the sum of the nodes beyond which one of the two was disturbed."""


@dataclass(frozen=True)
class Evidence:
    """What the fit takes: measured networks with their families, and timed kernels by precision."""

    samples: tuple[tuple[Workload, Measurement], ...]
    families: tuple[str, ...]
    kernels: Mapping[Precision, tuple[Style, KernelTimes]]


def reference_level(file: SampleFile, items: Sequence[Item], precision: Precision) -> float:
    """The reference model's usual time in ns: its median over all networks timed beside it."""
    found = [t.reference_ns for i in items if i.role == "network" and i.precision == precision for t in file.of(i.id)]
    return float(np.median(found)) if found else float("nan")


def network_ms(timings: Sequence[Timing], level_ns: float) -> float:
    """Latency at the reference's usual speed: the mean ratio of the two rounds that agree best, times its level."""
    ratios = sorted(t.ratio for t in timings)
    if len(ratios) > 2:
        i = min(range(len(ratios) - 1), key=lambda k: ratios[k + 1] / ratios[k])
        ratios = ratios[i : i + 2]
    return float(np.exp(np.mean(np.log(ratios)))) * level_ns / 1e6


def kernel_ms(timings: Sequence[Timing], level_ns: float) -> float:
    """The same of a single kernel: the quicker round, since what disturbs so short a timing only slows it."""
    return min(t.ratio for t in timings) * level_ns / 1e6


def evidence(target: str, runtime: str, items: Sequence[Item], file: SampleFile) -> Evidence:
    """Everything measured so far, in the fit's form."""
    samples: list[tuple[Workload, Measurement]] = []
    families: list[str] = []
    kernels: dict[Precision, tuple[Style, KernelTimes]] = {}
    for precision in design.PRECISIONS:
        some = [i for i in items if i.precision == precision and file.of(i.id)]
        level = reference_level(file, some, precision)
        if not np.isfinite(level):
            continue
        workloads = {i.id: workload_of(runtime, i) for i in some}
        for item in some:
            if item.role == "network":
                ms = network_ms(file.of(item.id), level)
                samples.append((workloads[item.id], Measurement(target, item.id, (ms,))))
                families.append(item.family)
        style = style_of(runtime, precision, [t.nodes for i in some for t in file.of(i.id)])
        told = _profiled(some, workloads, style, file, level) or _single(some, workloads, style, file, level)
        if told is not None:
            kernels[precision] = (style, told)
    return Evidence(tuple(samples), tuple(families), kernels)


def fitted(found: Evidence, versions: Mapping[str, str]) -> Calibration:
    return fit_calibration(found.samples, found.kernels, groups=found.families, versions=versions)


def _profiled(items: Sequence[Item], workloads: Mapping[str, Workload], style: Style, file: SampleFile,
              level: float) -> KernelTimes | None:  # fmt: skip
    """What kernels take in networks, as the runtime's profile told it.

    Profiling adds some µs to every node and cools the caches: what it tells is each node's share of its network's
    latency. Kernels that multiply are told best by files of their own, all others by the networks they occur in.
    """
    timings = [(item, t) for item in items for t in file.of(item.id) if t.nodes]
    if not timings:
        return None
    per_node = {item.id: [n[2] * level / t.reference_ns for n in t.nodes] for item, t in timings}
    alone: list[KernelTimes] = []
    inside: list[KernelTimes] = []
    latency = {
        item.id: (kernel_ms if item.role == "kernel" else network_ms)(file.of(item.id), level) * 1e3
        for item, _ in timings
    }
    call, added = _overheads(per_node, latency)
    for item, timing in timings:
        whole = sum(max(LEAST_US, node[2] * level / timing.reference_ns - added) for node in timing.nodes)
        times = kernel_times(workloads[item.id], style, timing.nodes)
        scale = max(latency[item.id] - call, LEAST_US * len(timing.nodes)) / whole
        if not 1 / TRUSTED < scale < TRUSTED:
            continue  # something else ran in one of the two timings
        us = np.maximum((times.us * level / timing.reference_ns - added) * scale, LEAST_US)
        (alone if item.role == "kernel" else inside).append(KernelTimes(times.kinds, times.rows, us, times.source))
    if not alone:
        return KernelTimes.joined(inside)
    return KernelTimes.joined([*alone, *inside])


def _overheads(per_node: Mapping[str, list[float]], latency: Mapping[str, float]) -> tuple[float, float]:
    """µs of a call that no node accounts for, and µs that profiling adds to every node.

    What the nodes take together is the latency, less the call, plus what profiling added to each: a line over the
    number of nodes, told best by quick files.
    """
    count = np.array([len(us) for us in per_node.values()], float)
    excess = np.array([sum(us) - latency[i] for i, us in per_node.items()])
    trust = 1 / (np.array([latency[i] for i in per_node]) + QUICK_US)
    design = np.column_stack([np.ones(len(count)), count])
    weight = trust
    for _ in range(5):
        call, added = np.linalg.lstsq(design * weight[:, None], excess * weight, rcond=None)[0]
        error = np.abs(excess - call - added * count) * trust
        weight = trust * np.sqrt(np.minimum(1, 1.5 * np.median(error) / np.maximum(error, 1e-12)))
    return max(0.0, float(-call)), max(0.0, float(added))


def _single(items: Sequence[Item], workloads: Mapping[str, Workload], style: Style, file: SampleFile,
            level: float) -> KernelTimes | None:  # fmt: skip
    """Kernels timed one a file where the runtime tells nothing more, less the call of an empty network."""
    parts = []
    for item in items:
        if item.role == "kernel":
            lowered = lower([workloads[item.id]], style)
            us = kernel_ms(file.of(item.id), level) * 1e3
            parts.append(KernelTimes(tuple(lowered.kind), lowered.rows, np.array([us]), (item.id,) * len(lowered.kind)))
    if not parts:
        return None
    call = float(np.quantile([float(part.us[0]) for part in parts], 0.01)) - LEAST_US
    return KernelTimes.joined([_shared(part, max(float(part.us[0]) - call, LEAST_US)) for part in parts])


def _shared(part: KernelTimes, us: float) -> KernelTimes:
    """One time for several kernels (a normalisation written out) given to each by what it moves."""
    moved = 1e3 + part.rows[:, [COLUMN[name] for name in ("inputs", "others", "outputs")]].sum(axis=1)
    return KernelTimes(part.kinds, part.rows, us * moved / moved.sum(), part.source)
