"""What a target's own measurements say its cost model gets wrong: a smooth factor on predicted latency, with interval.

    log measured − log predicted = level + level of the precision + f(network) + noise

a Gaussian process whose few scales are averaged by evidence, so that three measurements already move the level and
thirty tell what kinds of networks are off. `f` is smooth in the logarithms of the predicted time, of operators and
MACs and weights against it, and in the share of depthwise MACs: what tells a wrong overhead, rate or bandwidth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.workload import Workload

Array = NDArray[np.float64]
SCHEMA = 1
LEVEL = 1.0
"""Standard deviation of a level, in natural logs: a cost model of an unmeasured target is off by a factor of e."""
SHARED = 0.3
"""The same for what one precision differs from the others."""
SMOOTH = (0.0, 0.1, 0.2, 0.4)
NOISE = (0.03, 0.06, 0.12, 0.25)
LENGTH = 2.0
"""How far apart in FEATURES (logarithms) networks have to be to say little of each other."""
FEATURES = 5
NINETY = 1.645
FEW = 8
"""Measurements below which the left-out errors do not narrow the interval."""


@dataclass(frozen=True)
class Residual:
    """The fit. `points` (n, FEATURES), `precisions` (n,), `log_ratio` (n,) are the measurements it remembers.

    `width`: by how much the predictive deviation has to be stretched to hold 90 %; `error`: median error of the
    measured networks, each predicted without its own measurement, as a share.
    """

    points: Array
    precisions: tuple[str, ...]
    log_ratio: Array
    smooth: float
    noise: float
    width: float
    error: float

    @property
    def n(self) -> int:
        return len(self.log_ratio)

    def apply(self, workloads: Sequence[Workload], predicted_ms: Array) -> tuple[Array, Array]:
        """Factor on each predicted latency, and half its 90 % interval in natural logs, (n,) each."""
        points = features(workloads, predicted_ms)
        precisions = [w.precision for w in workloads]
        cross = _kernel(points, precisions, self.points, self.precisions, self.smooth)
        within = _kernel(self.points, self.precisions, self.points, self.precisions, self.smooth)
        inverse = np.linalg.inv(within + self.noise**2 * np.eye(self.n))
        mean = cross @ inverse @ self.log_ratio
        prior = LEVEL**2 + SHARED**2 + self.smooth**2
        variance = np.maximum(prior - np.einsum("ij,jk,ik->i", cross, inverse, cross), 0) + self.noise**2
        return np.exp(mean), self.width * np.sqrt(variance)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"schema": SCHEMA, "points": self.points.tolist(), "precisions": list(self.precisions),
                "log_ratio": self.log_ratio.tolist(), "smooth": self.smooth, "noise": self.noise,
                "width": self.width, "error": self.error}  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Residual:
        """Raises ValueError, KeyError or TypeError for what `to_dict` did not make."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this version reads {SCHEMA}")
        points = np.asarray(data["points"], float).reshape(-1, FEATURES)
        ratio = np.asarray(data["log_ratio"], float)
        if len(points) != len(ratio) or len(points) != len(data["precisions"]) or not np.isfinite(points).all():
            raise ValueError("fields of a residual do not fit together")
        numbers = (float(data[key]) for key in ("smooth", "noise", "width", "error"))
        return cls(points, tuple(map(str, data["precisions"])), ratio, *numbers)


def features(workloads: Sequence[Workload], predicted_ms: Array) -> Array:
    """(n, FEATURES): predicted ms, operators, MACs and weight bytes a predicted ms, in logarithms; depthwise share."""
    rows = np.empty((len(workloads), FEATURES))
    for i, (workload, ms) in enumerate(zip(workloads, predicted_ms, strict=True)):
        time = max(float(ms), 1e-6)
        depthwise = sum(op.macs for op in workload.operators if op.kind == "dwconv")
        amounts = (time, len(workload.operators) / time, (workload.macs + 1) / time, (workload.weight_bytes + 1) / time)
        rows[i] = (*np.log(amounts), 2 * depthwise / max(1, workload.macs))
    return rows


def fit_residual(workloads: Sequence[Workload], predicted_ms: Array, measured_ms: Array) -> Residual:
    """Raises ValueError: no pair of positive times."""
    predicted, measured = np.asarray(predicted_ms, float), np.asarray(measured_ms, float)
    valid = np.isfinite(predicted) & (predicted > 0) & np.isfinite(measured) & (measured > 0)
    kept = [int(i) for i in np.flatnonzero(valid)]
    if not kept:
        raise ValueError("no measurement beside a prediction")
    some = [workloads[i] for i in kept]
    points, precisions = features(some, predicted[kept]), tuple(str(w.precision) for w in some)
    ratio = np.log(measured[kept] / predicted[kept])
    best: tuple[float, float, float] | None = None
    for smooth, noise in product(SMOOTH, NOISE):
        evidence = _evidence(_kernel(points, precisions, points, precisions, smooth), noise, ratio)
        if best is None or evidence > best[0]:
            best = (evidence, smooth, noise)
    assert best is not None  # noqa: S101 - the grids are not empty
    _, smooth, noise = best
    covariance = _kernel(points, precisions, points, precisions, smooth) + noise**2 * np.eye(len(ratio))
    inverse = np.linalg.inv(covariance)
    left_out = (inverse @ ratio) / np.diag(inverse)
    scores = np.sort(np.abs(left_out) * np.sqrt(np.diag(inverse)))
    rank = int(np.ceil(0.9 * (len(scores) + 1)))
    seen = float(scores[rank - 1]) if rank <= len(scores) else max(NINETY, float(scores[-1]))
    width = max(NINETY, seen) if len(scores) < FEW else max(1.0, seen)
    error = float(np.median(np.abs(np.expm1(left_out)))) if len(ratio) > 1 else float("nan")
    return Residual(points, precisions, ratio, smooth, noise, width, error)


def _kernel(a: Array, of_a: Sequence[str], b: Array, of_b: Sequence[str], smooth: float) -> Array:
    square = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    same = np.array([[x == y for y in of_b] for x in of_a], dtype=float).reshape(len(a), len(b))
    return np.asarray(LEVEL**2 + SHARED**2 * same + smooth**2 * np.exp(-square / (2 * LENGTH**2)))


def _evidence(kernel: Array, noise: float, ratio: Array) -> float:
    covariance = kernel + noise**2 * np.eye(len(ratio))
    sign, logdet = np.linalg.slogdet(covariance)
    return float(-0.5 * ratio @ np.linalg.solve(covariance, ratio) - 0.5 * logdet) if sign > 0 else float("-inf")
