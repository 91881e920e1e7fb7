"""A made-up network of two numbers that tests of the sampler search over."""

import optuna

from advisor.search import KnownCostSampler


def fast(**options):
    return KnownCostSampler(seed=0, n_startup_trials=4, n_candidates=100, **options)


def bowl(params):
    """Accuracy of a made-up network: best at (9, 4), falling off on all sides."""
    return 1 - ((params["x"] - 9) ** 2 + 2 * (params["y"] - 4) ** 2) / 400


def price(params):
    return 1.0 + params["x"] + params["y"]


def two(trial):
    params = {"x": trial.suggest_int("x", 0, 11), "y": trial.suggest_int("y", 0, 11)}
    return bowl(params), price(params)


def study_with(sampler, directions=("maximize", "minimize")):
    return optuna.create_study(directions=list(directions), sampler=sampler)


def points(study):
    return [(trial.params["x"], trial.params["y"]) for trial in study.trials]
