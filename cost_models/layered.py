"""The cost model users get: the target's own measurements, else what was learned of it, else the analytic model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cost_models import learned
from cost_models.analytic import AnalyticModel, lower_bound_ms
from cost_models.calibrate import Calibration, fit_calibration
from cost_models.energy import energy_of
from cost_models.estimate import Costs, Estimate
from cost_models.measurement import Measurement
from cost_models.workload import Workload
from specs import catalog
from specs.chip import Target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayeredModel:
    """Three layers that fall back on one another; every answer's notes say which one spoke.

    `calibrations` by target id hold what was measured on devices at hand.
    """

    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def predict(self, workloads: Sequence[Workload], target: Target) -> list[Costs]:
        """One `Costs` a workload, in order."""
        analytic = AnalyticModel().predict(workloads, target)
        result = list(analytic)
        for indices, values, basis, n in self._better(workloads, target):
            for index, (value, low, high) in zip(indices, values, strict=True):
                result[index] = _with_latency(analytic[index], workloads[index], target, (value, low, high), basis, n)
        return result

    def latency_ms(self, workloads: Sequence[Workload], target: Target) -> tuple[Array, Array, Array]:
        """Latency alone with its 90 % interval, each (n,); NaN where it is not known. The fast path of searches."""
        value, low, high = AnalyticModel().latency_ms(workloads, target)
        for indices, values, _, _ in self._better(workloads, target):
            if indices:
                value[indices], low[indices], high[indices] = np.array(values).T
        return value, low, high

    def explain(self, workload: Workload, target: Target) -> Costs:
        """The same with `layers`: the analytic shares of the operators, scaled to the layered total."""
        costs = self.predict([workload], target)[0]
        layers = AnalyticModel().explain(workload, target).layers
        total = sum(layer.latency_ms or 0.0 for layer in layers)
        value = costs.metrics["latency_ms"].value
        if value is not None and total > 0:
            layers = tuple(
                layer if layer.latency_ms is None else replace(layer, latency_ms=layer.latency_ms * value / total)
                for layer in layers
            )
        return replace(costs, layers=layers)

    def fit(self, measurements: Sequence[tuple[Workload, Measurement]]) -> LayeredModel:
        """A new model corrected by measurements, useful from three of a target on.

        They correct what the layers below say of the target, or the kernels of an earlier calibration are replaced.
        """
        fitted = dict(self.calibrations)
        for name in dict.fromkeys(measurement.target for _, measurement in measurements):
            some = [pair for pair in measurements if pair[1].target == name and not pair[1].error]
            if some:
                fitted[name] = fit_calibration(some, prior=_prior(catalog.target(name)))
        return replace(self, calibrations=fitted)

    def _better(
        self, workloads: Sequence[Workload], target: Target
    ) -> list[tuple[list[int], list[tuple[float, float, float]], str, int]]:
        """Indices, latencies with intervals, their basis and n, of every workload a better layer knows."""
        found = []
        calibration = self.calibrations.get(target.id)
        left = list(range(len(workloads)))
        if calibration is not None and workloads:
            triple = calibration.latency_ms(workloads, _prior(target))
            for precision, part in calibration.parts.items():
                chosen = [i for i in left if workloads[i].precision == precision and np.isfinite(triple[0][i])]
                kernels = f" and {part.kernels} kernels" if part.kernels else ""
                basis = (f"latency calibrated by {part.networks} networks{kernels} measured on the target: error "
                         f"{part.median_error:.0%} in the median on networks kept out")  # fmt: skip
                found.append((chosen, _rows(triple, chosen), basis, part.networks + part.kernels))
                left = [i for i in left if i not in set(chosen)]
        model = learned.load()
        if left and model.covers(target):
            triple = model.latency_ms([workloads[i] for i in left], target)
            values = _rows(triple, range(len(left)))
            found.append((left, values, model.basis(target), model.counts[target.chip.id]))
        return found


def basis(target: Target) -> str:
    """What the shipped latency figures of a target rest on, in a sentence."""
    from cost_models.analytic import basis as analytic_basis

    return learned.load().basis(target) if learned.load().covers(target) else analytic_basis(target)


def _prior(target: Target) -> Callable[[Sequence[Workload]], Array]:
    """Milliseconds by the layers without calibration; NaN where there are none."""

    def milliseconds(workloads: Sequence[Workload]) -> Array:
        costs = LayeredModel().predict(workloads, target)
        return np.array([cost.metrics["latency_ms"].value or np.nan for cost in costs], dtype=np.float64)

    return milliseconds


def _rows(triple: tuple[Array, Array, Array], indices: Sequence[int]) -> list[tuple[float, float, float]]:
    return [(float(triple[0][i]), float(triple[1][i]), float(triple[2][i])) for i in indices]


def _with_latency(
    costs: Costs, workload: Workload, target: Target, figures: tuple[float, float, float], basis: str, n: int
) -> Costs:
    bound = lower_bound_ms(workload, target).value or 0.0
    value, low, high = (max(figure, bound) for figure in figures)
    latency = Estimate(value, low, high, "predicted", n)
    metrics = {**costs.metrics, "latency_ms": latency}
    metrics["energy_mj"] = energy_of(latency, target.chip, target.runtime.id)
    notes = (basis, *(note for note in costs.notes if not note.startswith("latency")))
    return replace(costs, metrics=metrics, notes=notes)
