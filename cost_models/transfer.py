"""Latency of any candidate on a target nobody has data for, from a few measured candidates and other targets' models.

Other targets (the *sources*) each say what they would need for a candidate; the new target is taken for a draw from
the population those sources are drawn from. With s(x) the sources' predicted log latencies of candidate x,

    log y(x) = level + mean(x) + slope·mean(x) + Σ_k w_k c_k(x) + Σ_j u_j f_j(x) + noise

`mean` is the sources' average curve, `c_k` are their principal differences scaled so that w_k ~ N(0, a²) has the
covariance seen between sources, `f_j` are the components of the candidate's own features (u_j ~ N(0, t²)) that catch
what no source has, and the noise is Gaussian with long tails (Huber weights). a, t and the noise are not guessed: a
grid of settings is averaged by evidence, under a prior learnt by taking every source for the new target in turn. The
same rehearsal says how wide an interval must be to hold 90 % of measurements.

Use:
    prior = learn_prior(predicted_log, features, measured_log=..., groups=chips)     # seconds, once per set of sources
    chosen = choose(prior, predicted_log, features, 20, rng)                          # which candidates to measure
    model = TransferModel.fit(prior, predicted_log[chosen], features[chosen], ms)     # milliseconds, from 1 sample on
    told = model.predict(predicted_log, features)                                     # .latency_ms, .low_ms, .high_ms
    model = TransferModel.from_arrays(model.to_arrays())                              # np.savez(path, **arrays)

Shapes: n candidates, s sources, f features. Feed *predicted* source latencies (a smooth model of each source's
table), not raw measurements: their noise would be passed on. Everything is deterministic given its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.transfer_prior import (
    FEATURE_SCALES,
    NOISES,
    SCALES,
    Array,
    TransferPrior,
    feature_array,
    posterior,
    prior_sds,
    span,
)
from specs.errors import DataError

SCHEMA = 1
DESIGNED = 20
"""Candidates worth choosing one by one: about as many as sources differ in ways; more are better drawn at random,
where they also tell of the noise and of what the prior has not thought of."""
TYPICAL = 0.95
"""The share of candidates a design picks from, those the prior is least unsure of."""
REHEARSED = (3, 6, 12, 25, 50, 100)
"""Sample counts at which the width of intervals is rehearsed."""
_NORMAL_90 = 1.6449
_ROWS, _REPEATS = 1500, 3
"""Candidates and draws a rehearsal uses: quantiles of 1,500 are good to a percent."""
_OWN = 60
"""Samples at which the target's own leave-one-out residuals weigh as much as the rehearsal in the interval."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """(n,) each; `low_ms`…`high_ms` holds one measurement of the candidate with 90 % probability."""

    latency_ms: Array
    low_ms: Array
    high_ms: Array


@dataclass(frozen=True, slots=True)
class TransferModel:
    """One target's latency: a posterior over the weights of the prior's components."""

    prior: TransferPrior
    weights: Array
    """(p,) posterior mean."""
    covariance: Array
    """(p, p) posterior covariance, the uncertainty of the settings included."""
    noise: float
    """Standard deviation of log latency between measurement and any smooth curve, outliers apart."""
    width: float
    """Half width of the 90 % interval in standard deviations."""
    n: int
    """Measurements behind it."""

    @classmethod
    def fit(
        cls, prior: TransferPrior, sources_log: Array, features: Array | None, latency_ms: Sequence[float] | Array
    ) -> TransferModel:
        """The target's model from its measured candidates: (n, s), (n, f) or None, (n,) in ms, n ≥ 1.

        Raises DataError for latencies that are not positive numbers and for shapes that do not fit the prior.
        """
        latency = np.asarray(latency_ms, float)
        if latency.ndim != 1 or not len(latency) or not (np.isfinite(latency).all() and (latency > 0).all()):
            raise DataError(
                "measured latencies cannot be used", seen=latency.tolist()[:5], allowed="one or more positive numbers"
            )
        design = prior.design(sources_log, features)
        if len(design) != len(latency):
            raise DataError("latencies and candidates differ in number", seen=len(latency), allowed=str(len(design)))
        fitted = posterior(prior, design, np.log(latency) - prior.mean(sources_log))
        return cls(prior, fitted.mean, fitted.covariance, fitted.noise, _width(prior, fitted.loo_z), len(latency))

    def predict_log(self, sources_log: Array, features: Array | None = None) -> tuple[Array, Array]:
        """(n,) mean and standard deviation of log latency; the latter includes the measurement's noise."""
        design = self.prior.design(sources_log, features)
        mean = self.prior.mean(sources_log) + design @ self.weights
        spread = np.einsum("ij,ij->i", design @ self.covariance, design)
        return mean, np.sqrt(np.maximum(spread, 0) + self.noise**2)

    def predict(self, sources_log: Array, features: Array | None = None) -> Prediction:
        """Median and 90 % interval of the latency in ms for candidates by their source predictions."""
        mean, sd = self.predict_log(sources_log, features)
        return Prediction(np.exp(mean), np.exp(mean - self.width * sd), np.exp(mean + self.width * sd))

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays for `np.savez` or JSON lists; `schema` tells the version."""
        prior = {f"prior_{f.name}": getattr(self.prior, f.name) for f in fields(TransferPrior)}
        scalars = {"schema": SCHEMA, "noise": self.noise, "width": self.width, "n": self.n}
        arrays = {name: np.asarray(value, float) for name, value in scalars.items()}
        return {**arrays, "weights": self.weights, "covariance": self.covariance, **prior}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> TransferModel:
        """The inverse of `to_arrays`. Raises DataError for another schema or missing arrays."""
        names = [f"prior_{f.name}" for f in fields(TransferPrior)]
        missing = {"schema", "noise", "width", "n", "weights", "covariance", *names} - set(arrays)
        if missing or int(arrays["schema"]) != SCHEMA:
            seen = sorted(missing) or int(arrays["schema"])
            raise DataError("not a stored transfer model", seen=seen, allowed=f"schema {SCHEMA} with all its arrays")
        prior = TransferPrior(*(np.asarray(arrays[name], float) for name in names))
        weights, covariance = np.asarray(arrays["weights"], float), np.asarray(arrays["covariance"], float)
        return cls(prior, weights, covariance, float(arrays["noise"]), float(arrays["width"]), int(arrays["n"]))


def learn_prior(
    sources_log: Array,
    features: Array | None = None,
    *,
    measured_log: Array | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> TransferPrior:
    """What the sources say of a target unlike any of them.

    `sources_log` (n, s): every source's predicted log latency of n candidates. `measured_log` (n, s): what was
    measured there, with its noise; rehearsals then include it (without, intervals know of no noise but the samples').
    `groups` names each source's chip: sources of one chip count as one and are left out together in rehearsals.
    Raises DataError for fewer than one source or two candidates and for numbers that are not finite.
    """
    sources_log = np.asarray(sources_log, float)
    if sources_log.ndim != 2 or sources_log.shape[0] < 2 or not sources_log.shape[1]:
        raise DataError(
            "too few sources", seen=sources_log.shape, allowed="(two or more candidates, one or more sources)"
        )
    features = feature_array(features, len(sources_log))
    measured = sources_log if measured_log is None else np.asarray(measured_log, float)
    names = [str(i) for i in range(sources_log.shape[1])] if groups is None else list(groups)
    if len(names) != sources_log.shape[1] or measured.shape != sources_log.shape:
        raise DataError("groups or measurements do not fit the sources", seen=(len(names), measured.shape),
                        allowed=f"{sources_log.shape[1]} groups, measurements {sources_log.shape}")  # fmt: skip
    if not all(np.isfinite(values).all() for values in (sources_log, features, measured)):
        raise DataError("sources or features hold values that are not finite numbers")
    shape = (len(SCALES), len(FEATURE_SCALES), len(NOISES))
    flat = np.full(shape, -np.log(np.prod(shape)))
    plain = np.full(len(REHEARSED), _NORMAL_90)
    if len(set(names)) >= 3:
        flat, plain = _rehearse(sources_log, features, measured, names, flat, seed)
    return span(sources_log, features, names, flat, plain)


def choose(
    prior: TransferPrior, sources_log: Array, features: Array | None, n: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """(n,) distinct candidates whose measurement leaves the least uncertainty over all given ones, best first.

    Greedy A-optimal design under the prior at its average setting for the first DESIGNED, then at random; no latency
    is looked at. Every pick is made from a random part of the candidates, so that repeats with other generators
    differ. Raises DataError where n candidates are not to be had.
    """
    design = prior.design(sources_log, features)
    if not 1 <= n <= len(design):
        raise DataError("so many candidates cannot be chosen", seen=n, allowed=f"1 to {len(design)}")
    scale, feature_scale, noise = _typical(prior)
    scaled = design * prior_sds(prior, scale, feature_scale)
    # candidates unlike nearly all others tell of themselves only, and are fitted worst: neither picked nor aimed at
    reach = np.einsum("ij,ij->i", scaled, scaled)
    free = reach <= np.quantile(reach, TYPICAL)
    if free.sum() < n:
        free[:] = True
    covariance = np.eye(scaled.shape[1])
    gram = scaled[free].T @ scaled[free] / free.sum()
    chosen: list[int] = []
    for _ in range(min(n, DESIGNED)):
        pool = np.flatnonzero(free)
        pool = rng.choice(pool, min(len(pool), 2000), replace=False)
        reach = scaled[pool] @ covariance
        gain = np.einsum("ij,ij->i", reach @ gram, reach) / (np.einsum("ij,ij->i", reach, scaled[pool]) + noise**2)
        best = int(np.argmax(gain))
        pick = reach[best]
        covariance -= np.outer(pick, pick) / (float(pick @ scaled[pool[best]]) + noise**2)
        free[pool[best]] = False
        chosen.append(int(pool[best]))
    rest = np.setdiff1d(np.arange(len(scaled)), chosen)
    return np.concatenate([chosen, rng.choice(rest, n - len(chosen), replace=False)]).astype(np.intp)


def _width(prior: TransferPrior, loo_z: Array) -> float:
    """The rehearsed width at this many samples, drawn towards what the target's own left-out samples ask for."""
    n = len(loo_z)
    rehearsed = float(np.interp(np.log(n), np.log(REHEARSED), prior.widths))
    if n < 20:
        return rehearsed
    own = float(np.quantile(loo_z, min(1.0, 0.9 * (n + 1) / n)))
    return (rehearsed * _OWN + own * n) / (_OWN + n)


def _rehearse(
    sources_log: Array, features: Array, measured: Array, groups: Sequence[str], flat: Array, seed: int
) -> tuple[Array, Array]:
    """Every chip in turn as the unknown target: how plausible each setting was, how wide intervals had to be."""
    rng = np.random.default_rng(seed)
    if len(sources_log) > _ROWS:
        rows = rng.choice(len(sources_log), _ROWS, replace=False)
        sources_log, features, measured = sources_log[rows], features[rows], measured[rows]
    counts = [n for n in REHEARSED if n <= len(sources_log) // 2] or [max(1, len(sources_log) // 2)]
    plain = np.full(len(REHEARSED), _NORMAL_90)
    # settings first, as the widths depend on them
    settings = np.zeros_like(flat)
    drawn = []
    for name in dict.fromkeys(groups):
        others = [i for i, group in enumerate(groups) if group != name]
        own = [i for i, group in enumerate(groups) if group == name]
        prior = span(sources_log[:, others], features, [groups[i] for i in others], flat, plain)
        design, mean = prior.design(sources_log[:, others], features), prior.mean(sources_log[:, others])
        for source in own:
            target = measured[:, source] - mean
            drawn.append((prior, design, target, 1 / len(own)))
            for _ in range(_REPEATS):
                chosen = rng.choice(len(target), counts[-1], replace=False)
                evidence = posterior(prior, design[chosen], target[chosen]).log_evidence
                share = np.exp(evidence - evidence.max())
                settings += share / share.sum() / len(own)
    # a fifth spread evenly: a setting no source needed stays possible
    settings = settings + 0.25 * settings.sum() / settings.size
    log_settings = np.log(settings / settings.sum())
    widths = []
    for n in counts:
        z, weight = [], []
        for prior, design, target, share in drawn:
            learnt = TransferPrior(prior.centre, prior.weights, prior.basis, prior.feature_centre,
                                   prior.feature_basis, log_settings, plain)  # fmt: skip
            for _ in range(_REPEATS):
                chosen = rng.choice(len(target), n, replace=False)
                fitted = posterior(learnt, design[chosen], target[chosen])
                spread = np.einsum("ij,ij->i", design @ fitted.covariance, design)
                sd = np.sqrt(np.maximum(spread, 0) + fitted.noise**2)
                unseen = np.setdiff1d(np.arange(len(target)), chosen)
                z.append((np.abs(target - design @ fitted.mean) / sd)[unseen])
                weight.append(np.full(len(unseen), share))
        widths.append(_weighted_quantile(np.concatenate(z), np.concatenate(weight), 0.9))
    return log_settings, np.interp(np.log(REHEARSED), np.log(counts), widths)


def _weighted_quantile(values: Array, weights: Array, q: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, q * reached[-1])])


def _typical(prior: TransferPrior) -> tuple[float, float, float]:
    """The prior's average setting: geometric means of source scale, feature scale (as it is) and noise."""
    share = np.exp(prior.log_settings)
    scale = np.exp(share.sum((1, 2)) @ np.log(SCALES))
    noise = np.exp(share.sum((0, 1)) @ np.log(NOISES))
    return float(scale), float(share.sum((0, 2)) @ np.array(FEATURE_SCALES)), float(noise)
