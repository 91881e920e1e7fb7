"""Calibration of a target by its own measurements: kernels summed and corrected on whole networks, with intervals.

Three forms, by what was measured:
- kernels and networks: a `KernelModel` by precision, whose sum is corrected by a few rates fitted on the networks;
- networks only, with a prior: the prior times a robust factor and, with enough networks, plus a time a call;
- networks only: rates of multiplications, bytes and calls, fitted on the networks.
Intervals are conformal: the errors on networks kept out of the fit, wider for what lies outside the measured range.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from cost_models.correction import TRENDS, Array, Prior, columns_of, rates_of, trend_of, trends_of
from cost_models.kernel_model import KernelModel, KernelTimes, fit_kernel_model
from cost_models.kernels import Style, lower
from cost_models.measurement import Measurement
from cost_models.workload import Workload
from specs.chip import Precision

SCHEMA = 2
COVERAGE = 0.9
FOLDS = 8
NOISE = 0.12
"""What nine of ten networks differ by at most, in logarithms, when the same machine measures them another day (138
files, onnxruntime, two quiet sessions on one shared host: 0.09 in float, 0.12 in int8). The folds see one session."""
UNKNOWN = 1.5
"""How many times wider the interval of a network of unknown kernels is, in logarithms."""


@dataclass(frozen=True)
class Part:
    """The fit of one precision. `rates`: by the columns of `columns_of`; `interval`: half its width, in logarithms.

    `median_error`, `error_90`: of networks kept out, as shares; `networks`, `kernels`: measurements behind it;
    `low_ms`, `high_ms`: the range of latencies measured.
    """

    style: Style
    model: KernelModel | None
    rates: Array
    trend: Array
    interval: float
    networks: int
    kernels: int
    median_error: float
    error_90: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class Calibration:
    """What a target's own measurements say of its latency.

    `versions`: of the runtime, CPU name and cores it was measured with. `digest`: SHA-256 of the measurements.
    `prior` is needed by parts that correct one: pass the same function to `latency_ms`.
    """

    target: str
    parts: Mapping[Precision, Part]
    versions: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    schema: int = SCHEMA

    @property
    def n(self) -> int:
        """Measured networks and kernels."""
        return sum(part.networks + part.kernels for part in self.parts.values())

    @property
    def error(self) -> tuple[float, float]:
        """Median error and the error that 90 % stay within, on networks kept out, of the worse precision."""
        return (max((p.median_error for p in self.parts.values()), default=float("nan")),
                max((p.error_90 for p in self.parts.values()), default=float("nan")))  # fmt: skip

    def covers(self, precision: Precision) -> bool:
        return precision in self.parts

    def latency_ms(self, workloads: Sequence[Workload], prior: Prior | None = None) -> tuple[Array, Array, Array]:
        """Latency and its 90 % interval, each (n,); NaN for precisions that were not measured."""
        value, low, high = (np.full(len(workloads), np.nan) for _ in range(3))
        for precision, part in self.parts.items():
            where = [i for i, w in enumerate(workloads) if w.precision == precision]
            if not where:
                continue
            some = [workloads[i] for i in where]
            found, outside = _predict(part, some, prior)
            wide = np.exp(part.interval * (1 + UNKNOWN * outside))
            value[where], low[where], high[where] = found, found / wide, found * wide
        return value, low, high

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        parts = {}
        for precision, part in self.parts.items():
            fields = {key: value for key, value in vars(part).items() if key not in ("model", "rates", "trend")}
            parts[precision] = {**fields, "rates": part.rates.tolist(), "trend": part.trend.tolist(),
                                "model": part.model.to_dict() if part.model else None}  # fmt: skip
        return {"schema": self.schema, "target": self.target, "digest": self.digest, "versions": dict(self.versions),
                "parts": parts}  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Raises ValueError (or KeyError, TypeError) for what is no calibration of this schema."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this version reads {SCHEMA}")
        parts: dict[Precision, Part] = {}
        for precision, fields in data["parts"].items():
            rates, trend = (np.asarray(fields[key], dtype=np.float64) for key in ("rates", "trend"))
            if (
                not np.isfinite(rates).all()
                or trend.shape != (TRENDS,)
                or not np.isfinite(trend).all()
                or not float(fields["interval"]) > 0
            ):
                raise ValueError("rates are no numbers")
            model = KernelModel.from_dict(fields["model"]) if fields["model"] else None
            parts[precision] = Part(**{**fields, "rates": rates, "trend": trend, "model": model})
        return cls(str(data["target"]), parts, dict(data["versions"]), str(data["digest"]))


def fit_calibration(samples: Sequence[tuple[Workload, Measurement]],
                    kernels: Mapping[Precision, tuple[Style, KernelTimes]] | None = None,
                    prior: Prior | None = None, *, groups: Sequence[str] = (),
                    versions: Mapping[str, str] | None = None) -> Calibration:  # fmt: skip
    """Fit what the samples allow; measurements with errors are left out.

    `groups` names the family of each sample: cross-validation keeps families whole.

    Raises:
        ValueError: nothing to fit, or samples of several targets.
    """
    names = list(groups) or [str(i) for i in range(len(samples))]
    valid = [(w, m.latency("p50").value, g) for (w, m), g in zip(samples, names, strict=True)]
    used = [(w, float(ms), g) for w, ms, g in valid if ms is not None and ms > 0]
    targets = {m.target for _, m in samples}
    if not used or len(targets) != 1:
        raise ValueError("a calibration needs valid measurements of one target")
    parts: dict[Precision, Part] = {}
    for precision in dict.fromkeys(w.precision for w, _, _ in used):
        some = [row for row in used if row[0].precision == precision]
        workloads, ms = [row[0] for row in some], np.array([row[1] for row in some])
        style: Style = "direct"
        times: KernelTimes | None = None
        if kernels is not None and precision in kernels:
            style, times = kernels[precision]
        parts[precision] = _fit_part(workloads, ms, [row[2] for row in some], style, times, prior)
    return Calibration(targets.pop(), parts, dict(versions or {}), _digest(used, kernels))


def _fit_part(workloads: list[Workload], ms: Array, groups: list[str], style: Style, times: KernelTimes | None,
              prior: Prior | None) -> Part:  # fmt: skip
    inside = frozenset(w.name for w in workloads)
    whole = fit_kernel_model(times, None, inside) if times is not None else None

    lowered = lower(workloads, style)
    sizes = trends_of(lowered, len(workloads))

    def fitted(chosen: list[int]) -> tuple[KernelModel | None, Array, Array, Array, Array]:
        """The model, its rates and trend, and what they say of every network with its share outside."""
        model = whole
        if times is not None and len(chosen) < len(workloads):
            kept_out = {w.name for i, w in enumerate(workloads) if i not in set(chosen)}
            if kept_out & set(times.source):
                model = fit_kernel_model(times.without(kept_out), whole, inside)
        columns, far = columns_of(model, lowered, workloads, prior)
        rates = rates_of(columns[chosen], ms[chosen], model is not None, prior is not None)
        value = np.maximum(columns @ rates, 1e-9)
        trend = np.zeros(TRENDS)
        if model is not None:
            trend = trend_of(sizes[chosen], np.log(ms[chosen] / value[chosen]))
        return model, rates, trend, value * np.exp(sizes @ trend), far

    everything = list(range(len(workloads)))
    model, rates, trend, _, _ = fitted(everything)
    errors, outside = np.zeros(len(ms)), np.zeros(len(ms))
    for fold in _folds(groups):
        rest = [i for i in everything if i not in set(fold)]
        _, _, _, value, far = fitted(rest or everything)
        errors[fold] = np.log(value[fold] / ms[fold])
        outside[fold] = far[fold]
    share = np.abs(np.expm1(errors))
    quantile = _conformal(np.abs(errors) / (1 + UNKNOWN * outside))
    return Part(style, model, rates, trend, math.hypot(quantile, NOISE), len(ms), len(times.kinds) if times else 0,
                float(np.median(share)), float(np.quantile(share, COVERAGE)), float(ms.min()),
                float(ms.max()))  # fmt: skip


def _predict(part: Part, workloads: Sequence[Workload], prior: Prior | None) -> tuple[Array, Array]:
    lowered = lower(workloads, part.style)
    columns, outside = columns_of(part.model, lowered, workloads, prior)
    if columns.shape[1] != len(part.rates):
        raise ValueError("this calibration corrects a prior: pass it")
    value = np.maximum(columns @ part.rates, 1e-6) * np.exp(trends_of(lowered, len(workloads)) @ part.trend)
    beyond = np.maximum(np.log(value / part.high_ms), np.log(part.low_ms / value)).clip(min=0)
    return value, outside + np.minimum(1.0, beyond / 3)


def _folds(groups: Sequence[str]) -> list[list[int]]:
    """Indices kept out together: whole families, some to a fold; single samples where there are few."""
    names = sorted(dict.fromkeys(groups), key=lambda name: (-groups.count(name), name))
    folds: list[list[int]] = [[] for _ in range(min(FOLDS, len(names)))]
    if len(names) < 4:
        folds = [[i for i in range(len(groups)) if i % FOLDS == k] for k in range(min(FOLDS, len(groups)))]
        return [fold for fold in folds if fold]
    for name in names:
        smallest = min(folds, key=len)
        smallest += [i for i, group in enumerate(groups) if group == name]
    return folds


def _conformal(scores: Array) -> float:
    """The split-conformal quantile; with too few scores for the coverage, the largest and half as much again."""
    rank = int(np.ceil(COVERAGE * (len(scores) + 1)))
    if rank > len(scores):
        return 1.5 * float(scores.max()) + 0.1 / len(scores)
    return float(np.sort(scores)[rank - 1])


def _digest(
    used: Sequence[tuple[Workload, float, str]], kernels: Mapping[Precision, tuple[Style, KernelTimes]] | None
) -> str:
    rows = [[w.name, w.precision, round(ms, 9)] for w, ms, _ in used]
    told = {cast(str, p): round(float(t.us.sum()), 6) for p, (_, t) in (kernels or {}).items()}
    return hashlib.sha256(json.dumps([rows, told]).encode()).hexdigest()
