"""A study's trials as numbers: what is evaluated, under way, feasible, and not to be proposed again."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from advisor.search.acquisition import non_dominated
from advisor.search.points import Params
from advisor.search.tables import Describer, Judged, Table, joined, stacked
from advisor.search.told import Margins, meets

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Bools = NDArray[np.bool_]
_PARENTS = 12
_MOST_VIOLATED = 1e6
_NOTHING = Table((), (), {})


@dataclass(frozen=True)
class Past:
    """A study so far; n evaluated trials in order of their numbers, m objectives, all minimised."""

    signs: Array
    known: tuple[int, ...]
    done: Table
    values: Array
    """(n, m)"""
    feasible: Bools
    violation: Array
    """(n,) sum of what margins are above 0, each in units of its typical size."""
    learned: Mapping[str, tuple[Index, Array]]
    """By name of a constraint that nothing predicts: the trials that have it, and its values there."""
    running: Judged
    ids: frozenset[Hashable]

    def parents(self) -> list[Params]:
        """The parameters of the best trials: the feasible front, then the least violating."""
        good = np.flatnonzero(self.feasible)
        front = good[non_dominated(self.values[good])] if len(good) else good
        rest = np.setdiff1d(np.argsort(self.violation, kind="stable")[:_PARENTS], front)
        return [self.done.rows[i] for i in [*front, *rest[: max(0, _PARENTS - len(front))]]]


@dataclass
class History:
    """What is kept of one study's finished trials between proposals, in order, and the whole parameter sets of those
    under way."""

    plans: dict[int, dict[str, Any]] = field(default_factory=dict)
    _numbers: list[int] = field(default_factory=list)
    _table: Table = _NOTHING
    _told: list[dict[str, float]] = field(default_factory=list)
    """What each trial was told of its constraints."""
    _told_values: list[list[float]] = field(default_factory=list)
    _judged: list[Judged] = field(default_factory=list)
    """What callables say of the trials, in pieces as they came."""
    _closed: dict[int, Hashable] = field(default_factory=dict)
    """Ids of trials that will have no values."""

    def forget_costs(self) -> None:
        self._judged.clear()

    def forget_descriptions(self) -> None:
        self._numbers.clear()

    def read(
        self, describer: Describer, study: Study, trials: Sequence[FrozenTrial], whole: Collection[frozenset[str]],
        risk: float,
    ) -> Past:  # fmt: skip
        """The study's trials, the one to propose for left out.

        `whole` are the sets of names that make a candidate: trials that did not finish may have fewer, and then
        cannot be told from others.
        """
        signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
        done: list[FrozenTrial] = []
        running, closed = [], []
        held = set(self._numbers)
        for trial in trials:
            if trial.number in held:
                done.append(trial)
            elif trial.state == TrialState.COMPLETE:
                if trial.params and all(map(math.isfinite, trial.values)):
                    done.append(trial)
                elif trial.params:
                    closed.append((trial.number, trial.params))
            elif trial.state == TrialState.RUNNING:
                plan = self.plans.get(trial.number)
                params = {**(plan or {}), **trial.params}
                if (plan and len(params) == len(plan)) or frozenset(params) in whole:
                    running.append(params)
            else:
                params = trial.system_attrs.get("fixed_params", {}) | trial.params
                if frozenset(params) in whole:
                    closed.append((trial.number, params))
        self._learn(describer, done, closed, signs)
        judged = joined(self._judged) if self._judged else describer.judged(self._table, signs)
        known = tuple(sorted(describer.oracle.known))
        values = signs * np.array(self._told_values, float).reshape(len(done), len(signs))
        for column, objective in enumerate(known):
            certain = judged.cost_sd[:, column] == 0
            values[certain, objective] = judged.cost[certain, column]
        under_way = describer.judged(describer.table(running), signs)
        ids = frozenset({*self._table.ids, *(self._closed[n] for n, _ in closed), *under_way.table.ids})
        return Past(signs, known, self._table, values, *self._limits(judged.margins, risk), under_way, ids)

    def _learn(
        self, describer: Describer, done: Sequence[FrozenTrial], closed: Sequence[tuple[int, Params]], signs: Array
    ) -> None:
        """Ask of trials what is not kept yet, all in one go."""
        numbers = [trial.number for trial in done]
        if numbers[: len(self._numbers)] != self._numbers or not self._numbers:
            # parallel workers finish in any order: an earlier one that comes in late changes what is where
            self._numbers, self._table = [], _NOTHING
            for kept in (self._told, self._told_values, self._judged):
                kept.clear()
        if new := done[len(self._numbers) :]:
            more = describer.table([trial.params for trial in new])
            held = self._table
            tables = [held, more] if len(held) else [more]
            self._table = Table([*held.rows, *more.rows], [*held.ids, *more.ids], stacked(tables))
            self._told += [dict(trial.constraints) for trial in new]
            self._told_values += [list(trial.values) for trial in new]
            if self._numbers and self._judged:
                self._judged = [joined([*self._judged, describer.judged(more, signs)])]
            self._numbers = numbers
        if not self._judged and len(self._table):
            self._judged = [describer.judged(self._table, signs)]
        late = [(number, params) for number, params in closed if number not in self._closed]
        ids = describer.oracle.ids([params for _, params in late])
        self._closed.update(zip((number for number, _ in late), ids, strict=True))

    def _limits(self, predicted: Margins, risk: float) -> tuple[Bools, Array, dict[str, tuple[Index, Array]]]:
        """What a trial was told of its constraints stands, what it was not told is as probable as predicted."""
        n = len(self._told)
        feasible, violation, probability = np.ones(n, bool), np.zeros(n), np.ones(n)
        learned = {}
        for name in sorted({*predicted.names, *(name for one in self._told for name in one)}):
            mean, sd = np.full(n, -np.inf), np.zeros(n)
            if name in predicted.names:
                column = predicted.names.index(name)
                mean, sd = predicted.mean[:, column].copy(), predicted.sd[:, column].copy()
            seen = np.array([name in one for one in self._told])
            mean[seen], sd[seen] = [one[name] for one in self._told if name in one], 0.0
            feasible &= ~seen | (mean <= 0)
            probability *= np.where(seen, 1.0, meets(mean, sd))
            finite = np.isfinite(mean)
            size = float(np.median(np.abs(mean[finite]))) if finite.any() else 1.0
            violation += np.clip(mean / (size or 1.0), 0, _MOST_VIOLATED)
            if name not in predicted.names and (index := np.flatnonzero(seen & finite)).size:
                learned[name] = index, mean[index]
        return feasible & (probability >= risk), violation, learned
