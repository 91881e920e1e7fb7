"""Fits cycles per operation of runtimes and cores to published latencies: the analytic model's efficiencies.

Deterministic; a minute on one core. The errors of groups left out give the factors of the intervals.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.efficiency import SCHEMA, TERMS, core_class, effect_keys
from cost_models.extract import Fact, Features, facts_in, networks_in, read_facts, write_facts
from specs.errors import DataError

Array = NDArray[np.float64]
HERE = Path(__file__).parent / "data"
THREAD_SPEEDUP = {1: 1.0, 2: 1.74, 4: 2.6}
"""Median over the boards of ncnn's published benchmark (README tables, 1 against 2 and 4 threads)."""
SPREAD = {"precision": 1.0, "runtime": 0.5, "class": 1.5, "core": 0.6, "class precision": 1.5, "core precision": 0.4,
          "runtime class": 0.5, "runtime core": 0.8}  # fmt: skip
"""How far an effect may stray from zero, as a standard deviation of natural logs: the ridge of the fit."""
SILICON = ("class", "core", "class precision", "core precision")
NOISE = 0.2
SHAPE = 0.5
"""How far a runtime, core or class may change the ratios between terms, and how far the base may leave START's."""
TIED = 0.15
"""The same for effects that are of the silicon: they scale all terms nearly alike."""
START = (0.0, 0.7, 0.5, 3.0, 1.5, 8.0)
"""Log cycles of TERMS a core with DSP instructions needs: where the iteration starts and what unseen terms fall back
to. A MAC of a dense layer takes more than a convolution's, its weight being used once; scaling a sum back to 8 bits
takes about 20 cycles (CMSIS-NN's arm_nn_requantize with load and store), an operator's call some thousand."""
FLOORS = {"core": 1.3, "class": 1.6, "crossed": 2.0, "default": 4.0}
"""No interval narrower than these factors: versions of one runtime differ by 36 % at the 90th percentile."""
MOST = 10.0
"""The widest factor stated: beyond it the order of magnitude is unknown anyway."""
FAMILIES = ("mcu", "a-", "x86")
"""Classes of core whose errors are told apart, by the beginning of their names."""
BYTES = {"int8": 1, "fp16": 2, "fp32": 4}
# Where no runtime was measured on the class: cycles by TERMS, generous, to be read with the factor of `default`
DEFAULTS: dict[str, dict[str, Any]] = {
    "mcu-scalar": {"int8": [14.0, 18.0, 10.0, 60.0, 10.0, 4000.0], "fp16": [60.0, 80.0, 60.0, 60.0, 20.0, 4000.0],
                   "fp32": [60.0, 80.0, 60.0, 60.0, 20.0, 4000.0],
                   "source": "cores without DSP instructions: two to three times a Cortex-M4, floats in software"},
    "mcu-vector": {"int8": [0.6, 1.2, 0.8, 4.0, 1.0, 4000.0], "fp16": [1.0, 2.0, 1.2, 2.0, 1.5, 4000.0],
                   "fp32": [1.5, 3.0, 2.0, 2.0, 2.0, 4000.0],
                   "source": "microcontrollers with vector instructions: a fifth to a quarter of their peak"},
    "npu": {"int8": [0.05, 0.1, 0.2, 0.1, 0.2, 300.0], "fp16": [0.2, 0.4, 0.6, 0.2, 0.4, 300.0],
            "fp32": [2.0, 4.0, 4.0, 1.0, 1.0, 300.0],
            "source": "microNPUs of 32 to 256 MACs a cycle, a third to a half of their peak as makers' models have it"},
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Rows of amounts by TERMS, log cycles observed, and the effects each row has."""

    amounts: Array
    observed: Array
    members: NDArray[np.bool_]
    names: tuple[str, ...]

    def rows(self, keep: NDArray[np.bool_]) -> Problem:
        return Problem(self.amounts[keep], self.observed[keep], self.members[keep], self.names)


def amounts_of(features: Features, precision: str) -> list[float]:
    """How much of each of TERMS a network has."""
    calls = sum(row[3] for row in features.values())
    moved = features["other"][1] * BYTES[precision]
    written = sum(features[group][4] for group in ("conv", "dwconv", "dense"))
    return [features["conv"][0], features["dwconv"][0], features["dense"][0], written, moved, calls]


def problem_of(facts: Sequence[Fact], networks: dict[str, Features]) -> Problem:
    keys = [effect_keys(f.runtime, f.core, core_class(f.core), f.precision) for f in facts]
    names = tuple(sorted({key for row in keys for key in row}))
    place = {name: i for i, name in enumerate(names)}
    members = np.zeros((len(facts), len(names)), dtype=bool)
    for i, row in enumerate(keys):
        members[i, [place[key] for key in row]] = True
    amounts = np.array([amounts_of(networks[f.network], f.precision) for f in facts], dtype=float)
    cycles = [f.latency_ms * 1e3 * f.clock_mhz * THREAD_SPEEDUP[f.threads] for f in facts]
    return Problem(amounts, np.log(np.array(cycles)), members, names)


def solve(problem: Problem, start: Array | None = None, rounds: int = 40) -> Array:
    """Effects (name x term) that minimise squared log errors plus the ridge, by damped Gauss-Newton."""
    count, terms = len(problem.names), len(TERMS)
    kinds = [name.split(":")[0] for name in problem.names]
    centre = np.zeros((count, terms))
    centre[problem.names.index("base")] = START
    effects = centre.copy() if start is None else start.copy()
    # an effect's level (all terms alike) may stray further than its shape (the ratios between them)
    level = np.array([1 / SPREAD.get(kind, 5.0) ** 2 for kind in kinds])
    shape = np.array([1 / (TIED if kind in SILICON else min(SHAPE, SPREAD.get(kind, 5.0))) ** 2 for kind in kinds])
    mean = np.full((terms, terms), 1 / terms)
    ridge: Array = np.kron(np.diag(level), mean) + np.kron(np.diag(shape), np.eye(terms) - mean)
    members = problem.members.astype(float)
    for _ in range(rounds):
        logs = members @ effects
        parts = problem.amounts * np.exp(logs)
        predicted = parts.sum(axis=1)
        shares = parts / predicted[:, None]
        jacobian = (members[:, :, None] * shares[:, None, :]).reshape(len(members), -1)
        residual = problem.observed - np.log(predicted)
        gradient = jacobian.T @ residual / NOISE**2 - ridge @ (effects - centre).reshape(-1)
        step = np.linalg.solve(jacobian.T @ jacobian / NOISE**2 + ridge, gradient).reshape(count, terms)
        size = min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-12))
        # a full step overshoots where one term takes over from another: halved until it helps
        now = _objective(problem, members, effects, centre, ridge)
        while size > 1e-3 and _objective(problem, members, effects + size * step, centre, ridge) > now:
            size /= 2
        effects += size * step
        if size * float(np.abs(step).max()) < 1e-4:
            break
    return effects


def _objective(problem: Problem, members: Array, effects: Array, centre: Array, ridge: Array) -> float:
    predicted = np.log((problem.amounts * np.exp(members @ effects)).sum(axis=1))
    away = (effects - centre).reshape(-1)
    return float(np.sum((problem.observed - predicted) ** 2) / NOISE**2 + away @ ridge @ away)


def predict(problem: Problem, effects: Array) -> Array:
    """Log cycles of each row."""
    totals: Array = np.log((problem.amounts * np.exp(problem.members.astype(float) @ effects)).sum(axis=1))
    return totals


def counts_of(facts: Sequence[Fact]) -> Counter[str]:
    """Measurements behind each effect."""
    counts: Counter[str] = Counter()
    for f in facts:
        counts.update(effect_keys(f.runtime, f.core, core_class(f.core), f.precision))
    return counts


def held_out(
    problem: Problem, facts: Sequence[Fact], effects: Array, group: Callable[[Fact], object]
) -> list[tuple[str, str, float]]:
    """Every fact's class, the knowledge that remained without its group, and the log error of predicting it so."""
    errors = []
    groups = [group(f) for f in facts]
    whole = counts_of(facts)
    for held in dict.fromkeys(groups):
        keep = np.array([g != held for g in groups])
        without = solve(problem.rows(keep), effects, rounds=4)
        rest = counts_of([f for f, k in zip(facts, keep, strict=True) if k])
        logs = predict(problem.rows(~keep), without)
        outside = [f for f, k in zip(facts, keep, strict=True) if not k]
        for f, log, seen in zip(outside, logs, problem.observed[~keep], strict=True):
            kind = core_class(f.core)
            level = "default"
            if rest[f"runtime core:{f.runtime}|{f.precision}|{f.core}"]:
                level = "core"
            elif rest[f"runtime class:{f.runtime}|{f.precision}|{kind}"]:
                level = "class"
            elif rest[f"class:{kind}"]:
                level = "crossed"
            if level == "crossed" and rest[f"class:{kind}"] < whole[f"class:{kind}"] - rest[f"class:{kind}"]:
                continue  # most of what is known of the class was held out: harder than any use of the whole fit
            errors.append((kind, level, float(log - seen)))
    return errors


def fit(facts: Sequence[Fact], networks: dict[str, Features]) -> tuple[dict[str, Any], list[str]]:
    """The contents of efficiency.json, and lines of a report on held-out boards and networks."""
    facts = [f for f in facts if f.network in networks]
    problem = problem_of(facts, networks)
    effects = solve(problem)
    by_board = held_out(problem, facts, effects, lambda f: (f.board, f.core))
    by_network = held_out(problem, facts, effects, lambda f: f.network)
    by_pair = held_out(problem, facts, effects, lambda f: (f.runtime, core_class(f.core)))
    by_runtime = held_out(problem, facts, effects, lambda f: f.runtime)
    by_class = held_out(problem, facts, effects, lambda f: core_class(f.core))
    report, factors = [], {}
    # a new board, and a network unlike the measured ones, both count as new
    sets = {
        "board": by_board,
        "network": by_network,
        "runtime and class": by_pair,
        "runtime": by_runtime,
        "class": by_class,
    }
    for family in ("", *FAMILIES):
        widest = 1.0
        for level, floor in FLOORS.items():
            widest = max(widest, floor)
            for name, errors in sets.items():
                if level == "default" and name != "class":
                    continue  # leaves single networks without any relative: an error of the exercise, not of use
                found = np.abs([e for kind, at, e in errors if at == level and kind.startswith(family)])
                if len(found) < 20:
                    continue
                ninety = float(np.exp(np.quantile(found, 0.9)))
                report.append(f"{family or 'all':4} {level:8} without its {name:18} n={len(found):4}  median error "
                              f"x{np.exp(np.median(found)):.2f}  90 % within x{ninety:.2f}")  # fmt: skip
                widest = max(widest, min(ninety, MOST))
            factors[f"{level}:{family}" if family else level] = widest
    result = {
        "schema": SCHEMA,
        "fitted_on": digest(facts, networks),
        "terms": list(TERMS),
        "effects": {n: [round(float(v), 4) for v in row] for n, row in zip(problem.names, effects, strict=True)},
        "counts": dict(sorted(counts_of(facts).items())),
        "factors": {level: round(value, 3) for level, value in factors.items()},
        "defaults": DEFAULTS,
        "facts": len(facts),
    }
    return result, report


def digest(facts: Sequence[Fact], networks: dict[str, Features]) -> str:
    """SHA-256 of what a fit was made of."""
    used = {f.network: networks[f.network] for f in facts}
    return hashlib.sha256(json.dumps([[astuple(f) for f in facts], used], sort_keys=True).encode()).hexdigest()


def refit(measurements: Path | None, networks: Path | None, out: Path) -> list[str]:
    """Write `facts.csv`, `networks.json` and `efficiency.json` below `out`; returns the lines of a report.

    `measurements`: published tables, or a folder with `facts.csv` (None: the package's own); `networks`: the files
    they name (None: the features beside the facts, or the package's own).
    """
    folder = measurements or HERE
    carried = folder / "facts.csv"
    facts = read_facts(carried) if carried.exists() else facts_in(folder)
    if networks is not None:
        features = networks_in(networks)
    else:
        beside = folder if (folder / "networks.json").exists() else HERE
        features = json.loads((beside / "networks.json").read_text("utf-8"))
    used = [f for f in facts if f.network in features]
    if not used:
        raise DataError("no latency of a known network", where=str(folder), seen=f"{len(facts)} rows",
                        allowed="published tables or facts.csv, and the networks they name")  # fmt: skip
    features = {name: features[name] for name in sorted({f.network for f in used})}
    result, report = fit(used, features)
    write_facts(out / "facts.csv", used)
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in features.items())
    (out / "networks.json").write_text(f"{{\n{rows}\n}}\n", "utf-8")
    (out / "efficiency.json").write_text(_compact(result), "utf-8")
    return [f"{len(used)} latencies of {len(features)} networks", *report, f"factors {result['factors']}"]


def _compact(result: dict[str, Any]) -> str:
    """JSON with one line an effect, so that a new fit reads well in a diff."""
    blocks = []
    for key, value in result.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            blocks.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            blocks.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"
