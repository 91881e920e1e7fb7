"""Pricing candidates: before training from the network, after export from the file itself, on the host by the clock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from advisor import plugins
from advisor.candidate import Candidate
from advisor.evaluate import Result
from advisor.measure.protocol import MeasurePlan
from advisor.model import Artifact
from advisor.score import Metrics, complete, metrics_of, with_drop
from advisor.space.search_space import workload_of
from cost_models.base import CostModel
from cost_models.estimate import Costs, Estimate, Item
from cost_models.measurement import Measurement
from cost_models.read import read_workload
from cost_models.workload import Workload, signal_processing
from specs.chip import Target
from specs.spec import Spec


@dataclass(frozen=True)
class Tail:
    """What a target's latency is of its median by the statistic a spec's limit asks for, with its 90 % interval."""

    factor: float
    low: float
    high: float

    def of(self, median: Estimate) -> Estimate:
        """A predicted median as that statistic, the two uncertainties taken as independent."""
        if not median.value or not median.low or not median.high:
            return median
        value = median.value * self.factor
        below = math.hypot(math.log(median.value / median.low), math.log(self.factor / self.low))
        above = math.hypot(math.log(median.high / median.value), math.log(self.high / self.factor))
        return replace(median, value=value, low=value * math.exp(-below), high=value * math.exp(above))


@dataclass(frozen=True)
class Pricer:
    """The cost model applied to one spec."""

    spec: Spec
    model: CostModel
    classes: int
    frontend_macs: int = 0
    """Multiply-accumulates of the signal processing before the network (log-mel, MFCC): part of the pipeline."""
    baseline: Mapping[str, Estimate] = field(default_factory=dict)
    """The baseline's accuracy by target: what `accuracy_drop` counts from."""
    tails: Mapping[str, Tail] = field(default_factory=dict)
    """By target, where measurements told it: cost models predict medians."""
    _frontends: dict[str, Estimate] = field(default_factory=dict, repr=False)

    def before_training(self, candidate: Candidate, target: Target) -> Metrics | None:
        """Metrics of a candidate as the converter will write it; None for opaque ones, known after export only."""
        return self.before_training_many([candidate], target)[0]

    def before_training_many(self, candidates: Sequence[Candidate], target: Target) -> list[Metrics | None]:
        """The same of many at once, which is much quicker than one by one."""
        found = [workload_of(candidate, self.classes, target.runtime.id, self.spec.folder) for candidate in candidates]
        workloads = [workload for workload in found if workload is not None]
        costs = iter(self.model.predict(workloads, target) if workloads else [])
        return [None if w is None else self._metrics_of(w, next(costs), target) for w in found]

    def after_export(self, result: Result, target: Target) -> Metrics:
        """Metrics of the exported file: its own operators, bytes, and the arena its runtime really planned."""
        assert result.artifact is not None  # noqa: S101 - failed exports are not priced
        workload = read_workload(result.artifact.path)
        metrics = self._metrics(workload, target, result.arena_bytes)
        robust = {} if result.robust is None else {"robust_accuracy": result.robust}
        return with_drop({**metrics, "accuracy": result.accuracy, **robust}, self.baseline.get(target.id))

    def _metrics(self, workload: Workload, target: Target, arena: int | None) -> Metrics:
        costs = self.model.predict([workload], target)[0]
        return self._metrics_of(workload, costs if arena is None else _with_arena(costs, arena), target)

    def _metrics_of(self, workload: Workload, costs: Costs, target: Target) -> Metrics:
        metrics = self.as_asked(metrics_of(self.spec, target, costs), target)
        if self.frontend_macs:
            metrics["frontend_ms"] = self._frontend(target)
        metrics["macs"] = Estimate.exact(workload.macs)
        metrics["params"] = Estimate.exact(workload.params)
        for item in costs.items:
            if item.name in ("arena", "model"):
                name = "arena_bytes" if item.name == "arena" else "model_bytes"
                metrics[name] = Estimate(item.bytes, item.low_bytes, item.high_bytes, item.source)
        return metrics

    def as_asked(self, metrics: Metrics, target: Target) -> Metrics:
        """Metrics whose latency is a predicted median, with the statistic that the spec's limit asks for in its place,
        where it is known; the median beside it."""
        tail = self.tails.get(target.id)
        if tail is None:
            return metrics
        median = metrics["latency_ms"]
        return {**metrics, "latency_ms": tail.of(median), "latency_p50_ms": median}

    def _frontend(self, target: Target) -> Estimate:
        if target.id not in self._frontends:
            costs = self.model.predict([signal_processing(self.frontend_macs)], target)[0]
            self._frontends[target.id] = costs.metrics["latency_ms"]
        return self._frontends[target.id]


def with_measurement(spec: Spec, target: Target, metrics: Metrics, measurement: Measurement) -> Metrics:
    """The metrics with the latency measured, by the statistic the spec's limit asks for, and what follows from it."""
    limit = spec.limit("latency")
    latency = measurement.latency(limit.stat if limit else "p50")
    if latency.value is None:
        return metrics
    result = {**metrics, "latency_ms": latency, "latency_p50_ms": measurement.latency("p50")}
    result["predicted_latency_ms"] = metrics.get("predicted_latency_ms", metrics["latency_ms"])
    return complete(spec, target, result)


def measure_on_host(target: Target, artifact: Artifact, plan: MeasurePlan) -> Measurement:
    """Run an artifact on this machine."""
    device = plugins.load("devices", "local")(target)
    try:
        found: Measurement = device.run(artifact, plan)
        return found
    finally:
        device.close()


def measurement_row(measurement: Measurement) -> dict[str, Any]:
    """What the ledger keeps: conditions, quantiles, and at most 500 raw samples, evenly chosen."""
    data = asdict(replace(measurement, wall_ms=(), cpu_ms=(), reference_ms=()))
    for name in ("wall_ms", "cpu_ms", "reference_ms"):
        samples: Sequence[float] = getattr(measurement, name)
        data[name] = [samples[i] for i in np.linspace(0, len(samples) - 1, min(500, len(samples))).astype(int)]
    data["count"] = len(measurement.wall_ms)
    data["quantiles_ms"] = {
        stat: measurement.latency(stat).value for stat in ("p10", "p50", "p90", "p95", "p99") if measurement.wall_ms
    }
    return data


def _with_arena(costs: Costs, arena: int) -> Costs:
    """The planned arena replaced by the one the interpreter reported; the total follows."""
    items = []
    change = 0
    for item in costs.items:
        if item.name == "arena":
            change = arena - item.bytes
            item = Item(item.metric, item.name, arena, arena, arena, "computed")
        items.append(item)
    ram = costs.metrics["peak_ram_bytes"]
    return replace(costs, items=tuple(items), metrics={**costs.metrics, "peak_ram_bytes": ram.plus(change)})
