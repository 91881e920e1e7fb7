"""Claim: the cheap rung ranks candidates as full training does, Spearman ≥ 0.75, at ≤ 1/8 of its time.

    python benchmarks/cheap_rung.py [--datasets DIR] [--data NAME ...] [--candidates N] [--seeds K] [--cache DIR]
                                    [--variants NAME ...] [--json]

Random candidates of the search space, unpruned, on each data set; time is CPU time of one thread. `--cache` keeps
every training, so that an interrupted run goes on where it was. The ceiling is the agreement of full trainings that
differ in the seed only. 30 candidates with two seeds on all four data sets take about ten hours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cheap_elastic as shared
import cheap_variants as v
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import rankdata, spearmanr

from advisor.build.plans import PLANS, TrainPlan
from advisor.candidate import Candidate
from advisor.evaluate import input_shape
from advisor.network.description import param_count
from advisor.network.to_workload import to_workload
from advisor.report.text import table
from advisor.space.search_space import network_of, search_space
from advisor.tasks.load import open_task
from specs.spec import Spec, parse_spec

SETS = {
    # name: (file, kind, metric)
    "digits": ("digits", "image-classification", "accuracy"),
    "har": ("har_smartphone.npz", "timeseries-classification", "balanced-accuracy"),
    "spoken": ("fsdd_mfcc49x10.npz", "audio-classification", "accuracy"),
    "signs": ("sign_digits_32.npz", "image-classification", "accuracy"),
}
SPEC = """
schema: 1
name: cheap
task: {{kind: {kind}, data: "{data}", metric: {metric}}}
targets: [host:onnxruntime]
search: {{pruning: [0], quantization: [fp32]}}
"""
OURS = "cheap rung"
SHORTS = {
    "s6k": TrainPlan(6_000, 1, batch=64, learning_rate=1.4e-2, label_smoothing=0.0),
    "s12k b128": TrainPlan(12_000, 1, batch=128, learning_rate=2e-2, label_smoothing=0.0),
    "s18k b128": TrainPlan(18_000, 1, batch=128, learning_rate=2e-2, label_smoothing=0.0),
}
"""Other lengths and batches than the product's, by thousands of samples seen."""
AMORTISED = 50
"""Candidates that share the cost of an elastic network."""


class Bench:
    """One data set's candidates and trainings, the trainings in files."""

    def __init__(self, name: str, spec: Spec, count: int, cache: Path) -> None:
        self.name, self.folder = name, cache / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.task: Any = open_task(spec)
        self.balanced = spec.task.metric != "accuracy"
        space = search_space(spec, spec.targets[0], self.task.shapes, len(self.task.classes))
        self.candidates = random_candidates(space, count)
        self.labels = self.task.load("val").y, self.task.load("test").y
        self._elastic: dict[str, tuple[Any, float]] = {}

    def run(self, label: str, index: int, make: Callable[[Candidate], v.Scored], compute: bool = True) -> Any:
        """The stored training, or a new one; None where there is none and none is wanted."""
        path = self.folder / f"{self.candidates[index].structure}.{label.replace(' ', '-')}.npz"
        if not path.is_file():
            if not compute:
                return None
            made = make(self.candidates[index])
            part = path.with_suffix(f".{os.getpid()}.part")
            arrays = {"logits": made.logits, "test": made.test}
            with part.open("wb") as file:
                np.savez(file, seconds=made.seconds, value=made.value,
                         **{k: a for k, a in arrays.items() if a is not None})  # fmt: skip
            part.replace(path)
            print(f"{self.name} {label} {index + 1}: {made.seconds:.1f} s", file=sys.stderr, flush=True)
        with np.load(path) as file:
            return dict(file)

    def makers(self) -> dict[str, Callable[[Candidate], v.Scored]]:
        """Everything but full training, by name."""
        found: dict[str, Callable[[Candidate], v.Scored]] = {}
        found[OURS] = self._ours
        for name, plan in SHORTS.items():
            found[name] = partial(v.short, self.task, plan=plan, balanced=self.balanced)
        found["naswot"] = partial(v.naswot, self.task)
        found["synflow"] = partial(v.synflow, self.task)
        for thousand in (15, 50):
            found[f"elastic {thousand}k"] = partial(self._on_elastic, passes=1000 * thousand)
        return found

    def full(self, seed: int, index: int, compute: bool = True) -> Any:
        return self.run(f"full{seed}", index, lambda c: v.full(self.task, c, seed, self.balanced), compute)

    def macs(self, index: int) -> tuple[float, float]:
        c = self.candidates[index]
        network = network_of(c.architecture, c.params, c.shape, len(self.task.classes))
        return float(to_workload(network, "fp32", "onnx").macs), float(param_count(network))

    def accuracy(self, logits: Any, labels: Any) -> float:
        return float(self.task.score(np.asarray(logits.argmax(1), np.int64), labels).value or 0.0)

    def _ours(self, candidate: Candidate) -> v.Scored:
        height, width, _ = input_shape(candidate)
        return v.short(self.task, candidate, PLANS["cheap"].fitted(height * width), self.balanced)

    def _on_elastic(self, candidate: Candidate, passes: int) -> v.Scored:
        key = f"{candidate.architecture}.{passes}"
        if key not in self._elastic:
            self._elastic[key] = shared.train_elastic(self.task, candidate.architecture, passes, self.balanced)
            seconds = self._elastic[key][1]
            (self.folder / f"elastic.{key}.json").write_text(json.dumps({"seconds": seconds}))
        return shared.elastic(self.task, candidate, self._elastic[key][0])

    def elastic_seconds(self, passes: int) -> float:
        """Training the shared weights of every family, a candidate's part of it."""
        files = self.folder.glob(f"elastic.*.{passes}.json")
        return sum(float(json.loads(f.read_text())["seconds"]) for f in files) / AMORTISED


def random_candidates(space: Any, count: int) -> list[Candidate]:
    """Distinct networks, every dimension uniform."""
    rng = np.random.default_rng(0)
    found: dict[str, Candidate] = {}
    for _ in range(100 * count):
        values: dict[str, Any] = {}
        for dimension in space.common():
            values[dimension.name] = dimension.grid()[int(rng.integers(len(dimension.grid())))]
        for dimension in space.dimensions(str(values["architecture"])):
            values[dimension.name] = dimension.grid()[int(rng.integers(len(dimension.grid())))]
        candidate = space.candidate(values)
        found.setdefault(candidate.structure, candidate)
        if len(found) == count:
            break
    return list(found.values())


def log_likelihood(logits: Any, labels: Any, balanced: bool) -> float:
    """Mean log probability of the true class, at the temperature that suits the logits best."""
    weights = np.ones(len(labels))
    if balanced:
        counts = np.bincount(labels)
        weights = 1 / counts[labels]

    def cost(log_t: float) -> float:
        rows = log_softmax(logits.astype(float) * np.exp(-log_t), axis=1)[np.arange(len(labels)), labels]
        return -float(np.average(rows, weights=weights))

    return -float(minimize_scalar(cost, bounds=(-3, 3), method="bounded").fun)


def compare(bench: Bench, variants: list[str], seeds: int, compute: bool) -> list[dict[str, Any]]:
    """Rows of the table for one data set, over the candidates whose full training is there."""
    count = len(bench.candidates)
    fulls = [[bench.full(seed, i, compute) for i in range(count)] for seed in range(seeds)]
    known = [i for i in range(count) if fulls[0][i] is not None]
    val, _ = bench.labels
    quality = [np.array([bench.accuracy(runs[i]["logits"], val) if runs[i] else np.nan for i in known])
               for runs in fulls]  # fmt: skip
    held = [np.array([bench.accuracy(np.concatenate([runs[i]["logits"], runs[i]["test"]]), np.concatenate(bench.labels))
                      if runs[i] else np.nan for i in known]) for runs in fulls]  # fmt: skip
    truth, truth_held = np.nanmean(quality, axis=0), np.nanmean(held, axis=0)
    cost = float(np.mean([runs[i]["seconds"] for runs in fulls for i in known if runs[i]]))
    rows = []

    def row(name: str, score: str, values: Any, seconds: float, at: list[int]) -> None:
        pos = [known.index(i) for i in at]
        if len(pos) < 4:
            return
        rows.append({"data": bench.name, "variant": name, "score": score, "candidates": len(pos),
                     "spearman": float(spearmanr(values, truth[pos])[0]),
                     "spearman_held": float(spearmanr(values, truth_held[pos])[0]),
                     "seconds": seconds, "share": seconds / cost})  # fmt: skip

    both = [k for k, i in enumerate(known) if seeds > 1 and fulls[1][i]]
    if len(both) > 3:
        for what, scores in (("accuracy", quality), ("accuracy, val and test", held)):
            rows.append({"data": bench.name, "variant": "full, other seed", "score": what, "candidates": len(both),
                         "spearman": float(spearmanr(scores[0][both], scores[1][both])[0]),
                         "spearman_held": float("nan"), "seconds": cost, "share": 1.0})  # fmt: skip
    sizes = np.log([bench.macs(i) for i in known])
    row("MACs", "log", sizes[:, 0], 0.0, known)
    row("parameters", "log", sizes[:, 1], 0.0, known)
    makers = bench.makers()
    for name in variants:
        runs = {i: bench.run(name, i, makers[name], compute) for i in known}
        at = [i for i in known if runs[i] is not None]
        if not at:
            continue
        seconds = float(np.mean([runs[i]["seconds"] for i in at]))
        if name.startswith("elastic"):
            seconds += bench.elastic_seconds(int(name.split()[1][:-1]) * 1000)
        if "logits" not in runs[at[0]]:
            row(name, "value", [float(runs[i]["value"]) for i in at], seconds, at)
            continue
        found = [runs[i]["logits"] for i in at]
        likelihood = np.array([log_likelihood(x, val, bench.balanced) for x in found])
        row(name, "accuracy", [bench.accuracy(x, val) for x in found], seconds, at)
        row(name, "log-likelihood", likelihood, seconds, at)
        mixed = rankdata(likelihood) + 0.25 * rankdata(sizes[[known.index(i) for i in at], 0])
        row(name, "likelihood + MACs/4", mixed, seconds, at)
    return rows


def main() -> int:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--data", choices=SETS, action="append")
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="keep trainings here, and use those that are there")
    parser.add_argument("--variants", nargs="*", help="of the cheap scores; without: all")
    parser.add_argument("--stored", action="store_true", help="train nothing: what the cache holds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as spare:
        for name in args.data or SETS:
            file, kind, metric = SETS[name]
            path = args.datasets / file
            if file != "digits" and not path.is_file():
                print(f"skipped: no {path}", file=sys.stderr)
                continue
            data = file if file == "digits" else path.absolute()
            spec = parse_spec(SPEC.format(kind=kind, data=data, metric=metric))
            bench = Bench(name, spec, args.candidates, args.cache or Path(spare))
            chosen = [n for n in bench.makers() if args.variants is None or n in args.variants]
            rows += compare(bench, chosen, args.seeds, not args.stored)
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("data", "variant", "score", "n", "Spearman", "val + test", "s each", "of full")
    shown = [(r["data"], r["variant"], r["score"], str(r["candidates"]), f"{r['spearman']:.3f}",
              f"{r['spearman_held']:.3f}", f"{r['seconds']:.2f}", f"1/{1 / r['share']:.1f}" if r["share"] else "0")
             for r in rows]  # fmt: skip
    print(table(headers, shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
