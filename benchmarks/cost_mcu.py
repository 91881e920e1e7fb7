"""Latency on microcontrollers: an unseen network on a seen chip and runtime, and an unseen chip of a seen core.

    python benchmarks/cost_mcu.py [--measurements DIR --models DIR] [--json]

Published rows of MLPerf Tiny, STM32's model zoo, SiliconLabs/mltk and Espressif (default: the facts the package
carries). Each network is left out everywhere, then each board; the baseline is a fit on MACs alone, one a board and
runtime for networks, cycles a MAC of the core and runtime for boards. Intervals take their width from
the errors of the other groups, as the fit's factors do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.efficiency import core_class
from cost_models.extract import Fact, Features, facts_in, networks_in, read_facts
from cost_models.fit_efficiency import HERE, predict, problem_of, solve

Array = NDArray[np.float64]
LEAST_SPREAD = 0.15
"""Networks of a board and runtime whose MACs differ less than this in logarithms give no slope."""


def load(measurements: Path | None, models: Path | None) -> tuple[list[Fact], dict[str, Features]]:
    """Facts of microcontrollers and their accelerators, and the features of their networks."""
    if measurements is None:
        facts, networks = read_facts(HERE / "facts.csv"), json.loads((HERE / "networks.json").read_text("utf-8"))
    else:
        if not measurements.is_dir() or models is None or not models.is_dir():
            raise SystemExit(_refuse("--measurements and --models must both be folders"))
        facts, networks = facts_in(measurements), networks_in(models)
    found = [f for f in facts if f.network in networks and core_class(f.core).startswith(("mcu", "npu"))]
    if len({f.network for f in found}) < 3:
        raise SystemExit(_refuse("fewer than three microcontroller networks with both a row and a file"))
    return _merged(found), networks


def _merged(facts: Sequence[Fact]) -> list[Fact]:
    """Repeats of one network on one board, runtime and precision as one fact of their geometric mean."""
    groups: dict[tuple[Any, ...], list[Fact]] = {}
    for fact in facts:
        groups.setdefault((fact.runtime, fact.core, fact.board, fact.precision, fact.network), []).append(fact)
    return [replace(same[0], latency_ms=float(np.exp(np.mean([np.log(f.latency_ms) for f in same]))))
            for same in groups.values()]  # fmt: skip


def left_out(facts: Sequence[Fact], networks: dict[str, Features], group: Callable[[Fact], str],
             place: Callable[[Fact], tuple[str, ...]]) -> Array:  # fmt: skip
    """Log cycles of every fact predicted without its group; NaN where nothing else was measured at its place."""
    problem = problem_of(facts, networks)
    groups, places = [group(f) for f in facts], [place(f) for f in facts]
    whole, result = solve(problem), np.full(len(facts), np.nan)
    for held in dict.fromkeys(groups):
        keep = np.array([g != held for g in groups])
        rest = {p for p, k in zip(places, keep, strict=True) if k}
        known = np.array([p in rest for p in places])
        if (~keep & known).any():
            effects = solve(problem.rows(keep), whole, rounds=8)
            result[~keep & known] = predict(problem.rows(~keep & known), effects)
    return result


def by_macs(facts: Sequence[Fact], networks: dict[str, Features], observed: Array, group: Callable[[Fact], str],
            place: Callable[[Fact], tuple[str, ...]], *, slope: bool) -> Array:  # fmt: skip
    """The baseline: log cycles from log MACs of the other facts at the same place."""
    macs = np.log([max(1, sum(row[0] for row in networks[f.network].values())) for f in facts])
    result = np.full(len(facts), np.nan)
    for i, fact in enumerate(facts):
        others = [j for j, f in enumerate(facts) if place(f) == place(fact) and group(f) != group(fact)]
        if not others:
            continue
        x, y = macs[others], observed[others]
        if slope and len(others) > 2 and np.ptp(x) > LEAST_SPREAD:
            gradient, level = np.polyfit(x, y, 1)
            result[i] = level + gradient * macs[i]
        else:
            result[i] = macs[i] + np.mean(y - x)
    return result


def measure(facts: Sequence[Fact], networks: dict[str, Features], group: Callable[[Fact], str],
            place: Callable[[Fact], tuple[str, ...]], *, slope: bool) -> dict[str, Any]:  # fmt: skip
    observed = problem_of(facts, networks).observed
    ours = left_out(facts, networks, group, place)
    base = by_macs(facts, networks, observed, group, place, slope=slope)
    kept = ~np.isnan(ours)
    errors = np.abs(ours - observed)
    groups = np.array([group(f) for f in facts])
    names = sorted(set(groups[kept]))
    inside = 0
    for name in names:
        others, mine = errors[kept & (groups != name)], errors[kept & (groups == name)]
        inside += int((mine <= np.quantile(others, 0.9)).sum()) if len(others) else 0
    return {"n": int(kept.sum()), "groups": len(names),
            "median_error": float(np.median(np.abs(np.exp(ours - observed)[kept] - 1))),
            "baseline": float(np.nanmedian(np.abs(np.exp(base - observed)[kept] - 1))),
            "coverage": inside / max(1, int(kept.sum()))}  # fmt: skip


def _refuse(text: str) -> int:
    print(f"cost_mcu: {text}", file=sys.stderr)
    return 2


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measurements", type=Path, help="folder of published tables (default: the carried facts)")
    parser.add_argument("--models", type=Path, help="folder of the networks they name")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    facts, networks = load(args.measurements, args.models)
    result = {
        "unseen_network": measure(facts, networks, lambda f: f.network,
                                  lambda f: (f.board, f.runtime, f.precision), slope=True) | {"asked": 0.15},
        "unseen_chip": measure(facts, networks, lambda f: f.board,
                               lambda f: (f.core, f.runtime, f.precision), slope=False) | {"asked": 0.25},
    }  # fmt: skip
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{len(facts)} published latencies on microcontrollers; median error")
    print(f"{'':42}{'rows':>6}{'MACs alone':>12}{'ours':>9}{'asked':>8}{'inside 90 %':>13}")
    for key, name in (("unseen_network", "unseen network, seen chip and runtime"),
                      ("unseen_chip", "unseen chip, seen core and runtime")):  # fmt: skip
        row = result[key]
        print(f"{name:42}{row['n']:>6}{row['baseline']:>12.1%}{row['median_error']:>9.1%}{row['asked']:>8.0%}"
              f"{row['coverage']:>13.1%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
