"""Claim: with a cost known beforehand the search finds the front of 15,625 trained networks in 100 evaluations.

    python benchmarks/search_nb201.py [--table CSV] [--latency lat_raspi4 ...] [--seeds 10] [--budget 200]
        [--known exact few-shot] [--samples 20] [--sources CSV] [--samplers tpe random nsga2] [--processes 2] [--json]

The task: maximise test accuracy, minimise log latency; a cell costs one evaluation, a repeat another. HV is the share
of the true front's hypervolume where the error is below 40 % and log latency below that of the front's slowest point
+ 0.05 (latencies below the table's 1 % quantile clipped to it). regret30 is the accuracy, in points, lost against the
best cell within the table's 30 % quantile of latency.

`exact`: the sampler knows each cell's latency. `few-shot`: it is predicted by the transfer model, from other chips'
tables and `--samples` cells of which latency alone was measured beforehand (their accuracy is not looked at, they are
no evaluations); every cell evaluated is measured, too, and recalibrates the model. What is reached is always computed
with measured latencies. The sampler is told that errors above 40 % are useless, nothing else of the region; the
accuracy of a cell is read when it is evaluated. Baselines know no latency and run on the same table.

`--json` prints `hv`, `regret30` and `per_device` of the first of `--known`; `known` and `baselines` hold all of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cells as cell_tools
import cost_few_shot
import numpy as np
import optuna
import pandas as pd
from cell_search import BASELINES, ExactLatency, FewShotLatency, Figures, Space, Task, baseline, mean, ours, run
from cost_few_shot import progress

from advisor.report.text import table as text_table

COUNTS = (50, 100, 200)
KNOWN = {"exact": "KnownCostSampler, latency known", "few-shot": "KnownCostSampler, latency learned"}
_FEWEST, _FEWEST_COMMON = 100, 200


@dataclass(frozen=True)
class Job:
    """One search of one device by one sampler, of KNOWN or BASELINES."""

    device: str
    seed: int
    sampler: str


@dataclass
class Tables:
    """The cells and, where latency is learned, other chips' latencies of them. Raises SystemExit for what cannot be
    used."""

    path: Path
    columns: Sequence[str] | None
    accuracy: str
    sources: Path
    samples: int
    budget: int
    devices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        frame = pd.read_csv(self.path)
        self.devices = list(self.columns or [name for name in frame if str(name).startswith("lat_")])
        for name in ("arch_str", self.accuracy, *self.devices):
            if name not in frame:
                raise SystemExit(f"{self.path}: no column {name!r}; seen {', '.join(map(str, frame))[:200]}")
        if not self.devices:
            raise SystemExit(f"{self.path}: no latency column; allowed: one or more with --latency, or named lat_*")
        usable = frame[self.accuracy].notna() & (frame[self.devices] > 0).all(axis=1)
        self.frame = frame[usable].drop_duplicates("arch_str").reset_index(drop=True)
        if len(self.frame) < _FEWEST:
            raise SystemExit(
                f"{self.path}: {len(self.frame)} cells with accuracy and latency; allowed: {_FEWEST} or more"
            )
        self.counts = [n for n in COUNTS if n <= self.budget] or [self.budget]

    @cached_property
    def space(self) -> Space:
        return Space(cell_tools.codes(self.frame))

    @cached_property
    def learned(self) -> tuple[Space, pd.DataFrame, cost_few_shot.Bench]:
        """The cells that the sources' table has, too, and both tables for the transfer model."""
        theirs = pd.read_csv(self.sources)
        if "arch_str" not in theirs:
            raise SystemExit(f"{self.sources}: no column arch_str; seen {list(theirs)[:6]}")
        numbers = theirs.select_dtypes("number").drop(columns="arch_idx", errors="ignore")
        theirs = pd.concat([theirs["arch_str"], numbers.add_prefix("source ")], axis=1)[(numbers > 0).all(axis=1)]
        joined = self.frame.merge(theirs.drop_duplicates("arch_str"), on="arch_str")
        if len(joined) < _FEWEST_COMMON:
            raise SystemExit(
                f"{self.sources}: {len(joined)} cells in common with the table; allowed: {_FEWEST_COMMON} or more"
            )
        measured = np.log(joined[[f"source {name}" for name in numbers]])
        measured.columns = list(numbers)
        codes = cell_tools.codes(joined)
        return Space(codes), joined, cost_few_shot.Bench(joined[self.devices], codes, measured)

    def search(self, job: Job) -> Figures:
        space, frame = self.learned[:2] if job.sampler == "few-shot" else (self.space, self.frame)
        task = Task(frame[self.accuracy].to_numpy(float), frame[job.device].to_numpy(float))
        if job.sampler in BASELINES:
            cells = run(baseline(job.sampler, job.seed), space, task, self.budget)
        elif job.sampler == "exact":
            cells = ours(space, task, ExactLatency(space, task.log), self.budget, job.seed)
        else:
            bench = self.learned[2]
            latency = FewShotLatency(space, task.latency, bench, job.device, self.samples, job.seed)
            cells = ours(space, task, latency, self.budget, job.seed)
        return task.figures(cells, self.counts)


_of_process: list[Tables] = []


def _begin(*arguments: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _of_process.append(Tables(*arguments))


def _search(job: Job) -> Figures:
    return _of_process[-1].search(job)


def searched(tables: Tables, jobs: Sequence[Job], processes: int) -> Iterator[Figures]:
    """What every job reached, in order."""
    if processes == 1:
        yield from map(tables.search, jobs)
        return
    # a thread each: the matrices are too small to share, and processes would fight over the cores
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    arguments = (tables.path, tables.columns, tables.accuracy, tables.sources, tables.samples, tables.budget)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=arguments) as pool:
        yield from pool.map(_search, jobs)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=cell_tools.shared("nasbench/nb201.csv.gz"))
    parser.add_argument("--latency", nargs="+", help="columns of the table, ms; without, every lat_*")
    parser.add_argument("--accuracy", default="acc_cifar100_test", help="column of the table, percent")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--known", nargs="+", choices=list(KNOWN), default=list(KNOWN))
    parser.add_argument("--samples", type=int, default=20, help="cells measured beforehand for few-shot")
    parser.add_argument("--sources", type=Path, default=cell_tools.shared("measurements/help_nb201_latency_ms.csv.gz"))
    parser.add_argument("--samplers", nargs="*", choices=list(BASELINES), default=["tpe"], help="baselines of the run")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    if min(args.seeds, args.budget, args.samples, args.processes) < 1:
        parser.error("--seeds, --budget, --samples and --processes must be 1 or more")
    told = sys.stderr if args.json else sys.stdout
    known = list(dict.fromkeys(args.known))
    if not args.table.is_file():
        print(f"skipped: no table {args.table} (name one with --table)", file=told)
        return 0
    if "few-shot" in known and not args.sources.is_file():
        print(f"few-shot skipped: no table {args.sources} (name one with --sources)", file=told)
        known.remove("few-shot")
    if not known:
        return 0
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables = Tables(args.table, args.latency, args.accuracy, args.sources, args.samples, args.budget)
    if "few-shot" in known and len(common := tables.learned[1]) < len(tables.frame):
        print(f"latency learned: on the {len(common)} of {len(tables.frame)} cells that {args.sources} has", file=told)
    names = [*known, *args.samplers]
    jobs = [Job(device, seed, name) for device in tables.devices for seed in range(args.seeds) for name in names]
    rows: dict[tuple[str, str], list[Figures]] = {}
    for n, (job, reached) in enumerate(zip(jobs, searched(tables, jobs, args.processes), strict=True)):
        rows.setdefault((job.sampler, job.device), []).append(reached)
        progress(f"{n + 1} of {len(jobs)} searches: {job.device}, seed {job.seed}, {job.sampler}")
    progress("")
    found = {name: {device: mean(rows[name, device]) for device in tables.devices} for name in names}
    print(json.dumps(document(found, known, args.seeds)) if args.json else report(found, tables.counts))
    return 0


def document(found: Mapping[str, Mapping[str, Figures]], known: Sequence[str], seeds: int) -> dict[str, Any]:
    """The first sampler's figures, then all by name."""
    told: dict[str, dict[str, Any]] = {
        name: {**mean(list(by.values())), "per_device": dict(by)} for name, by in found.items()
    }
    return {**told[next(iter(found))], "seeds": seeds, "known": {name: told[name] for name in known},
            "baselines": {name: row for name, row in told.items() if name not in known}}  # fmt: skip


def report(found: Mapping[str, Mapping[str, Figures]], counts: Sequence[int]) -> str:
    """A line a device and sampler, then their means."""
    rows = []
    devices = list(next(iter(found.values())))
    for device in [*devices, "mean"]:
        for name, by in found.items():
            row = mean(list(by.values())) if device == "mean" else by[device]
            hv = (f"{row['hv'][str(n)]:.3f}" for n in counts)
            regret = (f"{row['regret30'][str(n)]:.2f}" for n in counts)
            rows.append((device, (KNOWN | BASELINES)[name], *hv, *regret))
    headers = ("device", "sampler", *(f"HV@{n}" for n in counts), *(f"regret30@{n}" for n in counts))
    return text_table(headers, rows)


if __name__ == "__main__":
    sys.exit(main())
