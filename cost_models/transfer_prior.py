"""What sources say of an unknown target, and the arithmetic that weighs it against measurements (`transfer.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specs.errors import DataError

Array = NDArray[np.float64]

LEVEL_SD = 4.0
"""Of log latency around the sources' mean level: a factor of 50 either way is one standard deviation."""
SLOPE_SD = 0.2
"""Of the share by which a target is steeper or flatter than the mean curve, on top of what the sources differ by."""
SCALES = (0.5, 1.0, 2.0)
FEATURE_SCALES = (0.0, 0.02, 0.07, 0.25)
NOISES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
"""Of log latency: from a simulator's rounding to a phone with other things to do."""
HUBER = 1.5
"""Residuals beyond this many noise levels lose weight; 1.5 keeps 96 % efficiency on Gaussian noise."""
COMPONENTS = 32
"""Of the features, at most."""


@dataclass(frozen=True, slots=True)
class TransferPrior:
    """What the sources say of an unknown target: curves, their spread, plausible settings and interval widths."""

    centre: Array
    """(s,) mean log latency of each source."""
    weights: Array
    """(s,) weights of the sources in the mean curve; sum 1."""
    basis: Array
    """(s, k) from centred source logs, less the mean curve, to components of unit prior standard deviation."""
    feature_centre: Array
    """(f,)"""
    feature_basis: Array
    """(f, j) from centred features to components whose squares sum to 1 on average."""
    log_settings: Array
    """(SCALES, FEATURE_SCALES, NOISES) log prior probability of each setting."""
    widths: Array
    """(REHEARSED,) half width of the 90 % interval in predicted standard deviations."""

    def design(self, sources_log: Array, features: Array | None) -> Array:
        """(n, 2 + k + j) columns the weights multiply: level, slope, source and feature components."""
        sources_log = np.asarray(sources_log, float)
        if sources_log.ndim != 2 or sources_log.shape[1] != len(self.centre) or not np.isfinite(sources_log).all():
            raise DataError(
                "source predictions do not fit the prior",
                seen=sources_log.shape,
                allowed=f"finite numbers, (candidates, {len(self.centre)})",
            )
        features = feature_array(features, len(sources_log))
        if features.shape != (len(sources_log), len(self.feature_centre)):
            raise DataError(
                "features do not fit the prior",
                seen=features.shape,
                allowed=f"({len(sources_log)}, {len(self.feature_centre)})",
            )
        centred = sources_log - self.centre
        mean = centred @ self.weights
        return np.column_stack(
            [
                np.full(len(mean), LEVEL_SD),
                SLOPE_SD * mean,
                (centred - mean[:, None]) @ self.basis,
                (features - self.feature_centre) @ self.feature_basis,
            ]
        )

    def mean(self, sources_log: Array) -> Array:
        """(n,) log latency expected before any measurement."""
        sources_log = np.asarray(sources_log, float)
        return (sources_log - self.centre) @ self.weights + float(self.centre @ self.weights)


def span(
    sources_log: Array, features: Array, groups: Sequence[str], log_settings: Array, widths: Array
) -> TransferPrior:
    """The prior's curves: average, principal differences and feature components, every chip counting once."""
    centre = sources_log.mean(0)
    counts = {name: groups.count(name) for name in groups}
    weights = np.array([1 / counts[name] for name in groups]) / len(counts)
    centred = sources_log - centre
    differences = (centred - (centred @ weights)[:, None]) * np.sqrt(weights)
    _, s, vt = np.linalg.svd(differences, full_matrices=False)
    real = s > 1e-3 * np.sqrt(len(centred))
    # components of unit weight reproduce the covariance between chips, an unbiased one where there are several
    inflate = np.sqrt(len(counts) / max(len(counts) - 1, 1))
    basis = np.sqrt(weights)[:, None] * vt[real].T * inflate
    feature_centre = features.mean(0)
    sd = features.std(0)
    kept = np.flatnonzero(sd > 0)
    feature_basis = np.zeros((features.shape[1], min(COMPONENTS, len(kept))))
    if len(kept):
        standard = (features[:, kept] - feature_centre[kept]) / sd[kept]
        _, values, axes = np.linalg.svd(standard.T @ standard / len(standard))
        total = float(values[: feature_basis.shape[1]].sum())
        feature_basis[kept] = axes[: feature_basis.shape[1]].T / sd[kept, None] / np.sqrt(total)
    return TransferPrior(centre, weights, basis, feature_centre, feature_basis, log_settings, widths)


@dataclass(frozen=True, slots=True)
class Fit:
    """The weights' posterior in units of the design's columns, and how the samples sit in it."""

    mean: Array
    covariance: Array
    noise: float
    log_evidence: Array
    loo_z: Array


def posterior(prior: TransferPrior, design: Array, target: Array) -> Fit:
    """Weights given centred logs `target` (n,): settings averaged by evidence, outliers by Huber's weights."""
    slack = np.ones(len(target))
    for _ in range(3 if len(target) >= 8 else 1):
        fitted = _average(prior, design, target, slack)
        residual = np.abs(target - design @ fitted.mean)
        slack = np.maximum(1.0, residual / (HUBER * fitted.noise))
    return fitted


def _average(prior: TransferPrior, design: Array, target: Array, slack: Array) -> Fit:
    """One pass over all settings; `slack` (n,) multiplies the noise variance of each measurement."""
    noises = np.array(NOISES) ** 2
    root = np.sqrt(slack)
    y = target / root
    evidence = np.empty(prior.log_settings.shape)
    parts = {}
    for a, scale in enumerate(SCALES):
        for t, feature_scale in enumerate(FEATURE_SCALES):
            scaling = prior_sds(prior, scale, feature_scale)
            u, s, vt = _svd(design * scaling / root[:, None])
            along = u.T @ y
            rest = max(float(y @ y - along @ along), 0.0)
            total = s[:, None] ** 2 + noises
            evidence[a, t] = -0.5 * (
                np.log(total).sum(0) + (len(y) - len(s)) * np.log(noises) + (along[:, None] ** 2 / total).sum(0)
                + rest / noises
            )  # fmt: skip
            parts[a, t] = (scaling, u, s, vt, along)
    log_weight = evidence + prior.log_settings
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    size = design.shape[1]
    mean, second, loo, variance = np.zeros(size), np.zeros((size, size)), np.zeros(len(y)), 0.0
    for (a, t), (scaling, u, s, vt, along) in parts.items():
        for b, square in enumerate(noises):
            share = weight[a, t, b]
            if share < 1e-3:
                continue
            shrink = s / (s**2 + square)
            w = scaling * (vt.T @ (shrink * along))
            mean += share * w
            cut = (vt.T * np.sqrt(s * shrink)) * scaling[:, None]
            second += share * (np.diag(scaling**2) - cut @ cut.T + np.outer(w, w))
            # leave-one-out residual over its standard deviation, from the diagonal of the inverse (Rasmussen 5.12)
            inverse = (1 - (u**2) @ (s * shrink)) / square
            solved = (y - u @ (s * shrink * along)) / square
            loo += share * np.abs(solved) / np.sqrt(np.maximum(inverse, 1e-12))
            variance += share * square
    total_share = float(weight[weight >= 1e-3].sum())
    mean, second, loo, variance = mean / total_share, second / total_share, loo / total_share, variance / total_share
    return Fit(mean, second - np.outer(mean, mean), float(np.sqrt(variance)), evidence, loo * root)


def _svd(matrix: Array) -> tuple[Array, Array, Array]:
    """The thin singular value decomposition without null directions, by the smaller of the two Gram matrices."""
    tall = matrix.shape[0] >= matrix.shape[1]
    values, vectors = np.linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
    kept = values > 1e-12 * values[-1]
    s, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return (matrix @ vectors / s, s, vectors.T) if tall else (vectors, s, (matrix.T @ vectors / s).T)


def prior_sds(prior: TransferPrior, scale: float, feature_scale: float) -> Array:
    """(p,) prior standard deviations of the weights in units of the design's columns."""
    sizes = (2, prior.basis.shape[1], prior.feature_basis.shape[1])
    return np.repeat([1.0, scale, feature_scale], sizes)


def feature_array(features: Array | None, n: int) -> Array:
    return np.zeros((n, 0)) if features is None else np.asarray(features, float)
