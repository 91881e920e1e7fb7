"""Claim: in equal time the search's front holds at least 1.15 times the hypervolume of Optuna's, never less than it.

    python benchmarks/search_real.py [--datasets DIR] [--data NAME ...] [--minutes M] [--workers N] [--seeds K]
                                     [--anchors] [--json]

The baselines are Optuna's TPE (multivariate) and NSGA-II over the same space with the same trainer, exporter and cost
model and as many workers: every trial is a full training, its limits are told as constraints. They begin as Optuna
does, at random; `--anchors` enqueues the product's first proposals for them, too.
Hypervolume is that of feasible exported files: validation accuracy from FLOOR to 1 and the logarithm of the predicted
latency between the 2nd and 98th percentile of the space. Where a few small networks fill nearly all of that box, no
search can do much better: `at the nadir` has the ratio where accuracy begins at the worst of the front of all that any
of the searches found. All four data sets in ten minutes each take two hours.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from board import BOARD

from advisor.costs import cost_model
from advisor.evaluate import Request
from advisor.pipeline import search
from advisor.progress import silent
from advisor.report.text import table
from advisor.rung import trained_network
from advisor.score import feasible, margins
from advisor.search.costing import Pricer
from advisor.search.prospects import Prospects
from advisor.search.study import Asked, TargetStudy, anchors, constraint_values
from advisor.search.workers import WorkerPool
from advisor.space.search_space import search_space
from advisor.tasks.load import open_task
from specs.spec import Spec, parse_spec

SETS = {
    # name: (data, kind, metric, RAM, flash)
    "digits": ("digits", "image-classification", "accuracy", "32 KiB", "48 KiB"),
    "signs": ("sign_digits_32.npz", "image-classification", "accuracy", "64 KiB", "64 KiB"),
    "spoken": ("fsdd_mfcc49x10.npz", "audio-classification", "accuracy", "32 KiB", "48 KiB"),
    "motion": ("har_smartphone.npz", "timeseries-classification", "balanced-accuracy", "32 KiB", "48 KiB"),
}
SPEC = (
    BOARD
    + """\
objectives: [accuracy, latency]
search: {{trials: 1000, time: {seconds} s, quantization: [int8], seed: {seed}}}
"""
)
FLOOR = 0.5
Timeline = list[tuple[float, float, float]]
"""Seconds since the start, accuracy and predicted latency in ms of feasible exported files."""


def ours(spec: Spec, folder: Path, workers: int) -> Timeline:
    started = time.time()
    done = search(spec, folder, silent, workers)
    with sqlite3.connect(folder / "ledger.db") as connection:
        times = [row[0] for row in connection.execute("select time from evaluations order by row")]
    rows = zip(times, done.run.ledger.history(), strict=True)
    return [(at - started, row.metrics["accuracy"].value or 0.0, row.metrics["latency_ms"].value or 0.0)
            for at, row in rows if row.status == "done" and feasible(margins(spec, row.metrics))]  # fmt: skip


def baseline(
    spec: Spec, folder: Path, workers: int, sampler: optuna.samplers.BaseSampler, anchored: bool = False
) -> Timeline:
    started = time.monotonic()
    task, target = open_task(spec), spec.targets[0]
    space = search_space(spec, target, task.shapes, len(task.classes))
    pricer = Pricer(spec, cost_model(target), len(task.classes), task.preprocessing().macs)
    first = anchors(space) if anchored else ()
    study = TargetStudy(Prospects(space, pricer), spec.objectives, spec.search.seed, sampler, first)
    at_work: dict[int, Asked] = {}
    held: list[Asked] = []
    found: Timeline = []

    def supply(busy: Collection[str]) -> Request | None:
        if time.monotonic() - started > spec.search.time_s:
            return None
        if not held:
            held.append(study.ask())
        if trained_network(held[0].candidate) in busy:
            return None  # two workers would write the same weights
        asked = held.pop()
        balanced = spec.task.metric != "accuracy"
        request = Request(asked.candidate, (target.runtime.id,), "full", folder / "artifacts", 0, balanced)
        at_work[id(request)] = asked
        return request

    with WorkerPool(spec.to_dict(), spec.folder.absolute(), workers) as pool:
        for outcome in pool.serve(supply):
            asked = at_work.pop(id(outcome.request))
            if not outcome.results or outcome.results[0].artifact is None:
                study.tell(asked, None, {})
                continue
            metrics = pricer.after_export(outcome.results[0], target)
            limits = margins(spec, metrics)
            point = metrics["accuracy"].value or 0.0, metrics["latency_ms"].value or 0.0
            study.tell(asked, point, constraint_values(limits))
            if feasible(limits):
                found.append((time.monotonic() - started, *point))
    return found


def latency_range(spec: Spec, count: int = 300) -> tuple[float, float]:
    """Logarithms of the 2nd and 98th percentile of the space's predicted latencies."""
    task, target = open_task(spec), spec.targets[0]
    space = search_space(spec, target, task.shapes, len(task.classes))
    pricer = Pricer(spec, cost_model(target), len(task.classes))
    study = TargetStudy(Prospects(space, pricer), spec.objectives, 0, optuna.samplers.RandomSampler(seed=0))
    metrics = pricer.before_training_many([study.ask().candidate for _ in range(count)], target)
    logs = np.log([m["latency_ms"].value or 1.0 for m in metrics if m])
    low, high = np.percentile(logs, [2, 98])
    return float(low), float(high)


def hypervolume(points: Timeline, span: tuple[float, float], floor: float = FLOOR) -> float:
    """Share of the box that is dominated, 0…1."""
    scaled = [((a - floor) / (1 - floor), (span[1] - np.log(ms)) / (span[1] - span[0])) for _, a, ms in points]
    total = reached = 0.0
    for accuracy, quickness in sorted(((max(0.0, a), min(1.0, q)) for a, q in scaled if q > 0), reverse=True):
        total += accuracy * max(0.0, quickness - reached)
        reached = max(reached, quickness)
    return total


def nadir(points: Timeline) -> float:
    """The lowest accuracy on the front of these points."""
    return min((a for _, a, ms in points if not any(b > a and other <= ms for _, b, other in points)), default=FLOOR)


def compare(name: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    data, kind, metric, ram, flash = SETS[name]
    path = data if data == "digits" else (args.datasets / data).absolute()
    seconds = args.minutes * 60
    text = SPEC.format(name=name, kind=kind, data=path, metric=metric, ram=ram, flash=flash, seed=seed, seconds=seconds)
    spec = parse_spec(text)
    samplers = {
        "TPE": optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
        "NSGA-II": optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
    }
    found: dict[str, Timeline] = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, sampler in samplers.items():
            found[label] = baseline(spec, Path(folder) / label, args.workers, sampler, args.anchors)
            print(f"{name}: {label} exported {len(found[label])} feasible", file=sys.stderr, flush=True)
        found["ours"] = ours(spec, Path(folder) / "ours", args.workers)
        print(f"{name}: ours exported {len(found['ours'])} feasible", file=sys.stderr, flush=True)
    span = latency_range(spec)
    final = {label: hypervolume([p for p in rows if p[0] <= seconds], span) for label, rows in found.items()}
    best = max(final["TPE"], final["NSGA-II"])
    times = sorted(at for at, _, _ in found["ours"])
    reach = next((at for at in times if hypervolume([p for p in found["ours"] if p[0] <= at], span) >= best), None)
    worst = nadir([p for rows in found.values() for p in rows if p[0] <= seconds])
    above = {label: hypervolume([p for p in rows if p[0] <= seconds], span, worst) for label, rows in found.items()}
    rival = max(above["TPE"], above["NSGA-II"])
    return {"data": name, "seed": seed, "hypervolume": final, "ratio": final["ours"] / best if best else None,
            "nadir": worst, "nadir_ratio": above["ours"] / rival if rival else None,
            "time_share": None if reach is None else reach / seconds,
            "exported": {label: len(rows) for label, rows in found.items()}}  # fmt: skip


def main() -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group and multivariate are marked so
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--data", choices=SETS, action="append")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--anchors", action="store_true", help="the baselines begin with the product's first proposals")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.data or SETS:
        if name != "digits" and not (args.datasets / SETS[name][0]).is_file():
            print(f"skipped: no {args.datasets / SETS[name][0]}", file=sys.stderr)
            continue
        rows += [compare(name, args, seed) for seed in range(args.seeds)]
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("data", "seed", "TPE", "NSGA-II", "ours", "ours / best baseline", "at the nadir", "time to its final")
    shown = [(r["data"], str(r["seed"]), *(f"{r['hypervolume'][k]:.3f}" for k in ("TPE", "NSGA-II", "ours")),
              "–" if r["ratio"] is None else f"{r['ratio']:.2f}",
              "–" if r["nadir_ratio"] is None else f"{r['nadir_ratio']:.2f} above {r['nadir'] * 100:.1f} %",
              "not reached" if r["time_share"] is None else f"{r['time_share']:.2f} of the budget")
             for r in rows]  # fmt: skip
    print(table(headers, shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
