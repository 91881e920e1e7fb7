"""The points that no other point dominates, fast enough for every evaluation of a large run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
BLOCK = 512
"""Points compared at once where there are more than three objectives: keeps the comparison within a few MB."""


def non_dominated(points: Sequence[Sequence[float]] | Points) -> list[int]:
    """Indexes, rising, of the points no other point dominates (minimisation); of equal points the first.

    O(n log n) for up to three objectives; beyond, every point is compared with those kept, block by block.
    """
    count = len(points)
    rows = np.asarray(points, dtype=float).reshape(count, -1) if count else np.empty((0, 1))
    objectives = rows.shape[1]
    if count < 2 or not objectives:
        return list(range(min(count, 1)))
    # stable, so that of equal points the first comes first; a point can only be dominated by one before it
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    if objectives == 1:
        places = np.array([0])
    elif objectives == 2:
        least = np.minimum.accumulate(ordered[:, 1])
        places = np.concatenate(([0], 1 + np.flatnonzero(ordered[1:, 1] < least[:-1])))
    elif objectives == 3:
        places = _swept(ordered)
    else:
        places = _compared(ordered)
    return sorted(int(index) for index in order[places])


def _swept(rows: Points) -> NDArray[np.intp]:
    """Places kept of rows sorted by three objectives: the second and third of those kept so far form a staircase."""
    second: list[float] = []
    third: list[float] = []  # falls where `second` rises
    kept = []
    for place, (y, z) in enumerate(zip(rows[:, 1].tolist(), rows[:, 2].tolist(), strict=True)):
        at = bisect_right(second, y)
        if at and third[at - 1] <= z:
            continue
        end = at
        while end < len(third) and third[end] >= z:
            end += 1
        second[at:end] = [y]
        third[at:end] = [z]
        kept.append(place)
    return np.array(kept)


def _compared(rows: Points) -> NDArray[np.intp]:
    """Places kept of sorted rows: each block against those kept before it, then within itself."""
    kept: list[NDArray[np.intp]] = []
    archive = np.empty((0, rows.shape[1]))
    for start in range(0, len(rows), BLOCK):
        places = np.arange(start, min(start + BLOCK, len(rows)))
        for first in range(0, len(archive), 8 * BLOCK):
            places = places[~_covers(archive[first : first + 8 * BLOCK], rows[places]).any(axis=1)]
        own = _covers(rows[places], rows[places])
        places = places[~np.tril(own, -1).any(axis=1)]
        kept.append(places)
        archive = np.concatenate((archive, rows[places]))
    return np.concatenate(kept)


def _covers(points: Points, rows: Points) -> NDArray[np.bool_]:
    """(rows, points): whether the point is at least as good as the row everywhere."""
    found = np.ones((len(rows), len(points)), dtype=bool)
    for axis in range(points.shape[1]):
        found &= points[:, axis] <= rows[:, axis, None]
    return found
