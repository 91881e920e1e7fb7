"""A cost model corrected by a target's own measurements: the model below times what a residual learned of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cost_models.analytic import lower_bound_ms
from cost_models.base import CostModel
from cost_models.energy import energy_of
from cost_models.estimate import Costs, Estimate
from cost_models.measurement import Measurement
from cost_models.residual import Residual, fit_residual
from cost_models.workload import Workload
from specs import catalog
from specs.chip import Target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CorrectedModel:
    """`base` where a target has no residual. Corrections are always of `base`, never of one another."""

    base: CostModel
    residuals: Mapping[str, Residual] = field(default_factory=dict)

    def predict(self, workloads: Sequence[Workload], target: Target) -> list[Costs]:
        """One `Costs` a workload, in order: latency corrected, energy as it follows, the rest as `base` says."""
        costs = self.base.predict(workloads, target)
        residual = self.residuals.get(target.id)
        known = [i for i, cost in enumerate(costs) if cost.metrics["latency_ms"].value]
        if residual is None or not known:
            return costs
        factors, widths = residual.apply([workloads[i] for i in known], latencies([costs[i] for i in known]))
        for i, factor, width in zip(known, factors, widths, strict=True):
            costs[i] = _corrected(costs[i], workloads[i], target, residual, float(factor), float(width))
        return costs

    def fit(self, measurements: Sequence[tuple[Workload, Measurement]]) -> CorrectedModel:
        """A new model whose targets among these measurements are corrected by them alone; useful from one on."""
        fitted = dict(self.residuals)
        for name in dict.fromkeys(measurement.target for _, measurement in measurements):
            some = [(w, m.latency("p50").value) for w, m in measurements if m.target == name]
            pairs = [(w, ms) for w, ms in some if ms]
            workloads = [w for w, _ in pairs]
            target = catalog.target(name)
            predicted = latencies(self.base.predict(workloads, target))
            if np.isfinite(predicted).any():
                fitted[name] = fit_residual(workloads, predicted, np.array([ms for _, ms in pairs]), target)
        return replace(self, residuals=fitted)


def latencies(costs: Sequence[Costs]) -> Array:
    """Milliseconds of each; NaN where they are not known."""
    values = [cost.metrics["latency_ms"].value for cost in costs]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _corrected(
    costs: Costs, workload: Workload, target: Target, residual: Residual, factor: float, width: float
) -> Costs:
    bound = lower_bound_ms(workload, target).value or 0.0
    value = (costs.metrics["latency_ms"].value or 0.0) * factor
    value, low, high = (max(figure, bound) for figure in (value, value * np.exp(-width), value * np.exp(width)))
    latency = Estimate(value, float(low), float(high), "predicted", residual.n)
    metrics = {**costs.metrics, "latency_ms": latency, "energy_mj": energy_of(latency, target.chip, target.runtime.id)}
    note = f"latency corrected by {residual.n} measurements on the target while the search ran"
    return replace(costs, metrics=metrics, notes=(note, *costs.notes))
