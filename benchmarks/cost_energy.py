"""Energy against published figures: `python benchmarks/cost_energy.py [--models DIR --measurements DIR --json]`.

MLPerf Tiny's microcontrollers. Power of what is left out (a network on its board, a whole board, a whole chip) is
predicted from the rest, and energy is power by time: by the measured latency, and by the predicted one, whose model has
seen these latencies. Beside it one power for the whole class of boards: the median of all runs not left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from typing import Any

from cost_models.analytic import AnalyticModel
from cost_models.estimate import Estimate
from cost_models.fit_energy import Energy, best_spread, calibration, extract, left_out
from cost_models.read import read_workload
from specs import catalog

SHARED = Path(__file__).parents[2] / "shared"
FILES = {"deep autoencoder": "ad01_int8", "resnet8": "pretrainedResnet_quant", "ds-cnn": "kws_ref_model",
         "mobilenetv1_0.25": "vww_96_int8"}  # fmt: skip
LEVELS = {"network": "a network new to a board", "board": "a board new to a chip", "chip": "a chip never seen"}
ASKED = {"median error of a network new to a board": 0.20, "coverage": (0.86, 0.96)}


def rows(facts: Sequence[Energy], latencies: dict[tuple[str, str, str], Estimate]) -> list[dict[str, Any]]:
    spread = best_spread(facts)
    found = []
    for level, title in LEVELS.items():
        width = calibration(facts, spread, level)
        for fact in facts:
            mean, deviation, _ = left_out(facts, spread, fact, level)
            watts = exp(mean) * fact.clock_mhz / 1e3
            class_mw = statistics.median(
                1e3 * f.energy_mj / f.latency_ms for f in facts if getattr(f, level) != getattr(fact, level)
            )
            latency = latencies.get((fact.chip, fact.runtime, fact.network))
            entry: dict[str, Any] = {
                "level": level, "what": title, "chip": fact.chip, "board": fact.board, "network": fact.network,
                "published_mj": fact.energy_mj, "ours_mj": watts * fact.latency_ms,
                "baseline_mj": class_mw / 1e3 * fact.latency_ms,
                "inside": abs(fact.log_power - mean) <= width * deviation, "predicted_latency_mj": None,
            }  # fmt: skip
            if latency is not None and latency.value and latency.low and latency.high:
                value = watts * latency.value
                entry["predicted_latency_mj"] = value
                both = [
                    ((width * deviation) ** 2 + log(t / latency.value) ** 2) ** 0.5 for t in (latency.low, latency.high)
                ]
                entry["predicted_inside"] = value * exp(-both[0]) <= fact.energy_mj <= value * exp(both[1])
            found.append(entry)
    return found


def predicted_latencies(facts: Sequence[Energy], models: Path) -> dict[tuple[str, str, str], Estimate]:
    """Of every chip and runtime in the catalogue and network at hand, by chip, runtime, network."""
    workloads = {}
    for network, stem in FILES.items():
        for path in (models / "mlcommons_tiny").glob(f"*{stem}.tflite"):
            workloads[network] = read_workload(path)
    known = {target.id for target in catalog.targets()}
    found = {}
    for chip, runtime in sorted({(f.chip, f.runtime) for f in facts}):
        if f"{chip}:{runtime}" not in known:
            continue
        costs = AnalyticModel().predict(list(workloads.values()), catalog.target(f"{chip}:{runtime}"))
        for network, cost in zip(workloads, costs, strict=True):
            found[chip, runtime, network] = cost.metrics["latency_ms"]
    return found


def _error(entries: Sequence[dict[str, Any]], key: str) -> float | None:
    errors = [abs(e[key] / e["published_mj"] - 1) for e in entries if e[key] is not None]
    return statistics.median(errors) if errors else None


def summary(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    timed = [e for e in entries if e["predicted_latency_mj"] is not None]
    return {
        "n": len(entries),
        "median error": _error(entries, "ours_mj"),
        "baseline": _error(entries, "baseline_mj"),
        "coverage": sum(e["inside"] for e in entries) / len(entries),
        "n predicted latency": len(timed),
        "median error predicted latency": _error(timed, "predicted_latency_mj"),
        "coverage predicted latency": sum(e["predicted_inside"] for e in timed) / len(timed) if timed else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--measurements", type=Path, default=SHARED / "measurements")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for folder, name in ((options.models, "--models"), (options.measurements, "--measurements")):
        if not folder.is_dir():
            print(f"cost_energy: no published data: {folder} is missing; pass {name} DIR", file=sys.stderr)
            return 2
    facts = extract(options.measurements)
    found = rows(facts, predicted_latencies(facts, options.models))
    table = {level: summary([e for e in found if e["level"] == level]) for level in LEVELS}
    if options.json:
        print(json.dumps({"schema": 1, "asked": ASKED, "levels": table, "rows": found}, indent=1))
        return 0
    print(f"{'left out':28}{'n':>4}{'median error':>14}{'baseline':>10}{'in interval':>13}   with predicted latency")
    for level, s in table.items():
        timed = f"{s['median error predicted latency']:.1%} of {s['n predicted latency']}, " \
                f"{s['coverage predicted latency']:.0%} in interval"  # fmt: skip
        print(f"{LEVELS[level]:28}{s['n']:4}{s['median error']:14.1%}{s['baseline']:10.1%}{s['coverage']:13.0%}"
              f"   {timed}")  # fmt: skip
    print("asked: median error at most 20 % of a network new to a board, 86 to 96 % in the interval")
    return 0


if __name__ == "__main__":
    sys.exit(main())
