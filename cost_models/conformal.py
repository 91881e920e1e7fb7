"""Intervals that hold: how wide they must be is read off errors on what was held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9


def quantile(scores: Sequence[float] | NDArray[np.float64], coverage: float = COVERAGE) -> float:
    """The score that a new one stays below with this probability; with few scores the largest, NaN without any.

    The rank is that of split conformal prediction, ceil((n + 1) x coverage), which accounts for the finite sample.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    ordered = ordered[~np.isnan(ordered)]
    if not len(ordered):
        return float("nan")
    return float(ordered[min(len(ordered), int(np.ceil((len(ordered) + 1) * coverage))) - 1])


def grouped_quantile(scores: NDArray[np.float64], coverage: float = COVERAGE) -> float:
    """The quantile with every column (a network, a board) weighing the same; scores (n, groups), NaN where absent.

    Errors of one group are alike: taken as independent they would promise too much.
    """
    weights = np.where(np.isnan(scores), 0.0, 1.0)
    per = weights.sum(axis=0)
    weights = weights / np.where(per > 0, per, 1.0)
    kept = ~np.isnan(scores)
    order = np.argsort(scores[kept])
    values, share = scores[kept][order], np.cumsum(weights[kept][order])
    if not len(values):
        return float("nan")
    groups = int((per > 0).sum())
    wanted = min(coverage * (groups + 1) / groups, 1.0) * share[-1]
    return float(values[min(int(np.searchsorted(share, wanted - 1e-12)), len(values) - 1)])
