"""From costs and accuracy to the spec's metrics, margins and feasibility. Pure functions of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from cost_models.energy import battery_days, unit_cost
from cost_models.estimate import Costs, Estimate, Item
from specs.chip import Target
from specs.limits import Limit
from specs.spec import Spec

MODEL_ITEMS = {"peak_ram_bytes": ("arena", "persistent"), "flash_bytes": ("model",)}
"""The items that `counts: model` counts: what the tensor arena must hold, and the model file."""

Metrics = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Margin:
    """One limit held against one figure. `value` ≤ 0 is met; None where the figure is absent (`estimate.reason`).

    The figure compared is the one the spec's risk asks for: of a predicted figure the quantile at
    `feasible_probability`, of a measured or computed one its value.
    """

    limit: str
    soft: bool
    bound: float
    unit: str
    estimate: Estimate
    value: float | None

    @property
    def met(self) -> bool | None:
        return None if self.value is None else self.value <= 0

    def to_dict(self) -> dict[str, Any]:
        return {"limit": self.limit, "soft": self.soft, "bound": self.bound, "unit": self.unit, "margin": self.value,
                "met": self.met, "figure": self.estimate.to_dict()}  # fmt: skip


def metrics_of(spec: Spec, target: Target, costs: Costs) -> Metrics:
    """The spec's cost metrics of a candidate on a target: memory as the limits count it, battery life, unit cost."""
    metrics = dict(costs.metrics)
    for name, whole, size in (
        ("chip_ram", "peak_ram_bytes", target.chip.working_memory_bytes),
        ("chip_flash", "flash_bytes", target.chip.memory_bytes("flash")),
    ):
        if size is not None:
            metrics[f"{name}_bytes"] = metrics[whole]
            metrics[f"{name}_size_bytes"] = Estimate.exact(size, "assumed")
    for name, limit_name in (("peak_ram_bytes", "peak_ram"), ("flash_bytes", "flash")):
        limit = spec.limit(limit_name)
        if limit and limit.counts == "model":
            metrics[name] = sum_items(costs.items, name, MODEL_ITEMS[name]) or metrics[name]
    return complete(spec, target, metrics)


def complete(spec: Spec, target: Target, metrics: Mapping[str, Estimate]) -> Metrics:
    """Add the figures that follow from others: battery life from energy and latency, unit cost from the chip."""
    result = dict(metrics)
    limit = spec.limit("battery")
    if limit and limit.battery:
        result["battery_d"] = battery_days(
            limit.battery, result["energy_mj"], result["latency_ms"], target.chip, spec.pipeline_ms
        )
    cost = spec.limit("unit_cost")
    if cost:
        result["unit_cost_usd"] = unit_cost(target.chip, cost.volume)
    return result


def accuracy_drop(baseline: Estimate, accuracy: Estimate) -> Estimate:
    """What is lost against the baseline, with its 90 % interval: each side's distance combined as by Newcombe (1998,
    method 10), which takes the two as independent and so, for one set of samples, is wide rather than narrow."""
    if baseline.value is None or accuracy.value is None:
        return Estimate.absent(baseline.reason or accuracy.reason)
    drop = baseline.value - accuracy.value
    ends = (baseline.low, baseline.high, accuracy.low, accuracy.high)
    if None in ends:
        return Estimate(drop, drop, drop, accuracy.source, min(baseline.n, accuracy.n))
    worst, best, low, high = (float(end or 0.0) for end in ends)
    below = math.hypot(baseline.value - worst, high - accuracy.value)
    above = math.hypot(best - baseline.value, accuracy.value - low)
    return Estimate(drop, drop - below, drop + above, accuracy.source, min(baseline.n, accuracy.n))


def with_drop(metrics: Mapping[str, Estimate], baseline: Estimate | None) -> Metrics:
    """The metrics with the accuracy lost against the baseline's, where there is one."""
    if baseline is None or "accuracy" not in metrics:
        return dict(metrics)
    return {**metrics, "accuracy_drop": accuracy_drop(baseline, metrics["accuracy"])}


def sum_items(items: Sequence[Item], metric: str, names: Sequence[str]) -> Estimate | None:
    """The total of some items of an itemised budget; None when there is none."""
    chosen = [item for item in items if item.metric == metric and item.name in names]
    if not chosen:
        return None
    source = "computed" if all(item.source == "computed" for item in chosen) else "assumed"
    value, low, high = (
        float(sum(part)) for part in zip(*((i.bytes, i.low_bytes, i.high_bytes) for i in chosen), strict=True)
    )
    return Estimate(value, low, high, source)  # type: ignore[arg-type]  # one of Source


def margins(spec: Spec, metrics: Mapping[str, Estimate]) -> list[Margin]:
    """One margin a limit, in the spec's order, and one for each memory of the chip itself whose size is known."""
    return [_margin(limit, spec, metrics) for limit in spec.limits] + _chip_margins(spec, metrics)


def impossible(spec: Spec, metrics: Mapping[str, Estimate]) -> list[Margin]:
    """Hard limits that even the optimistic end of a figure's interval breaks: not worth training for."""
    broken = []
    for limit in spec.limits:
        estimate = figure(limit, spec, metrics)
        best = estimate.low if limit.metric.sense == "max" else estimate.high
        if limit.soft or best is None or estimate.source == "measured":
            continue
        value = limit.margin(best)
        if value > 0:
            broken.append(Margin(limit.name, False, limit.bound, limit.metric.unit, estimate, value))
    for margin in _chip_margins(spec, metrics):
        if margin.estimate.low is not None and margin.estimate.low > margin.bound:
            broken.append(margin)
    return broken


def feasible(found: Sequence[Margin]) -> bool | None:
    """Whether every hard limit is met; None when none is broken but a figure is absent."""
    hard = [margin.met for margin in found if not margin.soft]
    if any(met is False for met in hard):
        return False
    return None if any(met is None for met in hard) else True


def violation(found: Sequence[Margin]) -> float:
    """Sum of the hard limits' positive margins: how far from feasible, for ranking the infeasible."""
    return sum(max(0.0, margin.value) for margin in found if not margin.soft and margin.value is not None)


def figure(limit: Limit, spec: Spec, metrics: Mapping[str, Estimate]) -> Estimate:
    """The figure a limit is held against: with the pipeline's stages and the reserved memory where it says so."""
    estimate = metrics.get(limit.metric.name) or Estimate.absent("not evaluated")
    if limit.name == "latency" and limit.scope == "pipeline":
        return estimate.plus(spec.pipeline_ms).combined(metrics.get("frontend_ms"))
    return estimate.plus(limit.reserved_bytes) if limit.reserved_bytes else estimate


def at_risk(estimate: Estimate, probability: float, sense: str) -> float | None:
    """The value that the true figure stays within with `probability` (log-normal, from the 90 % interval)."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None or estimate.source in ("measured", "computed"):
        return value
    if low <= 0 or high <= low:
        return high if sense == "max" else low
    spread = math.log(high / low) / (2 * NormalDist().inv_cdf(0.95))
    shift = NormalDist().inv_cdf(min(max(probability, 1e-6), 1 - 1e-6)) * spread
    return value * math.exp(shift if sense == "max" else -shift)


def _chip_margins(spec: Spec, metrics: Mapping[str, Estimate]) -> list[Margin]:
    """What all of the application needs against what the chip has: `chip_ram`, `chip_flash`."""
    found = []
    for name, limit_name in (("chip_ram", "peak_ram"), ("chip_flash", "flash")):
        size = metrics[f"{name}_size_bytes"].value if f"{name}_size_bytes" in metrics else None
        if size:
            limit = spec.limit(limit_name)
            need = metrics[f"{name}_bytes"].plus(limit.reserved_bytes if limit else 0)
            value = at_risk(need, spec.feasible_probability, "max")
            found.append(Margin(name, False, size, "B", need, None if value is None else value / size - 1))
    return found


def _margin(limit: Limit, spec: Spec, metrics: Mapping[str, Estimate]) -> Margin:
    estimate = figure(limit, spec, metrics)
    value = at_risk(estimate, spec.feasible_probability, limit.metric.sense)
    signed = None if value is None else limit.margin(value)
    return Margin(limit.name, limit.soft, limit.bound, limit.metric.unit, estimate, signed)
