"""What one kernel takes: physical terms with non-negative rates a group of kernels, and a smooth correction on top.

The terms are those a kernel's time is made of (a call, multiplications on padded tiles, elements read, written and
copied, weights, what does not fit the caches); the correction is a Gaussian process on the logarithm of what they miss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.kernel_rows import COLUMN
from cost_models.kernel_terms import MULTIPLYING, Array, features_of, terms_of

__all__ = ["MULTIPLYING", "Group", "KernelModel", "KernelTimes", "fit_kernel_model"]
NEAR = {
    "conv:plain": "conv", "conv1:plain": "conv1", "first:plain": "conv:plain", "first": "conv", "grouped": "conv",
    "grouped:plain": "grouped", "depthwise:plain": "depthwise", "depthwise:25:plain": "depthwise:25",
    "depthwise:49:plain": "depthwise:49", "depthwise:49": "depthwise:25", "depthwise:25": "depthwise",
    "matmul": "dense", "recurrent": "dense", "conv1": "conv", "mean": "global-avg-pool", "mean:last": "mean",
    "activation:rsqrt": "activation:sigmoid", "global-avg-pool": "mean", "add:broadcast": "add",
    "mul:broadcast": "mul", "mul": "add", "turn": "transpose", "transpose": "turn", "pad": "concat",
    "slice": "concat", "activation:silu": "activation:sigmoid", "activation:hard-sigmoid": "activation:hard-swish",
    "activation:tanh": "activation:sigmoid", "activation:gelu": "activation:tanh",
}  # fmt: skip
"""The group whose rates stand in for one that was not measured."""
ALONE = 2.0
"""Distance between a kernel timed alone and the same inside a network, before its scale is tuned."""
LEAST = 6
"""Kernels of a group needed to fit it alone."""
MAX_POINTS = 400
"""Kernels a group's correction keeps: prediction stays within a millisecond a network."""
_SCALES = (1.0, 1.8, 3.0, 5.0)
_NOISES = (0.03, 0.06, 0.12)
SIGNAL = 0.09
"""Variance of the correction: kernels differ from their terms by about 30 %."""
PASSES = 2
ROBUST = 3
ODD = 0.4
"""Logarithmic distance from its neighbours at which a kernel is taken for disturbed."""
SMALL_US = 1.0
"""Below it errors count by their size, above by their share: quicker kernels are not told that exactly."""


@dataclass(frozen=True)
class KernelTimes:
    """Kernels and what each took. `rows`: (n, COLUMNS); `us`: (n,) > 0; `source`: the workload each was timed in, so
    that cross-validation can leave it out with its network."""

    kinds: tuple[str, ...]
    rows: Array
    us: Array
    source: tuple[str, ...]

    def without(self, sources: set[str]) -> KernelTimes:
        return self._at([i for i, name in enumerate(self.source) if name not in sources])

    def of_kinds(self, kinds: Sequence[str]) -> KernelTimes:
        return self._at([i for i, kind in enumerate(self.kinds) if kind in kinds])

    def _at(self, kept: list[int]) -> KernelTimes:
        return KernelTimes(tuple(self.kinds[i] for i in kept), self.rows[kept], self.us[kept],
                           tuple(self.source[i] for i in kept))  # fmt: skip

    @classmethod
    def joined(cls, parts: Sequence[KernelTimes]) -> KernelTimes:
        return cls(sum((p.kinds for p in parts), ()), np.vstack([p.rows for p in parts]),
                   np.concatenate([p.us for p in parts]), sum((p.source for p in parts), ()))  # fmt: skip


@dataclass(frozen=True)
class Group:
    """One group's fit. `rates`: µs a unit of each term; `points`: (k, d) of the correction, `alpha` (k,) its weights.

    `low`, `high`: (d,) range of the features measured, in logarithms; `n`: kernels; `spread`: the typical error of the
    logarithm, left-out by left-out.
    """

    rates: Array
    centre: Array
    width: Array
    points: Array
    alpha: Array
    noise: float
    low: Array
    high: Array
    n: int
    spread: float

    def told(self, features: Array) -> Array:
        """The features; of kernels that were only timed alone nobody told what surrounds them in a network."""
        if self.low[-1] < self.high[-1]:
            return features
        return np.column_stack([features[:, :-1], np.full(len(features), self.low[-1])])

    def predict(self, terms: Array, features: Array) -> Array:
        """µs of kernels of this group."""
        base = terms @ self.rates
        if not len(self.points):
            return base
        z = (_in_network(np.clip(features, self.low - 0.7, self.high + 0.7)) - self.centre) / self.width
        return base * np.exp(np.clip(_rbf(z, self.points) @ self.alpha, -1.2, 1.2))


@dataclass(frozen=True)
class KernelModel:
    """Fits by group; `predict` never fails for a kernel: what was not measured is priced by what is near."""

    groups: Mapping[str, Group]

    def predict(self, kinds: Sequence[str], rows: Array) -> tuple[Array, Array]:
        """µs of each kernel, and how far outside what was measured it lies (0 inside, 1 unknown), (n,) each."""
        value, outside = np.zeros(len(kinds)), np.zeros(len(kinds))
        labels = np.array(kinds)
        for kind in dict.fromkeys(kinds):
            where = np.flatnonzero(labels == kind)
            group, known = self._group(kind)
            if group is None:
                outside[where] = 1.0
                continue
            some = rows[where]
            features = group.told(features_of(some))
            value[where] = group.predict(terms_of(kind, some), features)
            beyond = np.maximum(group.low - features, features - group.high).clip(min=0).max(axis=1)
            outside[where] = np.minimum(1.0, beyond / 2) if known else 1.0
        return value, outside

    def _group(self, kind: str) -> tuple[Group | None, bool]:
        if kind in self.groups:
            return self.groups[kind], True
        seen, near = {kind}, NEAR.get(kind)
        while near is not None and near not in seen:
            if near in self.groups:
                return self.groups[near], False
            seen.add(near)
            near = NEAR.get(near)
        return self.groups.get("*macs" if kind in MULTIPLYING else "*moves"), False

    def to_dict(self) -> dict[str, Any]:
        return {name: {key: _plain(value) for key, value in vars(group).items()} for name, group in self.groups.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KernelModel:
        """Raises ValueError or KeyError where fields are missing or do not fit together."""
        return cls({name: _group_from(fields) for name, fields in data.items()})


def fit_kernel_model(
    times: KernelTimes, tuned: KernelModel | None = None, networks: frozenset[str] = frozenset()
) -> KernelModel:
    """Fit the groups to measured kernels; length scales are those of `tuned` where it has the group.

    Kernels whose source is one of `networks` were timed inside one, and that is what is predicted. Those timed alone
    find their data in the caches: they tell of the others as far as the two go together (feature `alone`).
    """
    kinds, rows, us = times.kinds, times.rows, times.us
    labels = np.array(kinds)
    inside = np.array([name in networks for name in times.source], dtype=bool)
    groups: dict[str, Group] = {}
    for kind in sorted(set(kinds)):
        where = labels == kind
        if where.sum() >= LEAST:
            known = tuned.groups.get(kind) if tuned is not None else None
            groups[kind] = _fit(kind, *_distinct(rows[where], us[where], ~inside[where]), known)
    many = np.isin(labels, MULTIPLYING)
    for name, where in (("*macs", many), ("*moves", ~many)):
        if where.sum() >= LEAST:
            groups[name] = _fit("conv" if name == "*macs" else "add",
                                *_distinct(rows[where], us[where], ~inside[where]), None, corrected=False)  # fmt: skip
    return KernelModel(groups)


def _in_network(features: Array) -> Array:
    """With the feature `alone`, at its value inside a network."""
    return np.column_stack([features, np.zeros(len(features))])


def _distinct(rows: Array, us: Array, alone: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Equal kernels once, at the geometric mean of their times, and which were timed alone (0 or 1)."""
    unique, inverse = np.unique(np.column_stack([rows, alone]), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    sums = np.bincount(inverse, np.log(us))
    return unique[:, :-1], np.exp(sums / np.bincount(inverse)), unique[:, -1]


def _fit(kind: str, rows: Array, us: Array, alone: Array, tuned: Group | None, *, corrected: bool = True) -> Group:
    from scipy.optimize import nnls

    if alone.all():  # those alone are all there is to go by, and what surrounds a kernel in a network is not known
        rows, alone = rows.copy(), np.zeros(len(alone))
        rows[:, COLUMN["around"]] = 0
    terms, features = terms_of(kind, rows), features_of(rows)
    many = np.column_stack([features, ALONE * alone])
    weight = 1 / (us + SMALL_US)
    scale = np.maximum(np.abs(terms * weight[:, None]).max(axis=0), 1e-12)
    # a little of every rate costs a little: terms that say the same share the time
    ridge = 1e-3 * np.eye(terms.shape[1])
    trust = np.ones(len(us))
    for _ in range(ROBUST):
        a, b = terms * (weight * trust)[:, None] / scale, us * weight * trust
        found, _ = nnls(np.vstack([a, ridge]), np.concatenate([b, np.zeros(len(ridge))]))
        error = np.abs((terms @ (found / scale) - us) * weight)
        trust = np.sqrt(np.minimum(1.0, max(0.1, 1.5 * float(np.median(error))) / np.maximum(error, 1e-12)))
    rates = found / scale
    base = np.maximum(terms @ rates, 1e-3)
    residual = np.log(us / base)
    low, high = features.min(axis=0), features.max(axis=0)
    empty = np.zeros((0, many.shape[1]))
    spread = float(np.median(np.abs(residual)))
    plain = Group(rates, np.zeros(many.shape[1]), np.ones(many.shape[1]), empty, np.zeros(0), 0.0, low, high,
                  len(us), spread)  # fmt: skip
    if not corrected or len(us) < 2 * LEAST:
        return plain
    centre = many.mean(axis=0)
    z = many - centre
    if len(z) > MAX_POINTS:
        z, residual = _thinned(z, residual)
    if tuned is not None and len(tuned.alpha):
        width, noise = tuned.width, tuned.noise
    else:
        width, noise, _ = _tuned(z, residual)
    z = z / width
    sound = _sound(z, residual, noise)
    if tuned is None and not sound.all() and len(z) == len(us):
        return _fit(kind, rows[sound], us[sound], alone[sound], None)
    z, residual = z[sound], residual[sound]
    inverse = np.linalg.inv(_rbf(z, z) * SIGNAL + noise**2 * np.eye(len(z)))
    alpha = inverse @ residual
    left_out = float(np.median(np.abs(alpha / np.diag(inverse))))
    return Group(rates, centre, width, z, SIGNAL * alpha, noise, low, high, len(us), left_out)


def _sound(z: Array, residual: Array, noise: float) -> NDArray[np.bool_]:
    """Which kernels some neighbour agrees with; the oddest goes first, since it misleads the others."""
    kept = np.ones(len(z), dtype=bool)
    for _ in range(1 + len(z) // 12):
        some = z[kept]
        inverse = np.linalg.inv(_rbf(some, some) * SIGNAL + noise**2 * np.eye(len(some)))
        odd = np.abs((inverse @ residual[kept]) / np.diag(inverse))
        worst = int(odd.argmax())
        if odd[worst] <= max(ODD, 5 * float(np.median(odd))):
            break
        kept[np.flatnonzero(kept)[worst]] = False
    return kept


def _tuned(z: Array, residual: Array) -> tuple[Array, float, float]:
    """Length scale of each feature and the noise with the least error of kernels left out one by one."""

    def error(width: Array, noise: float) -> float:
        scaled = z / width
        inverse = np.linalg.inv(_rbf(scaled, scaled) * SIGNAL + noise**2 * np.eye(len(z)))
        left_out = (inverse @ residual) / np.diag(inverse)
        return float(np.mean(np.minimum(np.abs(left_out), 0.5)))

    starts = [(error(np.full(z.shape[1], w), s), w, s) for w in _SCALES for s in _NOISES]
    best, scale, noise = min(starts)
    width = np.full(z.shape[1], scale)
    used = [i for i in range(z.shape[1]) if np.ptp(z[:, i]) > 0]
    for _ in range(PASSES):
        for i in used:
            for factor in (0.5, 2.0, 5.0):
                tried = width.copy()
                tried[i] *= factor
                found = error(tried, noise)
                if found < best * 0.997:
                    best, width = found, tried
    return width, noise, best


def _thinned(z: Array, residual: Array) -> tuple[Array, Array]:
    """MAX_POINTS of the kernels, as far apart as can be."""
    chosen = [0]
    distance = ((z - z[0]) ** 2).sum(axis=1)
    while len(chosen) < MAX_POINTS:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((z - z[chosen[-1]]) ** 2).sum(axis=1))
    return z[chosen], residual[chosen]


def _rbf(a: Array, b: Array) -> Array:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-np.maximum(square, 0) / 2))


def _plain(value: object) -> object:
    return np.round(value, 9).tolist() if isinstance(value, np.ndarray) else value


def _group_from(fields: Mapping[str, Any]) -> Group:
    arrays = {key: np.asarray(fields[key], dtype=np.float64)
              for key in ("rates", "centre", "width", "points", "alpha", "low", "high")}  # fmt: skip
    arrays["points"] = arrays["points"].reshape(-1, len(arrays["centre"]))
    if len(arrays["points"]) != len(arrays["alpha"]) or not all(np.isfinite(a).all() for a in arrays.values()):
        raise ValueError("fields of a kernel group do not fit together")
    return Group(**arrays, noise=float(fields["noise"]), n=int(fields["n"]), spread=float(fields["spread"]))
