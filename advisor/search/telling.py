"""Which candidates' measurement tells most of a target's cost model, and when to measure. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cost_models.residual import NINETY, Networks, alike
from cost_models.workload import Workload
from specs.chip import Target

Array = NDArray[np.float64]
KEPT = 1 / 4
"""Share of the measurements kept for the front at the end."""
ROUND = 4
"""Measurements taken at once: each round re-scores everything."""
NOISE = 0.06
"""What one measurement repeats within, in natural logarithms."""
POOL = 300
"""Candidates looked at; of more, some at even distances beside the front."""


@dataclass(frozen=True)
class Known:
    """One evaluation with an exported file: its workload, predicted ms, half the 90 % interval in logarithms."""

    id: str
    workload: Workload
    predicted_ms: float
    width: float
    on_front: bool
    measured: bool


def due(budget: int, taken: int, progress: float) -> int:
    """Measurements to take now of `budget`, at the share `progress` of the search: many early, where a better model
    helps most, `KEPT` of them not before the end. 0, or at least a round's worth until then."""
    during = math.floor(budget * (1 - KEPT))
    wanted = math.floor(during * math.sqrt(min(1.0, max(0.0, progress))) + 1e-9) - taken
    return wanted if wanted >= (1 if progress >= 1 else max(1, min(ROUND, during))) else 0


def most_telling(known: Sequence[Known], count: int, target: Target) -> list[str]:
    """Ids of up to `count` unmeasured ones, most telling first: by turns a member of the front and any.

    Each is the one whose measurement takes most of the uncertainty off all of them (the variance of a Gaussian process
    on the parts that networks' time is made of, wider where predictions are), front members counting for four.
    """
    pool = _pool(known)
    if not pool:
        return []
    networks = Networks.of([k.workload for k in pool], np.array([k.predicted_ms for k in pool]), target)
    deviation = np.clip([k.width / NINETY for k in pool], 0.03, 2.0)
    size = np.linalg.norm(networks.shares, axis=1)
    parts = networks.shares @ networks.shares.T / np.outer(size, size)
    together = (parts + alike(networks, networks)) / 2 * (0.5 + 0.5 * networks.same(networks))
    # a factor common to all is as uncertain as the surest prediction
    covariance = np.outer(deviation, deviation) * together + float(deviation.min()) ** 2
    weight = np.array([4.0 if k.on_front else 1.0 for k in pool])
    for i, k in enumerate(pool):
        if k.measured:
            covariance = _given(covariance, i)
    chosen: list[int] = []
    while len(chosen) < count:
        free = [i for i, k in enumerate(pool) if not k.measured and i not in chosen]
        front = [i for i in free if pool[i].on_front]
        some = front if front and len(chosen) % 2 == 0 else free
        if not some:
            break
        gain = (covariance[some] ** 2 @ weight) / (covariance[some, some] + NOISE**2)
        best = some[int(np.argmax(gain))]
        chosen.append(best)
        covariance = _given(covariance, best)
    return [pool[i].id for i in chosen]


def _given(covariance: Array, i: int) -> Array:
    """The covariance once one of them is measured."""
    return np.asarray(covariance - np.outer(covariance[:, i], covariance[i]) / (covariance[i, i] + NOISE**2))


def _pool(known: Sequence[Known]) -> list[Known]:
    usable = [k for k in known if math.isfinite(k.predicted_ms) and k.predicted_ms > 0]
    front: Collection[int] = {id(k) for k in usable if k.on_front}
    rest = [k for k in usable if id(k) not in front]
    count = max(0, POOL - len(front))
    even = {int(i) for i in np.linspace(0, len(rest) - 1, min(count, len(rest)))} if rest else set()
    return [k for k in usable if id(k) in front] + [rest[i] for i in sorted(even)]
