"""The sampler over a real search space: costs and limits as the cost model says, features and ids of networks."""

from pathlib import Path

import numpy as np
import optuna
import pytest

from advisor.search import KnownCostSampler
from advisor.search.acquisition import hypervolume
from advisor.search.costing import Pricer
from advisor.search.prospects import Ask, Prospects, size_features
from advisor.search.study import anchors
from advisor.space.families import Ints
from advisor.space.search_space import deployed_network, search_space
from cost_models.analytic import AnalyticModel
from specs.spec import parse_spec

SPEC = """
schema: 1
name: t
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
limits: {latency: {max: 60 ms}, peak_ram: {max: 200 KiB, counts: model}, accuracy: {min: 0.5}}
objectives: [accuracy, latency]
risk: {feasible_probability: 0.9}
search: {architectures: [dscnn, mobilenet, resnet], quantization: [int8]}
"""


@pytest.fixture(scope="module")
def spec():
    return parse_spec(SPEC, folder=Path("."))


@pytest.fixture(scope="module")
def prospects(spec):
    space = search_space(spec, spec.targets[0], ((32, 32, 3), (24, 24, 3)), 10)
    return Prospects(space, Pricer(spec, AnalyticModel(), 10))


def sampler_of(prospects, spec):
    return KnownCostSampler(
        known={1: Ask(lambda rows: prospects.costs(rows, "latency"))},
        features=Ask(prospects.features),
        constraints=Ask(prospects.limits),
        canonical=Ask(prospects.ids),
        floors={0: spec.limit("accuracy").bound},
        risk=spec.feasible_probability,
        n_startup_trials=8,
        seed=0,
    )


def suggested(trial, space):
    values = {}
    for dimension in space.common():
        values[dimension.name] = suggest(trial, dimension)
    for dimension in space.dimensions(values["architecture"]):
        values[dimension.name] = suggest(trial, dimension)
    return values


def suggest(trial, dimension):
    if isinstance(dimension, Ints):
        return trial.suggest_int(dimension.name, dimension.low, dimension.high, step=dimension.step)
    return trial.suggest_categorical(dimension.name, dimension.values)


def accuracy(prospects, values):
    """Made up: grows with weights and arithmetic, each to a limit."""
    weights, macs, *_ = size_features(deployed_network(prospects.candidate(values), 10))
    return 1 - np.exp(-weights / 6) - np.exp(-macs / 8)


def searched(prospects, sampler, n, batch=3):
    """(n,) values of what a study with the space's anchors evaluates in batches, and their limits."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for values in anchors(prospects.space):
        study.enqueue_trial(values)
    rows = []
    while len(rows) < n:
        asked = [study.ask() for _ in range(batch)]
        for trial, values in [(trial, suggested(trial, prospects.space)) for trial in asked]:
            told = accuracy(prospects, values)
            trial.set_constraint("accuracy", 0.5 - told)
            study.tell(trial, (told, prospects.costs([values], "latency")[0]))
            rows.append(values)
    return rows[:n]


def test_proposals_meet_predicted_limits_and_no_network_comes_twice(prospects, spec):
    rows = searched(prospects, sampler_of(prospects, spec), 18)
    own = rows[len(list(anchors(prospects.space))) :]
    for limits in prospects.limits(own):
        assert all(mean + 1.28 * sd <= 1e-9 for mean, sd in limits.values())
    assert len(set(prospects.ids(rows))) == 18


def test_it_reaches_more_than_random_proposals_within_the_limits(prospects, spec):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    random = [suggested(study.ask(), prospects.space) for _ in range(400)]
    drawn = [row for row in random if all(m <= 0 for m, _ in prospects.limits([row])[0].values())]

    def reached(rows):
        points = [(-accuracy(prospects, row), prospects.costs([row], "latency")[0]) for row in rows
                  if all(mean <= 0 for mean, _ in prospects.limits([row])[0].values())]  # fmt: skip
        return hypervolume(np.array(points), np.array([-0.5, np.log(60.0)]))

    assert reached(searched(prospects, sampler_of(prospects, spec), 24)) > reached(drawn[:24])
