"""Claim: a proposal of the known-cost sampler takes at most 50 ms after 1,000 finished trials.

    python benchmarks/sampler_overhead.py [--trials 1000] [--proposals 50] [--json]

A made-up conditional space of three architectures, two objectives, one limit; accuracy is modelled, latency known.
Studies are filled with random trials, then `ask` with all suggestions is timed, as what one core
computes, for the known-cost sampler and for Optuna's TPE, multivariate and grouped; each proposal is answered before
the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from advisor.report.text import table
from advisor.search import KnownCostSampler

ARCHITECTURES = {"dscnn": 4, "mobilenet": 5, "tcn": 3}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("architecture", list(ARCHITECTURES))
    trial.suggest_categorical("quantization", ["fp32", "fp16", "int8"])
    trial.suggest_float("width", 0.1, 2.0, log=True)
    for stage in range(ARCHITECTURES[kind]):
        trial.suggest_int(f"{kind}.channels{stage}", 8, 64, step=8)
        trial.suggest_int(f"{kind}.depth{stage}", 1, 4)
    return trial.params


def size(params: Mapping[str, Any]) -> float:
    stages = range(ARCHITECTURES[params["architecture"]])
    kind = params["architecture"]
    return float(params["width"] * sum(params[f"{kind}.channels{s}"] * params[f"{kind}.depth{s}"] for s in stages))


def latency(params: Mapping[str, Any]) -> float:
    return float(np.log(1 + size(params)) + {"fp32": 1.0, "fp16": 0.7, "int8": 0.0}[params["quantization"]])


def accuracy(params: Mapping[str, Any]) -> float:
    return float(1 - 1 / (2 + size(params) ** 0.4) - 0.02 * (params["quantization"] == "int8"))


def limits(params: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {"ram": (size(params) / 400 - 1, 0.1)}


def features(params: Mapping[str, Any]) -> list[float]:
    kind = params["architecture"]
    stages = range(ARCHITECTURES[kind])
    depth = sum(params[f"{kind}.depth{s}"] for s in stages)
    widest = max(params[f"{kind}.channels{s}"] for s in stages)
    own = [float(kind == name) for name in ARCHITECTURES]
    return [*own, np.log(params["width"]), depth, np.log(widest), np.log(1 + size(params)), latency(params)]


SAMPLERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "KnownCostSampler": lambda: KnownCostSampler(known={1: latency}, constraints=limits, seed=0),
    "KnownCostSampler, features": lambda: KnownCostSampler(
        known={1: latency}, features=features, constraints=limits, seed=0
    ),
    "TPE, multivariate": lambda: optuna.samplers.TPESampler(seed=0, multivariate=True, group=True),
}


def proposals_ms(sampler: optuna.samplers.BaseSampler, trials: int, proposals: int) -> np.ndarray[Any, Any]:
    """(proposals,) milliseconds of one core."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0))

    def one() -> float:
        # what this process computed: other work on the machine does not count
        started = time.process_time()
        trial = study.ask()
        params = suggest(trial)
        spent = time.process_time() - started
        trial.set_constraint("ram", limits(params)["ram"][0])
        study.tell(trial, (accuracy(params), latency(params)))
        return spent * 1e3

    for _ in range(trials):
        one()
    study.sampler = sampler
    one()  # what is kept between proposals is read once
    return np.array([one() for _ in range(proposals)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--proposals", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    if min(args.trials, args.proposals) < 1:
        parser.error("--trials and --proposals must be 1 or more")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for name, make in SAMPLERS.items():
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # multivariate and group are marked experimental
            spent = proposals_ms(make(), args.trials, args.proposals)
        rows.append({"sampler": name, "trials": args.trials, "median_ms": float(np.median(spent)),
                     "mean_ms": float(spent.mean()), "worst_ms": float(spent.max())})  # fmt: skip
    if args.json:
        print(json.dumps(rows))
        return 0
    shown = [
        (str(r["sampler"]), str(r["trials"]), f"{r['mean_ms']:.1f}", f"{r['median_ms']:.1f}", f"{r['worst_ms']:.1f}")
        for r in rows
    ]
    print(table(("sampler", "finished trials", "ms a proposal, mean", "median", "worst"), shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
