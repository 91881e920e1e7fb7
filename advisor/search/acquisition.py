"""How much hypervolume a candidate is expected to add, in closed form; every objective is minimised.

The space below the reference that no known point dominates is cut into disjoint boxes. A point y adds to a box
[l, u] the volume of its part at or beyond y, the product over objectives of (u − y)⁺ − (l − y)⁺. For independent
normal objectives the expectation is the product of expectations, each known in closed form (Emmerich, Deutz and
Klinkenberg 2011); for an objective known exactly it is the difference itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_MEMBERS = {1: 1, 2: 80, 3: 40, 4: 14}
"""Front members that are kept, by number of objectives: the number of boxes grows with the power of objectives − 1."""
_FEW = 8


def expected_gain(mean: Array, sd: Array, front: Array, reference: Array) -> Array:
    """(n,) expected gain of candidates with (n, m) mean and sd over a front (k, m), within a reference (m,).

    Members of the front that do not reach below the reference do not matter.
    """
    lower, upper = boxes(front, reference)
    total = np.ones((len(mean), len(lower)))
    for objective in range(mean.shape[1]):
        edges, at = np.unique(np.concatenate([lower[:, objective], upper[:, objective]]), return_inverse=True)
        below = _below(edges, mean[:, objective], sd[:, objective])
        total *= below[:, at[len(lower) :]] - below[:, at[: len(lower)]]
    gain: Array = total.sum(1)
    return gain


def boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """(b, m) lower and upper corners, lower ones −∞ where nothing bounds them."""
    inside = front[(front < reference).all(1)]
    inside = thinned(inside[non_dominated(inside)])
    if front.shape[1] == 2:
        # stripes along the second objective, as wide as the best first one below them
        inside = inside[np.argsort(inside[:, 1])]
        low = np.column_stack([np.full(len(inside) + 1, -np.inf), np.concatenate([[-np.inf], inside[:, 1]])])
        wide = np.concatenate([[reference[0]], inside[:, 0]])
        return low, np.column_stack([wide, np.concatenate([inside[:, 1], [reference[1]]])])
    corners = _boxes(inside, reference)
    return np.array([low for low, _ in corners]), np.array([high for _, high in corners])


def non_dominated(points: Array) -> Index:
    """Indexes of the (n, m) points that no other one dominates, of equal points the first."""
    order = np.lexsort(points.T[::-1]) if len(points) else np.zeros(0, np.intp)
    if points.shape[1] == 2 and len(points):
        second = points[order, 1]
        ahead = np.minimum.accumulate(second)
        return np.sort(order[np.concatenate([[True], second[1:] < ahead[:-1]])])
    best = np.empty_like(points)
    kept: list[int] = []
    for i in order:
        # in this order only earlier points can dominate
        if not (best[: len(kept)] <= points[i]).all(1).any():
            best[len(kept)] = points[i]
            kept.append(int(i))
    return np.sort(np.array(kept, np.intp))


def hypervolume(points: Array, reference: Array) -> float:
    """What points (n, m) dominate within the reference (m,)."""
    inside = points[(points < reference).all(1)]
    if not len(inside):
        return 0.0
    ideal = inside.min(0)
    lower, upper = boxes(inside, reference)
    free = np.prod(np.maximum(upper - np.maximum(lower, ideal), 0), 1).sum()
    return float(np.prod(reference - ideal) - free)


def thinned(front: Array) -> Array:
    """The front, or where it is longer than can be afforded its extremes and members spread evenly in between."""
    most = MOST_MEMBERS.get(front.shape[1], _FEW)
    if len(front) <= most:
        return front
    scale = np.ptp(front, 0)
    scaled = (front - front.min(0)) / np.where(scale > 0, scale, 1)
    if front.shape[1] == 2:
        along = np.argsort(scaled[:, 0])
        way = np.concatenate([[0], np.cumsum(np.abs(np.diff(scaled[along], axis=0)).sum(1))])
        nearest = np.searchsorted(way, np.linspace(0, way[-1], most) - 1e-12)
        along_it: Array = front[np.sort(along[np.unique(np.minimum(nearest, len(front) - 1))])]
        return along_it
    kept = list(dict.fromkeys(int(i) for i in scaled.argmin(0)))[:most]
    apart = np.min([((scaled - scaled[i]) ** 2).sum(1) for i in kept], 0)
    while len(kept) < most:
        kept.append(int(apart.argmax()))
        apart = np.minimum(apart, ((scaled - scaled[kept[-1]]) ** 2).sum(1))
    spread: Array = front[np.sort(kept)]
    return spread


def _boxes(front: Array, reference: Array) -> list[tuple[list[float], list[float]]]:
    """Slabs along the last objective, each cut by the members below it in the other objectives."""
    if front.shape[1] == 1:
        return [([-np.inf], [float(min([reference[0], *front[:, 0]]))])]
    front = front[np.argsort(front[:, -1], kind="stable")]
    edges = [-np.inf, *front[:, -1], float(reference[-1])]
    found = []
    for k in range(len(edges) - 1):
        low, high = float(edges[k]), float(edges[k + 1])
        if low < high:
            before = front[:k, :-1]
            # of one objective left only the least matters, which is cheap to find
            before = before[non_dominated(before)] if before.shape[1] > 1 else before
            for lower, upper in _boxes(before, reference[:-1]):
                found.append(([*lower, low], [*upper, high]))
    return found


def _below(edges: Array, mean: Array, sd: Array) -> Array:
    """(n, edges) of E[(edge − Y)⁺], zero at −∞."""
    finite = np.isfinite(edges)
    gap = np.where(finite, edges, 0.0) - mean[:, None]
    certain = sd == 0
    value = np.maximum(gap, 0)
    if not certain.all():
        spread = sd[~certain, None]
        z = gap[~certain] / spread
        value[~certain] = gap[~certain] * ndtr(z) + spread * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    value[:, ~finite] = 0
    return value
