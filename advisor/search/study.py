"""One Optuna study a target, derived from the ledger: asks for candidates, is told what they cost and reach."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from advisor.candidate import Candidate, Value
from advisor.evaluation import OBJECTIVE_METRIC
from advisor.score import Margin
from advisor.space.families import Dimension, Ints
from advisor.space.search_space import SearchSpace
from cost_models.estimate import Estimate

STARTUP_TRIALS = 12


@dataclass(frozen=True)
class Asked:
    """A proposal: its trial number, the values of the dimensions, the candidate they make."""

    number: int
    params: Mapping[str, Value]
    candidate: Candidate


class TargetStudy:
    """Ask/tell over one target's space.

    The sampler is seeded anew for every trial from (seed, target, number): a resumed run proposes what the
    uninterrupted one would have. What it is told of costs are predictions, which are repeatable; measurements
    decide the front, not the order of proposals.
    """

    def __init__(self, space: SearchSpace, objectives: Sequence[str], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.objectives, self._seed = space, tuple(objectives), seed
        best = optuna.study.StudyDirection
        directions = [best.MAXIMIZE if name == "accuracy" else best.MINIMIZE for name in objectives]
        self._study = optuna.create_study(directions=directions, sampler=self._sampler(0))
        self._open: dict[int, optuna.Trial] = {}
        self._anchors = list(anchors(space))

    @property
    def told(self) -> int:
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL)))

    def ask(self) -> Asked:
        """The next proposal; the first ones are the space's anchors."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._sampler(number)
        if number < len(self._anchors):
            self._study.enqueue_trial(self._anchors[number])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # group and multivariate are marked experimental
            trial = self._study.ask()
            values = self._suggest(trial)
        self._open[trial.number] = trial
        return Asked(trial.number, values, self.space.candidate(values))

    def tell(self, asked: Asked, values: Sequence[float] | None, constraints: Mapping[str, float]) -> dict[str, Any]:
        """Finish a trial; None for values is a failure. Returns the row that `restore` reads."""
        trial = self._open.pop(asked.number)
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        if values is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, list(values))
        data = {
            "values": None if values is None else list(values),
            "constraints": dict(constraints),
            "candidate": asked.candidate.id,
        }
        return {"target": self.space.target.id, "number": asked.number, "params": dict(asked.params), "data": data}

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rebuild the study from the ledger's trials."""
        for row in rows:
            distributions = self._distributions(row["params"])
            values = row["data"]["values"]
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.FAIL if values is None else TrialState.COMPLETE,
                    values=values,
                    params=dict(row["params"]),
                    distributions=distributions,
                    constraints=row["data"]["constraints"] or None,
                )
            )

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        text = f"{self._seed}/{self.space.target.id}/{number}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
            )

    def _suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for dimension in self._dimensions(values):
            values[dimension.name] = _suggested(trial, dimension)
        return values

    def _dimensions(self, values: Mapping[str, Value]) -> Iterator[Dimension]:
        yield from self.space.common()
        yield from self.space.dimensions(str(values["architecture"]))

    def _distributions(self, params: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        return {dimension.name: _distribution(dimension) for dimension in self._dimensions(params)}


def anchors(space: SearchSpace) -> Iterator[dict[str, Value]]:
    """Where the search starts: every architecture in the middle of its ranges, then small, unpruned, both once with
    the smallest and the largest precision."""
    for share, quantization in ((0.5, space.quantization[-1]), (0.15, space.quantization[0])):
        for architecture in space.architectures:
            values: dict[str, Value] = {"architecture": architecture, "shape": 0, "quantization": quantization}
            for dimension in space.dimensions(architecture):
                grid = dimension.grid()
                at = round(share * (len(grid) - 1)) if isinstance(dimension, Ints) else 0
                values[dimension.name] = grid[at]
            yield values


def objective_values(objectives: Sequence[str], metrics: Mapping[str, Estimate]) -> list[float] | None:
    """Values for `tell`, None when one is absent."""
    values = [metrics[OBJECTIVE_METRIC[name]].value for name in objectives]
    return None if any(value is None for value in values) else [float(value) for value in values if value is not None]


def constraint_values(found: Sequence[Margin]) -> dict[str, float]:
    """Named constraints for Optuna: hard limits' margins, ≤ 0 feasible; absent figures constrain nothing."""
    return {margin.limit: margin.value for margin in found if not margin.soft and margin.value is not None}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Ints):
        return IntDistribution(dimension.low, dimension.high, step=dimension.step)
    return CategoricalDistribution(dimension.values)


def _suggested(trial: optuna.Trial, dimension: Dimension) -> Value:
    if isinstance(dimension, Ints):
        return trial.suggest_int(dimension.name, dimension.low, dimension.high, step=dimension.step)
    value: Value = trial.suggest_categorical(dimension.name, dimension.values)  # type: ignore[assignment]
    return value
