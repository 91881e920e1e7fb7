"""RAM and flash against published figures: `python benchmarks/cost_memory.py [--models DIR --measurements DIR --json]`.

Networks of ST's tables (X-CUBE-AI) are predicted from the other network families only; those of SiliconLabs/mltk
(TFLM with accelerated kernels) by arithmetic. Beside them what one gets without a model of the tool: the most bytes
alive at once and the catalogue's median for the runtime.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost_models.fit_memory import Fact, extract, fit_memory, predicted
from cost_models.memory import live_bytes, optimized_scratch_bytes, persistent_bytes, plan_arena
from cost_models.read import read_workload
from specs.catalog import runtimes

SHARED = Path(__file__).parents[2] / "shared"
ASKED = {"median error": 0.10, "coverage": (0.86, 0.96)}


@dataclass(frozen=True)
class Row:
    """A published figure (bytes), ours with its interval, and the baseline's."""

    group: str
    metric: str
    network: str
    published: float
    ours: float
    low: float
    high: float
    baseline: float


def stm32_rows(measurements: Path, models: Path) -> list[Row]:
    facts = extract(measurements, models)
    runtime = runtimes()["stm32cube-ai"]
    found = []
    for family in sorted({f.family for f in facts}):
        model = fit_memory([f for f in facts if f.family != family])
        for fact in (f for f in facts if f.family == family):
            ram, flash = predicted(model, fact)
            tool = "X-CUBE-AI 7-8" if "2023" in fact.source else "X-CUBE-AI 10"
            both = fact.activations + fact.runtime_ram, fact.weights + fact.code
            plain = _live(fact, models) + runtime.ram_bytes[1], fact.weight_bytes + runtime.flash_bytes[1]
            for metric, published, (value, low, high), base in zip(
                ("RAM", "flash"), both, (ram, flash), plain, strict=True
            ):
                found.append(Row(tool, metric, fact.network.split("__")[-1], published, value, low, high, base))
    return found


def _live(fact: Fact, models: Path) -> int:
    from cost_models.mobilenets import mobilenet_v1, mobilenet_v2

    for path in sorted((models / "stm32").glob("*")):
        if path.stem == fact.network.replace("_float", "_int8"):
            return live_bytes(read_workload(path)) * (4 if fact.precision == "fp32" and "_float" in fact.network else 1)
    _, version, width, side = fact.network.split("_")
    return live_bytes((mobilenet_v1 if version == "v1" else mobilenet_v2)(float(width), int(side), 5))


def mltk_rows(measurements: Path, models: Path) -> list[Row]:
    found = []
    with (measurements / "mltk.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = models / "mltk" / f"{row['model']}__{row['model']}.tflite"
        if row["device"] != "EFR32xG24" or not row["peak_ram_kb"] or not path.is_file():
            continue
        workload = read_workload(path)
        arena, scratch = plan_arena(workload, "mvp").bytes, optimized_scratch_bytes(workload)
        low, likely, high = persistent_bytes(workload, "mvp")
        published = float(row["peak_ram_kb"]) * 1024
        found.append(
            Row("TFLM + MVP", "RAM", row["model"], published, arena + likely, arena + low, arena + scratch + high,
                live_bytes(workload) + persistent_bytes(workload)[1])
        )  # fmt: skip
        size = float(workload.file_bytes or 0)
        found.append(Row("TFLM + MVP", "flash", row["model"], float(row["flash_kb"]) * 1024, size, size, size,
                         workload.weight_bytes))  # fmt: skip
    return found


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Errors of all figures, and how many of those with an interval lie in it."""
    unsure = [r for r in rows if r.low < r.high]
    return {
        "n": len(rows),
        "median error": statistics.median(abs(r.ours / r.published - 1) for r in rows),
        "worst error": max(abs(r.ours / r.published - 1) for r in rows),
        "baseline median error": statistics.median(abs(r.baseline / r.published - 1) for r in rows),
        "coverage": sum(r.low <= r.published <= r.high for r in unsure) / len(unsure) if unsure else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--measurements", type=Path, default=SHARED / "measurements")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for folder, name in ((options.models, "--models"), (options.measurements, "--measurements")):
        if not folder.is_dir():
            print(f"cost_memory: no published data: {folder} is missing; pass {name} DIR", file=sys.stderr)
            return 2
    rows = stm32_rows(options.measurements, options.models) + mltk_rows(options.measurements, options.models)
    groups = sorted({(r.metric, r.group) for r in rows})
    table = {f"{metric} {group}": summary([r for r in rows if (r.metric, r.group) == (metric, group)])
             for metric, group in groups}  # fmt: skip
    for metric in ("RAM", "flash"):
        table[f"{metric} X-CUBE-AI all"] = summary([r for r in rows if r.metric == metric and "CUBE" in r.group])
        table[f"{metric} all"] = summary([r for r in rows if r.metric == metric])
    if options.json:
        print(json.dumps({"schema": 1, "asked": ASKED, "groups": table, "rows": [r.__dict__ for r in rows]}, indent=1))
        return 0
    print(f"{'':24}{'n':>4}{'median error':>14}{'worst':>8}{'baseline':>10}{'in interval':>13}")
    for name, s in table.items():
        covered = "exact" if s["coverage"] is None else f"{s['coverage']:.0%}"
        print(f"{name:24}{s['n']:4}{s['median error']:14.1%}{s['worst error']:8.0%}{s['baseline median error']:10.1%}"
              f"{covered:>13}")  # fmt: skip
    print("asked: median error at most 10 %, 86 to 96 % in the interval where predicted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
