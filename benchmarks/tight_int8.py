"""Claim: within 30 minutes the search finds int8 networks that are as accurate as float ones in 16 to 32 KiB of RAM.

    python benchmarks/tight_int8.py [--datasets DIR] [--case NAME ...] [--minutes M] [--speakers N] [--seed S]
        [--keep DIR] [--json]

Each case is a spec for `stm32h743:tflm` with limits on arena and model file (`counts: model`), searched as `advisor
search` does. Reported is the exported int8 .tflite of the front's most accurate member by validation, run by TFLM on
the test split, once. `unheard` leaves one of the six speakers out of everything but the test split, one search of the
whole time for each, and reports the mean. The baseline beside it: a plain depthwise network in float, trained for
seconds, and a random forest on raw values where one was fitted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from board import BOARD

from advisor.front import pick
from advisor.pipeline import search
from advisor.progress import Event
from advisor.report.text import table
from specs.errors import SpecError
from specs.spec import parse_spec


@dataclass(frozen=True)
class Case:
    kind: str
    file: str
    metric: str
    ram: str
    flash: str
    asked: float
    plain: float
    """Test score of a plain float network of a few thousand weights, trained for seconds."""
    forest: float | None = None
    speakers: bool = False


CASES = {
    "signs": Case("image-classification", "sign_digits_32.npz", "accuracy", "32 KiB", "32 KiB", 0.99, 0.988),
    "spoken": Case("audio-classification", "fsdd_mfcc49x10.npz", "accuracy", "24 KiB", "32 KiB", 0.993, 0.993),
    "unheard": Case("audio-classification", "fsdd_mfcc49x10.npz", "accuracy", "32 KiB", "48 KiB", 0.88, 0.796, 0.84,
                    speakers=True),
    "motion": Case("timeseries-classification", "har_smartphone.npz", "balanced-accuracy", "16 KiB", "24 KiB", 0.94,
                   0.917, 0.924),
}  # fmt: skip
SPEC = (
    BOARD
    + """\
objectives: [accuracy]
search: {{trials: 1000, time: {minutes} min, quantization: [int8, int8-qat], seed: {seed}}}
"""
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--minutes", type=float, default=30.0, help="of every search")
    parser.add_argument("--speakers", type=int, default=6, help="how many are left out in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the run directories here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.datasets.is_dir():
        print(f"skipped: no data sets in {args.datasets} (name a folder with --datasets)")
        return 0
    rows: list[dict[str, Any]] = []
    for name in args.case or CASES:
        rows += run_case(name, CASES[name], args)
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("case", "int8 test", "90 %", "asked", "plain float", "forest", "val", "arena", "of", "file", "of",
               "candidates", "minutes", "candidate")  # fmt: skip
    print(table(headers, [_cells(row) for row in rows]))
    return 0


def run_case(name: str, case: Case, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the table: one, or one a speaker and their mean."""
    source = args.datasets / case.file
    if not source.is_file():
        print(f"{name}: no {source}, left out", file=sys.stderr)
        return []
    folder = Path(tempfile.mkdtemp()) if args.keep is None else args.keep
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not case.speakers:
            return [_searched(name, case, source.absolute(), folder / name, args)]
        rows = []
        with np.load(source) as file:
            arrays = dict(file)
        for speaker in np.unique(arrays["speaker_train"])[: args.speakers]:
            data = folder / f"without-{speaker}.npz"
            np.savez_compressed(data, **_without(arrays, speaker))
            rows.append(_searched(f"{name} {speaker}", case, data.absolute(), folder / f"{name}-{speaker}", args))
        return [*rows, {**rows[0], "case": f"{name}, mean", **_mean(rows)}]
    finally:
        if args.keep is None:
            shutil.rmtree(folder)


def _searched(name: str, case: Case, data: Path, run: Path, args: argparse.Namespace) -> dict[str, Any]:
    text = SPEC.format(name=name.replace(" ", "-"), kind=case.kind, data=data, metric=case.metric, ram=case.ram,
                       flash=case.flash, minutes=args.minutes, seed=args.seed)  # fmt: skip
    started = time.monotonic()

    def listen(event: Event) -> None:
        if event.lasting:
            print(f"{name} {time.monotonic() - started:6.0f} s  {event.text}", file=sys.stderr, flush=True)

    found = search(parse_spec(text), run, listen).front
    row: dict[str, Any] = {
        "case": name, "asked": case.asked, "plain_float": case.plain, "forest": case.forest, "ram": case.ram,
        "flash": case.flash, "candidates": len(found.ranked), "skipped": found.skipped,
        "minutes": (time.monotonic() - started) / 60,
    }  # fmt: skip
    try:
        best = pick(found, "accuracy").evaluation
    except SpecError as error:
        return {**row, "test": None, "candidate": str(error)}
    test = best.details["test_accuracy"]
    return {
        **row, "test": test["value"], "low": test["low"], "high": test["high"],
        "validation": best.metric("accuracy").value, "arena_bytes": best.details["arena_bytes"],
        "file_bytes": int(best.metric("model_bytes").value or 0), "candidate": best.candidate.describe(),
        "fidelity": best.fidelity,
    }  # fmt: skip


def _without(arrays: dict[str, Any], speaker: str) -> dict[str, Any]:
    """The data set with this speaker's samples as test split, all others' as training."""
    split = {}
    x, y, who = (np.concatenate([arrays[f"{key}_train"], arrays[f"{key}_test"]]) for key in ("X", "y", "speaker"))
    for name, chosen in (("train", who != speaker), ("test", who == speaker)):
        split |= {f"X_{name}": x[chosen], f"y_{name}": y[chosen], f"speaker_{name}": who[chosen]}
    return split


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for key in ("test", "low", "high", "validation", "minutes", "candidates"):
        values = [row.get(key) for row in rows]
        means[key] = None if None in values else float(np.mean([value for value in values if value is not None]))
    return {**means, "candidate": f"mean of {len(rows)} speakers"}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value * 100:.1f} %"

    if row["test"] is None:
        return (row["case"], "none", "", f"≥ {percent(row['asked'])}", percent(row["plain_float"]),
                percent(row["forest"]), *[""] * 5, f"{row['candidates']:.0f}", f"{row['minutes']:.1f}",
                row["candidate"])  # fmt: skip
    return (row["case"], percent(row["test"]), f"{row['low'] * 100:.1f}–{row['high'] * 100:.1f}",
            f"≥ {percent(row['asked'])}", percent(row["plain_float"]), percent(row["forest"]),
            percent(row["validation"]), f"{row['arena_bytes']} B", row["ram"], f"{row['file_bytes']} B", row["flash"],
            f"{row['candidates']:.0f}", f"{row['minutes']:.1f}", row["candidate"])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
