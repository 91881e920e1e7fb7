"""A table of trained cells as a search task: candidates, what is reached, latency known or learned, samplers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cell_graphs
import cells as cell_tools
import cost_few_shot
import numpy as np
import optuna
from numpy.typing import NDArray

from advisor.search import KnownCostSampler
from advisor.search.acquisition import hypervolume
from cost_models.transfer import TransferModel

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Figures = dict[str, dict[str, float]]
"""`hv` and `regret30`, each by number of evaluations."""
FLOOR = 60.0
"""Accuracy in percent below which a cell is useless."""
BASELINES = {
    "tpe": "TPE, multivariate",
    "tpe-default": "TPE (Optuna's default)",
    "nsga2": "NSGA-II, population 50",
    "nsga2-20": "NSGA-II, population 20",
    "random": "random",
}
_SLACK, _CLIP, _TIGHT = 0.05, 0.01, 0.30


@dataclass
class Space:
    """The table's cells as candidates: parameters, row numbers, classes, features."""

    cells: cell_tools.Codes

    def __post_init__(self) -> None:
        names = [[cell_tools.OPERATORS[code] for code in cell] for cell in self.cells]
        self.rows = [dict(zip(cell_tools.EDGES, row, strict=True)) for row in names]
        self._at = {tuple(row): i for i, row in enumerate(names)}
        self._classes = cell_graphs.classes(self.cells)
        self._groups = cell_graphs.features(self.cells)

    def index(self, params: Mapping[str, Any]) -> int:
        """The cell's row; KeyError where the table does not have it."""
        return self._at[tuple(params[edge] for edge in cell_tools.EDGES)]

    def canonical(self, params: Mapping[str, Any]) -> Hashable:
        return self._classes[self.index(params)]

    def features(self, params: Mapping[str, Any]) -> dict[str, Array]:
        at = self.index(params)
        return {name: block[at] for name, block in self._groups.items()}


@dataclass
class Task:
    """One device: what is reached is judged by measured latency."""

    accuracy: Array
    """Percent."""
    latency: Array
    """ms."""

    def __post_init__(self) -> None:
        self.log = np.log(np.maximum(self.latency, np.quantile(self.latency, _CLIP)))
        order = np.lexsort((-self.accuracy, self.log))
        ahead = np.maximum.accumulate(self.accuracy[order])
        front = order[np.flatnonzero(np.diff(ahead, prepend=-np.inf) > 0)]
        self._worst = np.array([-FLOOR, self.log[front[-1]] + _SLACK])
        self._all = self._volume(front)
        self._tight = self.latency <= np.quantile(self.latency, _TIGHT)

    def _volume(self, cells: Index) -> float:
        return hypervolume(np.column_stack([-self.accuracy[cells], self.log[cells]]), self._worst)

    def hv(self, cells: Index) -> float:
        return self._volume(cells) / self._all

    def regret(self, cells: Index) -> float:
        """Percent points; the whole of the best accuracy where no cell within the limit was evaluated."""
        return float(self.accuracy[self._tight].max() - self.accuracy[cells][self._tight[cells]].max(initial=0.0))

    def figures(self, cells: Index, counts: Iterable[int]) -> Figures:
        found: Figures = {"hv": {}, "regret30": {}}
        for n in counts:
            found["hv"][str(n)], found["regret30"][str(n)] = self.hv(cells[:n]), self.regret(cells[:n])
        return found


class ExactLatency:
    """Log latency of a candidate as measured."""

    def __init__(self, space: Space, log: Array) -> None:
        self._space, self._log = space, log

    def __call__(self, params: Mapping[str, Any]) -> float:
        return float(self._log[self._space.index(params)])

    def told(self, cell: int) -> bool:
        """Whether knowing this cell's measurement changes predictions."""
        return False


class FewShotLatency:
    """Log latency as the transfer model predicts it, measured cells exactly."""

    def __init__(
        self, space: Space, latency: Array, bench: cost_few_shot.Bench, device: str, n: int, seed: int
    ) -> None:
        self._space, self._latency = space, latency
        chosen, names, self._model = cost_few_shot.sample_and_fit(bench, device, n, "designed", seed)
        self._sources, self._features = bench.predicted(names), bench.features
        self._prior = self._model.prior
        self.measured = [int(i) for i in chosen]
        self._predict()

    def told(self, cell: int) -> bool:
        """The cell's latency was measured: fit anew."""
        if cell in self.measured:
            return False
        self.measured.append(cell)
        at = np.array(self.measured)
        self._model = TransferModel.fit(self._prior, self._sources[at], self._features[at], self._latency[at])
        self._predict()
        return True

    def _predict(self) -> None:
        self._mean, self._sd = self._model.predict_log(self._sources, self._features)
        low = np.quantile(self._mean, _CLIP)
        at = np.array(self.measured)
        self._mean[at], self._sd[at] = np.log(self._latency[at]), 0.0
        self._mean = np.maximum(self._mean, low)

    def __call__(self, params: Mapping[str, Any]) -> tuple[float, float]:
        at = self._space.index(params)
        return float(self._mean[at]), float(self._sd[at])

    def many(self, rows: Sequence[Mapping[str, Any]]) -> Array:
        if rows is self._space.rows:
            return np.column_stack([self._mean, self._sd])
        at = [self._space.index(row) for row in rows]
        return np.column_stack([self._mean[at], self._sd[at]])


def ours(space: Space, task: Task, latency: ExactLatency | FewShotLatency, budget: int, seed: int) -> Index:
    """(budget,) the cells evaluated, in order."""
    sampler = KnownCostSampler(
        known={1: latency}, features=space.features, canonical=space.canonical, floors={0: FLOOR},
        candidates=space.rows, seed=seed,
    )  # fmt: skip

    def after(cell: int) -> None:
        if latency.told(cell):
            sampler.recalibrated()

    return run(sampler, space, task, budget, after)


def run(
    sampler: optuna.samplers.BaseSampler,
    space: Space,
    task: Task,
    budget: int,
    after: Callable[[int], None] | None = None,
) -> Index:
    """(budget,) the cells a study of the sampler evaluated; `after` is called with each."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    cells: list[int] = []
    while len(cells) < budget:
        trial = study.ask()
        params = {edge: trial.suggest_categorical(edge, cell_tools.OPERATORS) for edge in cell_tools.EDGES}
        try:
            cell = space.index(params)
        except KeyError:
            # not in the table: no evaluation, and a sampler that does not know the table may well ask for it
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, (float(task.accuracy[cell]), float(task.log[cell])))
        cells.append(cell)
        if after is not None:
            after(cell)
    return np.array(cells)


def baseline(name: str, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is marked experimental
        if name.startswith("tpe"):
            return optuna.samplers.TPESampler(seed=seed, multivariate=name == "tpe")
        if name.startswith("nsga2"):
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=20 if name == "nsga2-20" else 50)
        return optuna.samplers.RandomSampler(seed=seed)


def mean(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> Figures:
    return {
        name: {n: float(np.mean([row[name][n] for row in rows])) for n in rows[0][name]} for name in ("hv", "regret30")
    }
