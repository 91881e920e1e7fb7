"""What a target's own measurements say its cost model gets wrong: a factor on predicted latency, with interval.

    log measured − log predicted = level + level of the precision + log Σ share · exp(correction) + f(network) + noise

Shares are of the parts a network's time is made of (`anatomy`): calls, multiplications, data by kinds of operators.
Corrections of all networks and of one precision are Gaussian and small until measurements say otherwise, `f` is smooth
in what networks are like. How large each of them is, is not chosen but averaged by evidence: three measurements move
the level, where it is off at all, and twenty tell which kinds of operators are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cost_models.anatomy import PARTS, shares_of
from cost_models.workload import Workload
from specs.chip import Target

Array = NDArray[np.float64]
LEVELS = (0.03, 0.1, 0.3, 1.0)
"""Standard deviations of the level, in natural logs: a calibrated model's, up to a factor of e of an unmeasured one."""
OWN = 2.0
"""That of what one precision differs by, as a share of the level's; and of what its corrections do.

Float and int8 kernels are other code, and a runtime that is quick at one may be slow at the other. In two searches of
small networks what was measured beside the front predicted the front within 4 and 8 % by 2, 5 and 9 % by 1, 6 and 12 %
by 0.3; 24 of 48 networks measured on a machine nobody calibrated left 9.5, 11.5 and 14 % on the front."""
CORRECTIONS = (0.0, 0.1, 0.3, 1.0)
SMOOTH = (0.0, 0.1, 0.2)
NOISE = (0.02, 0.05, 0.12, 0.25)
LENGTH = 1 / 3
"""How far apart networks have to be to say little of each other: in the square roots of shares, of which two networks
that have no part in common are √2 apart, and in PACE times the logarithm of time."""
PACE = 1 / 6
NINETY = 1.645
BOLD = 0.1
"""Settings are as likely beforehand as their deviations are small, below this alike: a base that may be right is."""
LIKELY = 0.02
"""Settings less likely than this share of the likeliest are left out of the average."""
STEPS, LONGEST, SETTLED = 12, 0.7, 1e-3
"""Newton's steps to the corrections, the longest, in logarithms, and the length at which they end."""
FARTHEST = 5.0
"""Largest correction, in logarithms."""


@dataclass(frozen=True)
class Networks:
    """Networks as a correction sees them, n each: shares (n, PARTS), where they lie (n, PARTS + 1), precisions."""

    shares: Array
    place: Array
    precisions: tuple[str, ...]

    @classmethod
    def of(cls, workloads: Sequence[Workload], predicted_ms: Array, target: Target) -> Networks:
        shares = shares_of(workloads, target)
        times = PACE * np.log(np.maximum(predicted_ms, 1e-6))
        return cls(shares, np.column_stack([np.sqrt(shares), times]), tuple(str(w.precision) for w in workloads))

    def same(self, other: Networks) -> Array:
        """(n, m): 1 where the precision is the same."""
        mine, others = np.array(self.precisions), np.array(other.precisions)
        return np.asarray(mine[:, None] == others[None, :], dtype=np.float64)


@dataclass(frozen=True)
class Setting:
    """Standard deviations of the parts of a correction."""

    level: float
    corrections: float
    smooth: float
    noise: float

    @property
    def boldness(self) -> float:
        """By how much it is less likely beforehand, as a logarithm."""
        return sum(float(np.log(max(1.0, size / BOLD))) for size in (self.level, self.corrections, self.smooth))


@dataclass(frozen=True)
class _Fit:
    """One setting's fit: corrections by precision (PARTS,), the shares they make of the measured networks (n, PARTS),
    K⁻¹ (n, n) and K⁻¹ · residual (n,), with its weight in the average."""

    setting: Setting
    corrections: dict[str, Array]
    shares: Array
    inverse: Array
    alpha: Array
    weight: float


@dataclass(frozen=True)
class Residual:
    """The correction. `measured`: the networks it rests on.

    `width`: by how much the predictive deviation has to be stretched to hold 90 %; `error`: median error of the
    measured networks, each predicted without its own measurement, as a share.
    """

    target: Target
    measured: Networks
    fits: tuple[_Fit, ...]
    width: float
    error: float

    @property
    def n(self) -> int:
        return len(self.measured.precisions)

    def apply(self, workloads: Sequence[Workload], predicted_ms: Array) -> tuple[Array, Array]:
        """Factor on each predicted latency, and half its 90 % interval in natural logs, (n,) each."""
        mean, variance = self._predicted(Networks.of(workloads, predicted_ms, self.target))
        return np.exp(mean), self.width * np.sqrt(variance)

    def _predicted(self, networks: Networks) -> tuple[Array, Array]:
        near, same = alike(networks, self.measured), networks.same(self.measured)
        found = [_predict(fit, networks, set(self.measured.precisions), near, same) for fit in self.fits]
        weights = np.array([fit.weight for fit in self.fits])
        means, variances = (np.array(some) for some in zip(*found, strict=True))
        mean = weights @ means
        return mean, weights @ (variances + (means - mean) ** 2)


def fit_residual(workloads: Sequence[Workload], predicted_ms: Array, measured_ms: Array, target: Target) -> Residual:
    """Raises ValueError: no pair of positive times."""
    predicted, measured = np.asarray(predicted_ms, float), np.asarray(measured_ms, float)
    valid = np.isfinite(predicted) & (predicted > 0) & np.isfinite(measured) & (measured > 0)
    kept = [int(i) for i in np.flatnonzero(valid)]
    if not kept:
        raise ValueError("no measurement beside a prediction")
    networks = Networks.of([workloads[i] for i in kept], predicted[kept], target)
    ratio = np.log(measured[kept] / predicted[kept])
    fits = _averaged(networks, ratio)
    weights = np.array([fit.weight for fit in fits])
    left_out = np.array([fit.alpha / np.diag(fit.inverse) for fit in fits])
    spread = np.array([1 / np.sqrt(np.diag(fit.inverse)) for fit in fits])
    error = weights @ left_out
    deviation = np.sqrt(weights @ (spread**2 + (left_out - error) ** 2))
    scores = np.sort(np.abs(error) / deviation)
    rank = int(np.ceil(0.9 * (len(scores) + 1)))
    seen = float(scores[min(rank, len(scores)) - 1])
    median = float(np.median(np.abs(np.expm1(error)))) if len(ratio) > 1 else float("nan")
    return Residual(target, networks, fits, max(NINETY, seen), median)


def _averaged(networks: Networks, ratio: Array) -> tuple[_Fit, ...]:
    """The likely settings, each with its share of the evidence."""
    found = []
    for level, size in product(LEVELS, CORRECTIONS):
        found += _fitted(networks, ratio, level, size)
    evidence = np.array([value for value, _ in found])
    weights = np.exp(evidence - evidence.max())
    weights[weights < LIKELY] = 0
    weights /= weights.sum()
    return tuple(
        _Fit(fit.setting, fit.corrections, fit.shares, fit.inverse, fit.alpha, float(weight))
        for (_, fit), weight in zip(found, weights, strict=True)
        if weight
    )


def _fitted(networks: Networks, ratio: Array, level: float, size: float) -> list[tuple[float, _Fit]]:
    """Log evidence and fit of every setting with this level and size of corrections, which are found once."""
    corrections = {name: np.zeros(len(PARTS)) for name in networks.precisions}
    middle = NOISE[len(NOISE) // 2]
    same = networks.same(networks)
    shares, residual, linear = networks.shares, ratio, np.zeros((0, 0))
    for _ in range(STEPS):
        shares, moved = _moved(networks, corrections)
        # the network's factor is linear about the corrections: shares · correction, less what they already explain
        explained = np.array([s @ corrections[p] for s, p in zip(shares, networks.precisions, strict=True)])
        residual = ratio - moved + explained
        linear = _linear(Setting(level, size, 0.0, 0.0), shares, shares, same)
        if not size:
            break
        alpha = np.linalg.solve(linear + middle**2 * np.eye(len(ratio)), residual)
        wanted = _corrections(size, shares, networks.precisions, alpha)
        step = max(float(np.abs(wanted[p] - corrections[p]).max()) for p in corrections)
        part = min(1.0, LONGEST / step) if step > 0 else 1.0
        corrections = {p: np.clip(c + part * (wanted[p] - c), -FARTHEST, FARTHEST) for p, c in corrections.items()}
        if step < SETTLED:
            break
    near = alike(networks, networks)
    found = []
    for smooth, noise in product(SMOOTH, NOISE):
        covariance = linear + smooth**2 * near + noise**2 * np.eye(len(ratio))
        inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        alpha = inverse @ residual
        setting = Setting(level, size, smooth, noise)
        evidence = float(-0.5 * residual @ alpha - 0.5 * np.linalg.slogdet(covariance)[1]) - setting.boldness
        found.append((evidence, _Fit(setting, corrections, shares, inverse, alpha, 0.0)))
    return found


def _moved(networks: Networks, corrections: dict[str, Array]) -> tuple[Array, Array]:
    """Shares (n, PARTS) once corrected, and the logarithm of the factor (n,) that corrections alone make."""
    none = np.zeros(len(PARTS))
    factors = np.exp(np.array([corrections.get(p, none) for p in networks.precisions]))
    weighed = networks.shares * factors
    total = weighed.sum(axis=1, keepdims=True)
    return weighed / total, np.log(total[:, 0])


def _linear(setting: Setting, a: Array, b: Array, same: Array) -> Array:
    """Covariance (n, m) of level and corrections of networks with shares `a` and `b`."""
    both = 1 + OWN**2 * same
    return np.asarray((setting.level**2 + setting.corrections**2 * (a @ b.T)) * both)


def _corrections(size: float, shares: Array, precisions: Sequence[str], alpha: Array) -> dict[str, Array]:
    """(PARTS,) by precision: what all networks say, and those of the precision once more."""
    labels = np.array(precisions)
    every = size**2 * (shares.T @ alpha)
    return {p: every + (OWN * size) ** 2 * (shares[labels == p].T @ alpha[labels == p]) for p in set(precisions)}


def alike(a: Networks, b: Networks) -> Array:
    """(n, m): 1 of equal networks, 0 of those that say nothing of each other."""
    square = (a.place**2).sum(axis=1)[:, None] + (b.place**2).sum(axis=1) - 2 * a.place @ b.place.T
    return np.asarray(np.exp(-np.maximum(square, 0) / (2 * LENGTH**2)))


def _predict(fit: _Fit, networks: Networks, known: set[str], near: Array, same: Array) -> tuple[Array, Array]:
    """Logarithm of the factor and its variance, noise included, (n,) each; `known`: precisions that were measured."""
    none = np.zeros(len(PARTS))
    shares, moved = _moved(networks, fit.corrections)
    linear = np.array([fit.corrections[p] if p in known else none for p in networks.precisions])
    cross = _linear(fit.setting, shares, fit.shares, same) + fit.setting.smooth**2 * near
    own = (fit.setting.level**2 + fit.setting.corrections**2 * (shares**2).sum(axis=1)) * (1 + OWN**2)
    variance = own + fit.setting.smooth**2 - ((cross @ fit.inverse) * cross).sum(axis=1)
    mean = moved - (shares * linear).sum(axis=1) + cross @ fit.alpha
    return mean, np.maximum(variance, 0) + fit.setting.noise**2
