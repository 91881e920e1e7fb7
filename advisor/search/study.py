"""One Optuna study a target, derived from the ledger: asks for candidates, is told what they cost and reach."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from advisor.candidate import Candidate, Value
from advisor.evaluation import OBJECTIVE_METRIC
from advisor.score import Margin
from advisor.search.costing import Pricer
from advisor.search.known_cost import KnownCostSampler
from advisor.search.prospects import SMALL, Ask, Prospects
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

    Its sampler knows every candidate's costs and models accuracy alone, unless another one is given. `first` are the
    values it begins with: by default the space's anchors, none with another sampler. Proposals follow
    from (seed, target, trial number) and the trials told: a resumed run proposes what the uninterrupted one would have.
    What is told of costs are the logarithms of predictions, which are repeatable; measurements correct the cost model
    and decide the front.
    """

    def __init__(
        self, prospects: Prospects, objectives: Sequence[str], seed: int,
        sampler: optuna.samplers.BaseSampler | None = None, first: Iterable[Mapping[str, Value]] | None = None,
    ) -> None:  # fmt: skip
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.prospects, self.space, self.objectives = prospects, prospects.space, tuple(objectives)
        text = f"{seed}/{self.space.target.id}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        self._sampler = sampler or _known_cost_sampler(prospects, self.objectives, seed)
        best = optuna.study.StudyDirection
        directions = [best.MAXIMIZE if name == "accuracy" else best.MINIMIZE for name in objectives]
        self._study = optuna.create_study(directions=directions, sampler=self._sampler)
        self._open: dict[int, optuna.Trial] = {}
        if first is None:
            first = () if sampler else anchors(self.space)
        self._first = [dict(values) for values in first]

    @property
    def told(self) -> int:
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL)))

    def ask(self) -> Asked:
        """The next proposal."""
        number = len(self._study.get_trials(deepcopy=False))
        if number < len(self._first):
            self._study.enqueue_trial(self._first[number])
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

    def recalibrated(self, pricer: Pricer) -> None:
        """Price candidates by another cost model from here on."""
        self.prospects.recalibrated(pricer)
        if isinstance(self._sampler, KnownCostSampler):
            self._sampler.recalibrated()

    def exported(self, candidate: Candidate, metrics: Mapping[str, Estimate]) -> None:
        """What the file tells of a candidate that only its export could price."""
        self.prospects.exported(candidate, dict(metrics))
        if isinstance(self._sampler, KnownCostSampler):
            self._sampler.recalibrated()

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
    for share, at in ((0.5, -1), (0.15, 0)):
        for architecture in space.architectures:
            # a model that was brought is first tried as it is
            quantization = space.quantization[-1 - at if architecture.startswith("model:") else at]
            values: dict[str, Value] = {"architecture": architecture, "shape": 0, "quantization": quantization}
            for dimension in space.dimensions(architecture):
                grid = dimension.grid()
                at = round(share * (len(grid) - 1)) if isinstance(dimension, Ints) else 0
                values[dimension.name] = grid[at]
            yield values


def objective_values(objectives: Sequence[str], metrics: Mapping[str, Estimate]) -> list[float] | None:
    """Values for `tell`: accuracy as it is, costs by their logarithm; None when one is absent."""
    found: list[float] = []
    for name in objectives:
        value = metrics[OBJECTIVE_METRIC[name]].value
        if value is None:
            return None
        found.append(float(value) if name == "accuracy" else math.log(max(float(value), SMALL)))
    return found


def _known_cost_sampler(prospects: Prospects, objectives: Sequence[str], seed: int) -> KnownCostSampler:
    known = {i: Ask(partial(prospects.costs, objective=name)) for i, name in enumerate(objectives)
             if name != "accuracy"}  # fmt: skip
    return KnownCostSampler(
        known=known, features=Ask(prospects.features), constraints=Ask(prospects.limits), canonical=Ask(prospects.ids),
        seed=seed, risk=prospects.pricer.spec.feasible_probability, n_startup_trials=STARTUP_TRIALS,
    )  # fmt: skip


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
