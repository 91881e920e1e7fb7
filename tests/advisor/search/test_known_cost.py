"""The sampler in Optuna's own test cases, and what it promises beyond them.

Of Optuna's cases SingleOnlySamplerTestCase does not apply: it wants an error for several objectives.
"""

import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import optuna
import pytest
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import TrialState
from sampler_samples import bowl, fast, points, price, study_with, two

from advisor.search import KnownCostSampler
from specs.errors import DataError, SpecError

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TestOptunasCases(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return fast


class TestOptunasCasesWithCallables(BasicSamplerTestCase, RelativeSamplerTestCase):
    """The same with an objective, limits and features that are known of every candidate."""

    @pytest.fixture
    def sampler(self):
        return lambda: fast(
            known={0: lambda params: (float(len(params)), 0.1)},
            constraints=lambda params: {"names": (len(params) - 3.0, 1.0)},
            features=lambda params: [len(params)] if len(params) % 2 else None,
        )


def share(study, n):
    """Of the true front's hypervolume within accuracy 0.5 and price 24, after n trials."""
    from advisor.search.acquisition import hypervolume

    worst = np.array([-0.5, 24.0])
    grid = [{"x": x, "y": y} for x in range(12) for y in range(12)]
    best = hypervolume(np.array([(-bowl(p), price(p)) for p in grid]), worst)
    seen = [trial.params for trial in study.trials[:n]]
    return hypervolume(np.array([(-bowl(p), price(p)) for p in seen]), worst) / best


def test_knowing_a_cost_finds_the_front_in_fewer_trials_than_optunas_best():
    ours, theirs = [], []
    for seed in range(3):
        study = study_with(KnownCostSampler(known={1: price}, seed=seed))
        study.optimize(two, n_trials=30)
        ours.append(share(study, 30))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = study_with(optuna.samplers.TPESampler(seed=seed, multivariate=True))
        study.optimize(two, n_trials=30)
        theirs.append(share(study, 30))
    assert np.mean(ours) > max(0.97, np.mean(theirs))


def test_the_same_seed_proposes_the_same_and_a_resumed_study_goes_on_as_it_would_have():
    runs = []
    for restart in (None, None, 12):
        study = study_with(fast(known={1: price}))
        study.optimize(two, n_trials=restart or 20)
        if restart:
            study.sampler = fast(known={1: price})
            study.optimize(two, n_trials=20 - restart)
        runs.append(points(study))
    assert runs[0] == runs[1] == runs[2]


def test_nothing_is_proposed_twice_until_everything_was():
    study = optuna.create_study(sampler=fast())

    def objective(trial):
        if trial.suggest_int("x", 0, 3) and trial.number == 5:
            raise optuna.TrialPruned
        if trial.suggest_categorical("y", ["a", "b", "c"]) and trial.number == 7:
            raise ValueError
        return trial.params["x"]

    study.optimize(objective, n_trials=12, catch=ValueError)
    assert len({tuple(sorted(t.params.items())) for t in study.trials if len(t.params) == 2}) >= 11
    study.optimize(objective, n_trials=2)
    assert len(study.trials) == 14


def test_no_isomorph_of_a_tried_candidate_is_proposed():
    def canonical(params):
        return frozenset((params["x"], params["y"]))

    study = study_with(fast(known={1: price}, canonical=canonical))
    study.optimize(two, n_trials=60)
    ids = [canonical(trial.params) for trial in study.trials]
    assert len(set(ids)) == 60


def test_of_isomorphs_the_cheapest_is_proposed():
    pool = [{"net": net, "spelling": spelling} for net in range(30) for spelling in range(5)]

    def latency(params):
        return 10.0 + params["net"] + (params["spelling"] - 2) ** 2

    def objective(trial):
        params = {"net": trial.suggest_int("net", 0, 29), "spelling": trial.suggest_int("spelling", 0, 4)}
        return math.sqrt(params["net"]), latency(params)

    sampler = fast(known={1: latency}, features=lambda p: [p["net"]], canonical=lambda p: p["net"], candidates=pool)
    study = study_with(sampler)
    study.optimize(objective, n_trials=15)
    chosen = [trial.params for trial in study.trials[4:]]
    assert all(params["spelling"] == 2 for params in chosen)
    assert len({params["net"] for params in chosen}) == len(chosen)


def test_predicted_limits_are_met_with_the_risk_asked_for():
    def limit(params):
        return {"ram": (price(params) - 12, 2.0)}

    # the mean must lie 1.28 deviations below the limit for 90 %
    study = study_with(fast(known={1: price}, constraints=limit, risk=0.9))
    study.optimize(two, n_trials=25)
    assert all(price(trial.params) <= 12 - 1.28 * 2 for trial in study.trials[1:])
    bolder = study_with(fast(known={1: price}, constraints=limit, risk=0.5))
    bolder.optimize(two, n_trials=25)
    assert max(price(trial.params) for trial in bolder.trials[1:]) > 12 - 1.28 * 2


def test_a_limit_that_only_trials_tell_is_learned_and_found():
    """Feasible are 9 of 144 candidates, in one corner; nothing says so beforehand."""

    def objective(trial):
        x, y = trial.suggest_int("x", 0, 11), trial.suggest_int("y", 0, 11)
        trial.set_constraint("heat", float(max(x, y) - 2))
        return x + y

    found = []
    for seed in range(3):
        study = optuna.create_study(direction="maximize", sampler=KnownCostSampler(seed=seed))
        study.optimize(objective, n_trials=30)
        found.append(study.best_value)
    assert found == [4, 4, 4]


def test_where_nothing_is_feasible_the_least_violating_is_looked_for():
    def limit(params):
        return {"ram": price(params) + 5.0}

    study = study_with(fast(known={1: price}, constraints=limit))
    study.optimize(two, n_trials=10)
    assert min(price(trial.params) for trial in study.trials) == 1.0


def test_a_floor_keeps_it_out_of_a_useless_corner():
    """Without a floor the cheap but useless candidates are part of the front as good as any."""

    def useless(sampler):
        study = study_with(sampler)
        study.optimize(two, n_trials=20)
        return sum(bowl(trial.params) < 0.95 for trial in study.trials[4:])

    assert useless(fast(known={1: price}, floors={0: 0.95})) < useless(fast(known={1: price})) - 2


def test_workers_are_given_different_candidates_and_none_of_them_next_to_another():
    study = study_with(fast(known={1: price}))
    study.optimize(two, n_trials=12)
    asked = [study.ask() for _ in range(6)]
    batch = [(trial.suggest_int("x", 0, 11), trial.suggest_int("y", 0, 11)) for trial in asked]
    assert len({*batch, *points(study)[:12]}) == 18
    for trial in reversed(asked):
        study.tell(trial, two(optuna.trial.FixedTrial(trial.params)))
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_all_objectives_unknown_and_three_of_them():
    def objective(trial):
        params = {"x": trial.suggest_int("x", 0, 11), "y": trial.suggest_int("y", 0, 11)}
        return bowl(params), price(params), abs(params["x"] - params["y"])

    study = study_with(fast(), ("maximize", "minimize", "minimize"))
    study.optimize(objective, n_trials=20)
    assert len(study.best_trials) >= 5


def test_known_costs_are_asked_again_after_a_recalibration():
    offset = {"ms": 0.0}
    pool = [{"x": x, "y": y} for x in range(12) for y in range(12)]

    def latency(params):
        return price(params) + (offset["ms"] if params["x"] > 5 else 0.0)

    def after(recalibrate):
        offset["ms"] = 0.0
        sampler = fast(known={1: latency}, candidates=pool, floors={1: 20.0})
        study = study_with(sampler)
        study.optimize(two, n_trials=8)
        offset["ms"] = 100.0
        if recalibrate:
            sampler.recalibrated()
        study.optimize(two, n_trials=8)
        return sum(trial.params["x"] > 5 for trial in study.trials[8:])

    assert after(True) == 0 < after(False)


def test_a_store_can_hold_it_and_another_process_go_on():
    sampler = pickle.loads(pickle.dumps(fast(known={1: price})))  # noqa: S301 - our own bytes
    study = study_with(sampler)
    study.optimize(two, n_trials=8)
    same = study_with(fast(known={1: price}))
    same.optimize(two, n_trials=8)
    assert points(study) == points(same)


def test_what_cannot_be_used_is_said_in_a_line():
    with pytest.raises(SpecError, match=r"risk.*seen 1\.5"):
        KnownCostSampler(risk=1.5)
    study = optuna.create_study(sampler=fast(known={1: price}))
    with pytest.raises(SpecError, match=r"known.*no such objective|no such objective.*seen \[1\]"):
        study.optimize(lambda trial: trial.suggest_int("x", 0, 3), n_trials=1)
    study = study_with(fast(known={1: lambda params: math.nan}))
    with pytest.raises(DataError, match=r"known\[1\]"):
        study.optimize(two, n_trials=2)


def test_optuna_is_not_imported_before_the_sampler_is_asked_for():
    code = (
        "import sys, advisor.search; assert 'optuna' not in sys.modules; advisor.search.KnownCostSampler; "
        "assert 'optuna' in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"known": {1: 3}}, r"known\[1\].*seen 3.*a function from parameters"),
        ({"known": {"latency": price}}, r"known.*'latency'.*objective index"),
        ({"known": {-1: price}}, r"known.*-1.*objective index"),
        ({"known": price}, "known.*a mapping from objective index"),
        ({"features": [1.0]}, "features.*a function from parameters"),
        ({"constraints": {"ram": 3.0}}, "constraints.*a function from parameters"),
        ({"canonical": "id"}, "canonical.*a function from parameters"),
        ({"seed": "0"}, "seed.*a whole number"),
        ({"seed": -1}, "seed.*a whole number"),
        ({"floors": {0: "low"}}, r"floors\[0\].*a number"),
        ({"risk": "high"}, "not a probability"),
        ({"n_startup_trials": 0}, "n_startup_trials.*a whole number from 1"),
        ({"n_candidates": 2.5}, "n_candidates.*a whole number from 1"),
        ({"candidates": 7}, "candidates.*a list of parameter sets"),
        ({"candidates": []}, "no candidate is given"),
    ],
)
def test_a_wrong_argument_is_one_line_where_it_is_made(given, words):
    with pytest.raises(SpecError, match=words) as raised:
        KnownCostSampler(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"known": {1: lambda params: "much"}}, r"not numbers.*known\[1\]|known\[1\].*not numbers"),
        ({"known": {1: lambda params: (1.0, 2.0, 3.0)}}, r"known\[1\].*\(1.0, 2.0, 3.0\)"),
        ({"features": lambda params: ["red"]}, "features.*not numbers"),
        ({"constraints": lambda params: {"ram": None}}, "ram.*not a usable figure"),
    ],
)
def test_what_a_callable_cannot_mean_is_one_line_at_its_first_use(given, words):
    sampler = KnownCostSampler(**given, n_startup_trials=2, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    with pytest.raises(DataError, match=words):
        study.optimize(two, n_trials=5)
