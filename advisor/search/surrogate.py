"""A Gaussian process over groups of features, for objectives that only an evaluation tells.

The covariance is a sum over groups, a Matérn-5/2 kernel each with its own amplitude and scale, so that a few summary
figures (operations, depth) and many sparse ones (which paths exist) can each matter at their own length. Narrow groups
get a scale per column. Hyperparameters are the posterior mode under broad log-normal priors.

Values are warped before the fit: what is far worse than useful is clipped, and of the identity and logarithms of
different bend the one with the highest marginal likelihood is taken, the Jacobian included. All values are minimised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Array = NDArray[np.float64]
Groups = Sequence[Array]
"""One (n, columns) matrix a group, columns scaled to a range of about 1."""

BENDS = (np.inf, 1.0, 0.3)
"""Of the warp log(t + bend), t = 0 at the best value and 1 at the median; infinite is the identity."""
ARD_COLUMNS = 16
"""Groups up to this wide learn a scale a column; wider ones share one: a hundred points cannot tell more."""
_FLOOR_NOISE = 1e-6
_SQRT5 = 5.0**0.5
_PRIOR_SD = (2.0, 1.0, 2.0)
"""Of log amplitude, log scale and log noise: a factor of 7, 3 and 7 either way."""
_COLUMN_SD = 0.7
"""Of a column's log scale around its group's."""


@dataclass(frozen=True)
class Warp:
    """A monotone map of values, increasing; `worst` is where values are clipped."""

    best: float
    spread: float
    worst: float
    bend: float

    @classmethod
    def of(cls, values: Array, bend: float, floor: float | None) -> Warp:
        """For the values seen; `floor` is the worst useful value, where there is one.

        Without a floor, values count as outliers three spreads beyond the median.
        """
        best, median = float(values.min()), float(np.median(values))
        spread = median - best or float(np.ptp(values)) or 1.0
        worst = median + 3 * spread
        if floor is not None and floor > best:
            # half the useful range beyond the floor still tells how far off a candidate is
            spread = min(spread, (floor - best) / 2)
            worst = floor + (floor - best) / 2
        return cls(best, spread, worst, bend)

    def forward(self, values: Array) -> Array:
        t = (np.minimum(values, self.worst) - self.best) / self.spread
        return t if np.isinf(self.bend) else np.log(np.maximum(t, -0.9 * self.bend) + self.bend)

    def log_jacobian(self, values: Array) -> float:
        """Sum of log d forward / d value; clipped values count like the worst."""
        t = (np.minimum(values, self.worst) - self.best) / self.spread
        slope = -len(values) * float(np.log(self.spread))
        return slope if np.isinf(self.bend) else slope - float(np.log(t + self.bend).sum())

    def backward(self, mean: Array, sd: Array) -> tuple[Array, Array]:
        """Mean and standard deviation in units of the values, to first order."""
        if np.isinf(self.bend):
            return self.best + self.spread * mean, self.spread * sd
        grown = np.exp(mean)
        return self.best + self.spread * (grown - self.bend), self.spread * grown * sd


@dataclass(frozen=True)
class Settings:
    """A covariance: per group the amplitude (variance) and the columns' scales, the noise variance, and the warp."""

    amplitudes: tuple[float, ...]
    scales: tuple[Array, ...]
    noise: float
    warp: Warp
    log_evidence: float

    def covariance(self, left: Groups, right: Groups) -> Array:
        """(n, m) for rows of both; noise is not in it."""
        total = np.zeros((len(left[0]), len(right[0])))
        for amplitude, scale, a, b in zip(self.amplitudes, self.scales, left, right, strict=True):
            total += amplitude * _matern(_SQRT5 * np.sqrt(_squares(a / scale, b / scale)))
        return total


@dataclass(frozen=True)
class GaussianProcess:
    """The process given observations. Predictions are of the noise-free value."""

    settings: Settings
    rows: tuple[Array, ...]
    values: Array
    centre: float
    factor: Array
    weights: Array

    @classmethod
    def given(cls, settings: Settings, rows: Groups, values: Array) -> GaussianProcess:
        """Condition on (n,) values of n rows."""
        z = settings.warp.forward(values)
        covariance = settings.covariance(rows, rows)
        covariance[np.diag_indices_from(covariance)] += settings.noise + _FLOOR_NOISE * sum(settings.amplitudes)
        factor = cholesky(covariance, lower=True)
        centre = float(np.median(z))
        return cls(settings, tuple(rows), values, centre, factor, cho_solve((factor, True), z - centre))

    def extended(self, rows: Groups, values: Array) -> GaussianProcess:
        """The process given more observations."""
        both = [np.concatenate(pair) for pair in zip(self.rows, rows, strict=True)]
        return GaussianProcess.given(self.settings, both, np.concatenate([self.values, values]))

    def predict(self, rows: Groups) -> tuple[Array, Array]:
        """(m,) mean and standard deviation, in units of the values."""
        cross = self.settings.covariance(self.rows, rows)
        mean = self.centre + cross.T @ self.weights
        half = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = sum(self.settings.amplitudes) - np.einsum("ij,ij->j", half, half)
        return self.settings.warp.backward(mean, np.sqrt(np.maximum(variance, 1e-12)))


def fit(rows: Groups, values: Array, floor: float | None = None, bends: Sequence[float] = BENDS) -> Settings:
    """The settings most probable for (n,) values of n rows, n ≥ 1; the warp with the most evidence."""
    found = [_fit(rows, values, Warp.of(values, bend, floor)) for bend in bends]
    return max(found, key=lambda settings: settings.log_evidence)


def _fit(rows: Groups, values: Array, warp: Warp) -> Settings:
    z = warp.forward(values)
    z = z - np.median(z)
    variance = float(z.var()) or 1.0
    layout = _Layout.of(rows, variance)
    problem = _Problem(rows, z, layout)
    start = layout.start()
    if len(values) < 4 or z.std() == 0:
        value = problem.value(start)[0]
        return layout.settings(start, warp, -value + warp.log_jacobian(values))
    # bounds keep the search where covariances are representable
    bounds = [(low - 6.0, low + 6.0) for low in start]
    done = minimize(problem.value, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30})
    return layout.settings(done.x, warp, -float(done.fun) + warp.log_jacobian(values))


@dataclass(frozen=True)
class _Layout:
    """Where each hyperparameter stands in the vector that is optimised, all logs: per group the amplitude, the
    group's scale, and for narrow groups each column's scale relative to it; the noise last."""

    widths: tuple[int, ...]
    typical: tuple[float, ...]
    variance: float

    @classmethod
    def of(cls, rows: Groups, variance: float) -> _Layout:
        typical = []
        for group in rows:
            seen = np.sqrt(_squares(group, group))
            apart = seen[seen > 0]
            typical.append(float(np.median(apart)) if len(apart) else 1.0)
        return cls(tuple(group.shape[1] for group in rows), tuple(typical), variance)

    def own(self, group: int) -> int:
        """How many columns of a group have a scale of their own."""
        return self.widths[group] if 1 < self.widths[group] <= ARD_COLUMNS else 0

    def start(self) -> Array:
        share = np.log(0.7 * self.variance / len(self.widths))
        parts = [[share, np.log(typical), *[0.0] * self.own(g)] for g, typical in enumerate(self.typical)]
        return np.array([x for part in parts for x in part] + [np.log(0.05 * self.variance)])

    def spreads(self) -> Array:
        parts = [[_PRIOR_SD[0], _PRIOR_SD[1], *[_COLUMN_SD] * self.own(g)] for g in range(len(self.widths))]
        return np.array([x for part in parts for x in part] + [_PRIOR_SD[2]])

    def settings(self, theta: Array, warp: Warp, log_evidence: float) -> Settings:
        amplitudes, scales, at = [], [], 0
        for g, width in enumerate(self.widths):
            amplitudes.append(float(np.exp(theta[at])))
            own = self.own(g)
            relative = theta[at + 2 : at + 2 + own] if own else np.zeros(width)
            scales.append(np.exp(theta[at + 1] + relative))
            at += 2 + own
        return Settings(tuple(amplitudes), tuple(scales), float(np.exp(theta[-1])), warp, log_evidence)


class _Problem:
    """The negative log posterior of hyperparameters and its gradient."""

    def __init__(self, rows: Groups, z: Array, layout: _Layout) -> None:
        self._z, self._layout = z, layout
        self._start, self._spreads = layout.start(), layout.spreads()
        self._squares = [
            np.stack([_squares(group[:, [k]], group[:, [k]]) for k in range(group.shape[1])])
            if layout.own(g)
            else _squares(group, group)
            for g, group in enumerate(rows)
        ]

    def value(self, theta: Array) -> tuple[float, Array]:
        n = len(self._z)
        noise = np.exp(theta[-1])
        parts, at, covariance = [], 0, np.zeros((n, n))
        for g, squares in enumerate(self._squares):
            own = self._layout.own(g)
            inverse = np.exp(-2 * (theta[at + 1] + theta[at + 2 : at + 2 + own])) if own else None
            scaled = squares * np.exp(-2 * theta[at + 1]) if inverse is None else np.tensordot(inverse, squares, 1)
            s = _SQRT5 * np.sqrt(scaled)
            kernel = np.exp(theta[at]) * _matern(s)
            # d kernel / d log scale = 5/3 amplitude (1 + s) exp(-s) × squared scaled distance
            steep = np.exp(theta[at]) * (5 / 3) * (1 + s) * np.exp(-s)
            parts.append((at, own, kernel, steep, scaled, inverse))
            covariance += kernel
            at += 2 + own
        jitter = _FLOOR_NOISE * sum(float(kernel[0, 0]) for _, _, kernel, *_ in parts)
        covariance[np.diag_indices(n)] += noise + jitter
        factor = cholesky(covariance, lower=True, check_finite=False)
        weights = cho_solve((factor, True), self._z, check_finite=False)
        half, _ = dpotri(factor, lower=1)
        inverse_covariance = half + np.tril(half, -1).T
        pull = (theta - self._start) / self._spreads
        value = 0.5 * float(self._z @ weights) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(pull @ pull)
        outer = inverse_covariance - np.outer(weights, weights)
        gradient = pull / self._spreads
        for at, own, kernel, steep, scaled, inverse in parts:
            gradient[at] += 0.5 * float(np.vdot(outer, kernel))
            shared = outer * steep
            gradient[at + 1] += 0.5 * float(np.vdot(shared, scaled))
            if inverse is not None:
                squares = self._squares[[p[0] for p in parts].index(at)]
                gradient[at + 2 : at + 2 + own] += 0.5 * inverse * np.tensordot(squares, shared, 2)
        gradient[-1] += 0.5 * float(noise * np.trace(outer))
        return value, gradient


def _matern(s: Array) -> Array:
    kernel: Array = (1 + s + s * s / 3) * np.exp(-s)
    return kernel


def _squares(left: Array, right: Array) -> Array:
    """(n, m) squared distances."""
    products = left @ right.T
    products *= -2
    products += np.einsum("ij,ij->i", left, left)[:, None]
    products += np.einsum("ij,ij->i", right, right)
    return np.maximum(products, 0, out=products)
