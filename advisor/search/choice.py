"""Which candidate is next: spread out at first, then by expected hypervolume gain within what is probably feasible."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from advisor.search.acquisition import expected_gain, non_dominated
from advisor.search.history import Past
from advisor.search.outlook import Model, Outlook
from advisor.search.tables import Judged, Layout, Table
from advisor.search.told import meets

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_NEAREST = 0.03
"""Of the candidates: how many around the wanted cost compete for being unlike what was tried."""
_TIED = 1e-3
"""Weight of the gain among candidates that are equally probable to be feasible."""
_BEYOND = 0.3
"""Of the front's range, where no floor says how far values matter: with less the front's cheap end is cut off."""
_GOLDEN = (5**0.5 - 1) / 2


def design(judged: Judged, past: Past, layout: Layout, open_: Index, risk: float, floors: Mapping[int, float],
           offset: float, at: int) -> int:  # fmt: skip
    """One of the first proposals: feasible as far as is known, at the `at`-th place of an even sequence along the
    first known objective, and of the candidates there the one least like all others tried."""
    able = _able(judged, open_, risk)
    if judged.cost.shape[1]:
        objective = next(j for j in range(len(past.signs)) if j in past.known)
        cost = judged.cost[able, 0]
        if objective in floors and (inside := cost <= floors[objective]).any():
            able, cost = able[inside], cost[inside]
        order = np.argsort(cost, kind="stable")
        share = (offset + at * _GOLDEN) % 1.0
        most = max(5, round(_NEAREST * len(able)))
        first = int(np.clip(round(share * len(able)) - most // 2, 0, max(0, len(able) - most)))
        able = able[order[first : first + most]]
    tried = [layout.inputs(table) for table in (past.done, past.running.table) if len(table)]
    if not tried:
        return int(able[int(offset * len(able))])
    apart = np.zeros((len(able), sum(len(groups[0]) for groups in tried)))
    for g, mine in enumerate(layout.inputs(judged.table.at(able))):
        others = np.concatenate([groups[g] for groups in tried])
        span = np.ptp(np.concatenate([mine, others]), 0)
        # groups weigh alike, however many columns they have
        scale = np.where(span > 0, span, 1) * mine.shape[1] ** 0.5
        apart += ((mine[:, None] / scale - others / scale) ** 2).sum(2)
    return int(able[int(apart.min(1).argmax())])


def cheapest(judged: Judged, open_: Index, risk: float) -> Index:
    """Of the open candidates with one id the one that costs least, of those that may be chosen at all; all of them
    where ids are not numbered or known objectives may disagree."""
    kinds = judged.table.kinds
    if kinds is None or judged.cost.shape[1] != 1:
        return open_
    order = open_[np.lexsort((judged.cost[open_, 0], judged.probability[open_] < risk, kinds[open_]))]
    first = np.flatnonzero(np.diff(kinds[order], prepend=-1))
    return np.sort(order[first])


def _able(judged: Judged, open_: Index, risk: float) -> Index:
    """The open candidates that meet predicted limits with enough probability; where none does, the most probable."""
    probability = judged.probability[open_]
    enough = probability >= risk
    able: Index = open_[enough if enough.any() else probability >= probability.max() - 1e-9]
    return able


class Chooser:
    """Scores candidates for one proposal: models, front and reference are those of the moment."""

    def __init__(
        self, outlook: Outlook, past: Past, layout: Layout, floors: Mapping[int, float], risk: float, judged: Judged,
        open_: Index,
    ) -> None:  # fmt: skip
        self._past, self._layout, self._risk = past, layout, risk
        done, running = layout.inputs(past.done), layout.inputs(past.running.table)
        self._models: dict[int, Model] = {}
        believed = np.zeros((len(past.running.table), len(past.signs)))
        believed[:, list(past.known)] = past.running.cost
        for objective in set(range(len(past.signs))) - set(past.known):
            model = outlook.model(f"objective {objective}", done, past.values[:, objective], floors.get(objective))
            believed[:, objective] = model.predict(running)[0]
            self._models[objective] = model.believing(running)
        self._limits = [
            outlook.model(f"constraint {name}", [group[index] for group in done], values, None).believing(running)
            for name, (index, values) in sorted(past.learned.items())
        ]
        self._found = bool(past.feasible.any())
        expected = believed[past.running.probability >= risk]
        self._front = np.concatenate([past.values[past.feasible], expected])
        self._reference = self._worst(floors, judged.cost[_able(judged, open_, risk)])
        self._size: float | None = None
        self._violated: bool | None = None

    def score(self, judged: Judged, open_: Index) -> Array:
        """(open candidates,) the higher the better, comparable between calls."""
        gain = self._gain(judged, open_)
        if self._size is None:
            self._size = float(gain.max()) or 1.0
        likely, excess = self._probability(judged, open_)
        predicted = judged.probability[open_]
        if self._found:
            # what is too improbable to meet its limits is chosen only where nothing else is left
            return np.where(predicted >= self._risk, gain * likely / self._size, predicted - 2)
        if self._violated is None:
            self._violated = not float(likely.max()) > 1e-6
        if self._violated:
            return -excess
        tied: Array = likely + _TIED * gain / (gain + self._size)
        return tied

    def _gain(self, judged: Judged, open_: Index) -> Array:
        mean, sd = np.zeros((2, len(open_), len(self._past.signs)))
        mean[:, list(self._past.known)] = judged.cost[open_]
        sd[:, list(self._past.known)] = judged.cost_sd[open_]
        if self._models:
            groups, back = self._inputs(judged.table, open_)
            for objective, model in self._models.items():
                told = model.predict(groups)
                mean[:, objective], sd[:, objective] = told[0][back], told[1][back]
        gain = expected_gain(mean, sd, self._front, self._reference)
        if gain.max() > 0:
            return gain
        # nothing is expected to help: what comes nearest to the best of all objectives, each in its own spread
        spread = np.ptp(mean, 0)
        near: Array = np.exp(-((mean - mean.min(0)) / np.where(spread > 0, spread, 1)).sum(1)) * 1e-12
        return near

    def _inputs(self, table: Table, open_: Index) -> tuple[list[Array], Index]:
        """Inputs of the open candidates, equal ones once, and where each stands there."""
        groups = self._layout.inputs(table)
        if table.alike is None or self._layout.gaps:
            return [group[open_] for group in groups], np.arange(len(open_))
        _, first, back = np.unique(table.alike[open_], return_index=True, return_inverse=True)
        return [group[open_[first]] for group in groups], back

    def _probability(self, judged: Judged, open_: Index) -> tuple[Array, Array]:
        """(open,) of meeting all limits, and the sum of expected violations in units of each limit's spread."""
        mean, sd = judged.margins.mean[open_], judged.margins.sd[open_]
        if self._limits:
            groups, back = self._inputs(judged.table, open_)
            learned = [model.predict(groups) for model in self._limits]
            mean = np.column_stack([mean, *(m[back] for m, _ in learned)])
            sd = np.column_stack([sd, *(s[back] for _, s in learned)])
        if not mean.shape[1]:
            return np.ones(len(open_)), np.zeros(len(open_))
        finite = np.where(np.isfinite(mean), mean, 0)
        size = np.median(np.abs(finite), 0)
        excess = np.maximum(finite, 0) / np.where(size > 0, size, 1)
        return np.prod(meets(mean, sd), 1), np.where(np.isposinf(mean).any(1), np.inf, excess.sum(1))

    def _worst(self, floors: Mapping[int, float], cost: Array) -> Array:
        """The corner hypervolume is measured from: floors where given. Known objectives reach as far as candidates do,
        so that a better but costlier one counts; unknown ones _BEYOND the worst of the front."""
        values = self._past.values
        front = self._front[non_dominated(self._front)] if len(self._front) else values
        # a front of one point spans nothing
        front = front if len(front) > 1 else values
        worst = np.zeros(values.shape[1])
        for objective in range(values.shape[1]):
            if objective in floors:
                worst[objective] = floors[objective]
            elif objective in self._past.known:
                column = cost[:, self._past.known.index(objective)]
                high = max(float(np.quantile(column, 0.99)), float(front[:, objective].max()))
                worst[objective] = high + 0.05 * ((high - float(column.min())) or abs(high) or 1.0)
            else:
                high, low = float(front[:, objective].max()), float(front[:, objective].min())
                worst[objective] = high + _BEYOND * ((high - low) or abs(high) or 1.0)
        return worst
