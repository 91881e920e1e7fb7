"""Rates of work on many boards at once: every board has its own, all are drawn from one distribution that is learned.

For network n on board b: log latency = log(sum over groups g of work[n, g] x exp(rate[b, g])) + noise, with
rate[b] ~ N(mean, covariance). A board measured on few networks thereby borrows from boards like it, and a group that
few networks have borrows from the groups it goes together with. Fitted by expectation and maximisation, the posterior
of each board by Gauss-Newton steps; the noise has heavy tails, so that single odd measurements weigh little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TAIL = 4.0
"""Degrees of freedom of the noise's t distribution."""
SHRINK = 0.3
"""Share of the covariance between groups that is not believed: boards are few against pairs of groups."""
FLOOR = 0.05
"""Standard deviation of a rate between boards that is always left possible."""
NEW_LEVEL = 0.3
"""Variance added to a new board's common level: how fast it is as a whole, its first measurement tells."""
SCHEMA = 1


@dataclass(frozen=True)
class Posterior:
    """A board's log rates and their covariance; (groups,) and (groups, groups)."""

    rates: Array
    covariance: Array

    def predict(self, work: Array) -> tuple[Array, Array]:
        """Log latency and the variance the rates leave in it, each (networks,), of work (networks, groups)."""
        parts = work * np.exp(self.rates)
        total = np.maximum(parts.sum(axis=1), 1e-30)
        shares = parts / total[:, None]
        return np.log(total), np.einsum("ng,gh,nh->n", shares, self.covariance, shares)


@dataclass(frozen=True)
class Hierarchy:
    """The learned distribution. `noise`: variance of log latencies about a board's own rates."""

    mean: Array
    covariance: Array
    noise: float
    boards: tuple[Posterior, ...] = ()
    residuals: Array | None = None
    """(boards, networks) of the fit: log measured less log predicted; NaN where not measured."""

    def posterior(self, work: Array, log_ms: Array, steps: int = 30) -> Posterior:
        """A new board's rates after its measurements: work (n, groups), log milliseconds (n,); n may be 0."""
        rates, prior = self.mean.copy(), self.covariance + NEW_LEVEL
        if not len(work):
            return Posterior(rates, prior)
        precision = np.linalg.inv(prior)
        rates += float(np.median(log_ms - np.log(work @ np.exp(rates))))
        for _ in range(steps):
            parts = work * np.exp(rates)
            total = parts.sum(axis=1)
            slopes, rest = parts / total[:, None], log_ms - np.log(total)
            weight = (TAIL + 1) / (TAIL + rest**2 / self.noise) / self.noise
            hessian = (slopes.T * weight) @ slopes + precision
            step = np.linalg.solve(hessian, (slopes.T * weight) @ rest - precision @ (rates - self.mean))
            rates = rates + np.clip(step, -1, 1)
        return Posterior(rates, np.linalg.inv(hessian))

    def informative(self, work: Array, count: int) -> list[int]:
        """The networks whose measurement leaves least doubt about all others on a new board, chosen one by one.

        Latencies are not looked at. The common level is what the first one settles.
        """
        parts = work * np.exp(self.mean)
        slopes = parts / parts.sum(axis=1, keepdims=True)
        covariance = self.covariance + NEW_LEVEL
        chosen: list[int] = []
        for _ in range(min(count, len(work))):
            reach = slopes @ covariance @ slopes.T
            gain = (reach**2).sum(axis=0) / (np.diag(reach) + self.noise)
            gain[chosen] = -1
            best = int(np.argmax(gain))
            chosen.append(best)
            column = covariance @ slopes[best]
            covariance = covariance - np.outer(column, column) / (slopes[best] @ column + self.noise)
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without boards."""
        return {"schema": SCHEMA, "mean": _round(self.mean), "covariance": _round(self.covariance),
                "noise": round(self.noise, 6)}  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hierarchy:
        """Raises ValueError for another schema or shapes that do not fit each other."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"schema {data.get('schema')!r}, this version reads {SCHEMA}")
        mean, covariance = np.asarray(data["mean"], float), np.asarray(data["covariance"], float)
        if covariance.shape != (len(mean), len(mean)) or not np.isfinite(covariance).all():
            raise ValueError("the covariance does not fit the mean")
        return cls(mean, covariance, float(data["noise"]))


def fit_hierarchy(work: Array, log_ms: Array, iterations: int = 15) -> Hierarchy:
    """The distribution of rates and every board's posterior.

    Args:
        work: (networks, groups), not negative; groups nobody has are allowed.
        log_ms: (boards, networks) log milliseconds, NaN where not measured; every board needs one measurement.
    """
    scale = np.where(work.max(axis=0) > 0, work.max(axis=0), 1.0)
    scaled, known = work / scale, ~np.isnan(log_ms)
    target, groups, boards = np.where(known, log_ms, 0.0), work.shape[1], len(log_ms)
    start = -np.log(np.maximum(scaled.sum(axis=0), 1e-3))  # every group an equal share of all networks together
    offset = target - np.log(np.maximum(scaled @ np.exp(start), 1e-30))
    rates = start + (np.where(known, offset, 0).sum(axis=1) / known.sum(axis=1))[:, None]
    mean, covariance, noise, weight = rates.mean(axis=0), np.eye(groups) * 0.5 + 0.5, 0.06, known.astype(float)
    for iteration in range(iterations):
        precision = np.linalg.inv(covariance)
        for _ in range(3 if iteration < 10 else 1):
            slopes, rest = _slopes(scaled, rates, target, known)
            hessian = np.einsum("bng,bn,bnh->bgh", slopes, weight / noise, slopes) + precision
            gradient = np.einsum("bng,bn->bg", slopes, weight / noise * rest) - (rates - mean) @ precision
            step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
            longest = np.abs(step).max(axis=1, keepdims=True)
            rates = rates + step * np.minimum(1, 1 / np.maximum(longest, 1e-9))
        spread = np.linalg.inv(hessian)
        slopes, rest = _slopes(scaled, rates, target, known)
        doubt = np.einsum("bng,bgh,bnh->bn", slopes, spread, slopes)
        noise = max(float((weight * (rest**2 + doubt))[known].sum() / known.sum()), 0.02**2)
        weight = np.where(known, (TAIL + 1) / (TAIL + rest**2 / noise), 0)
        mean = rates.mean(axis=0)
        about = rates - mean
        found = (about.T @ about + spread.sum(axis=0)) / boards
        covariance = (1 - SHRINK) * found + SHRINK * np.diag(np.diag(found)) + FLOOR**2 * np.eye(groups)
    shift = np.log(scale)
    own = tuple(Posterior(rates[b] - shift, spread[b]) for b in range(boards))
    return Hierarchy(mean - shift, covariance, noise, own, np.where(known, rest, np.nan))


def _slopes(work: Array, rates: Array, target: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    rate = np.exp(rates)
    total = np.maximum(rate @ work.T, 1e-30)
    slopes: Array = work[None] * rate[:, None, :] / total[:, :, None]
    return slopes, np.where(known, target - np.log(total), 0.0)


def _round(values: Array) -> Any:
    return np.round(values, 5).tolist()
