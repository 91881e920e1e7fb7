"""The sampler in conditional spaces, with enqueued trials, generated candidates, and several threads."""

import optuna
from sampler_samples import fast, points, price, study_with, two

from advisor.search import KnownCostSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_a_conditional_space_is_searched_on_all_branches():
    def objective(trial):
        kind = trial.suggest_categorical("kind", ["conv", "dense", "none"])
        if kind == "conv":
            return (trial.suggest_float("width", 0.1, 2.0, log=True) - 0.7) ** 2 + trial.suggest_int("depth", 1, 5) / 9
        if kind == "dense":
            return 0.5 + (trial.suggest_int("units", 8, 64, step=8) - 24) ** 2 / 1000
        return 2.0

    study = optuna.create_study(sampler=KnownCostSampler(seed=1))
    study.optimize(objective, n_trials=40)
    assert {trial.params["kind"] for trial in study.trials} == {"conv", "dense", "none"}
    assert study.best_value < 0.12
    assert sum(trial.params["kind"] == "none" for trial in study.trials) == 1


def test_a_value_that_branches_differ_in_by_chance_is_free_in_both():
    """The kinds' first trials share no depth: depth is not what leads into a branch."""

    def objective(trial):
        kind = trial.suggest_categorical("kind", ["conv", "dense"])
        depth = trial.suggest_int("depth", 1, 8)
        size = trial.suggest_int(f"{kind}.size", 1, 50)
        return (depth - 7) ** 2 + (0 if kind == "conv" else 5) + size / 100

    study = optuna.create_study(sampler=fast())
    for depth, kind in ((1, "conv"), (2, "conv"), (7, "dense"), (8, "dense")):
        study.enqueue_trial({"kind": kind, "depth": depth, f"{kind}.size": 20})
    study.optimize(objective, n_trials=25)
    assert study.best_params["kind"] == "conv"
    assert study.best_params["depth"] == 7


def test_callables_are_not_stopped_by_branches_that_are_not_understood_yet():
    """Two parameters together decide on the branch, which no single one tells; the callable reads what its own has."""

    def latency(params):
        both = params["kind"] == "conv" and params["mode"] == "wide"
        return float(params["channels"] if both else params["units"])

    def objective(trial):
        both = trial.suggest_categorical("kind", ["conv", "dense"]) == "conv"
        both &= trial.suggest_categorical("mode", ["wide", "deep"]) == "wide"
        trial.suggest_int("channels" if both else "units", 1, 900)
        return (1.0 if both else 0.0), latency(trial.params)

    study = study_with(fast(known={1: latency}))
    for kind, mode in (("conv", "wide"), ("conv", "deep"), ("dense", "wide")):
        study.enqueue_trial({"kind": kind, "mode": mode})
    study.optimize(objective, n_trials=20)
    assert min(trial.values[1] for trial in study.best_trials if trial.values[0]) < 100


def test_a_parameter_of_a_billion_values_is_as_good_as_continuous():
    study = optuna.create_study(sampler=fast())
    study.optimize(lambda trial: abs(trial.suggest_int("x", 0, 10**9) / 10**9 - 0.7), n_trials=30)
    assert study.best_value < 0.02


def from_a_generator(rng, best):
    for _ in range(60):
        yield {"x": int(rng.integers(12)), "y": int(rng.integers(12))}
    yield from ({"x": row["x"], "y": (row["y"] + 1) % 12} for row in best)


def test_candidates_of_a_generator_are_asked_for_in_batches_before_anything_is_known():
    study = study_with(fast(known={1: price}, candidates=from_a_generator, canonical=lambda p: (p["x"], p["y"])))
    asked = [study.ask() for _ in range(8)]
    assert len({(t.suggest_int("x", 0, 11), t.suggest_int("y", 0, 11)) for t in asked}) == 8


def test_a_candidate_that_failed_is_not_asked_for_again_after_a_restart():
    pool = [{"x": 0, "y": y} for y in range(6)]

    def generator(rng, best):
        return pool

    study = study_with(fast(known={1: price}, candidates=generator))
    study.optimize(lambda trial: 1 / (two(trial)[0] * 0), n_trials=3, catch=ZeroDivisionError)
    study.sampler = fast(known={1: price}, candidates=generator)
    study.optimize(two, n_trials=3)
    assert len(set(points(study))) == 6


def test_several_threads_can_ask_at_once():
    study = study_with(fast(known={1: price}))
    study.optimize(two, n_trials=24, n_jobs=3)
    assert len(set(points(study)[6:])) == 18


def test_enqueued_values_are_kept_and_the_rest_is_chosen_for_them():
    study = study_with(fast(known={1: price}))
    study.optimize(two, n_trials=6)
    study.enqueue_trial({"x": 7})
    study.enqueue_trial({"x": 3, "y": 3})
    study.optimize(two, n_trials=6)
    assert study.trials[6].params["x"] == 7
    assert study.trials[7].params == {"x": 3, "y": 3}
    assert len(set(points(study))) == 12
