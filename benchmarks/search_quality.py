"""Claim: within its time budget the search finds an int8 network for a microcontroller that meets tight limits.

    python benchmarks/search_quality.py [--datasets DIR] [--case NAME] [--minutes M] [--json]

Each case searches for `stm32h743:tflm` with limits on arena and model file, picks the most accurate member of the
front by validation, and reports the exported int8 .tflite run by TFLM on the test split, once. The baseline is the
float accuracy of a plain depthwise network of a few thousand parameters, trained for seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from board import BOARD

from advisor.front import pick
from advisor.pipeline import search
from advisor.progress import Event
from advisor.report.text import table
from specs.spec import parse_spec

CASES = {
    # name: (task, data file, metric, RAM and flash limits, minutes, accuracy asked, baseline)
    "signs": ("image-classification", "sign_digits_32.npz", "accuracy", "64 KiB", "64 KiB", 15, 0.975, 0.988),
    "spoken": ("audio-classification", "fsdd_mfcc49x10.npz", "accuracy", "32 KiB", "48 KiB", 10, 0.985, 0.993),
    "motion": (
        "timeseries-classification",
        "har_smartphone.npz",
        "balanced-accuracy",
        "32 KiB",
        "48 KiB",
        10,
        0.92,
        0.917,
    ),
}
SPEC = (
    BOARD
    + """\
objectives: [accuracy, latency]
search: {{trials: 200, time: {minutes} min, quantization: [int8], seed: {seed}}}
"""
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--minutes", type=float, help="instead of each case's own budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the run directories here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.datasets.is_dir():
        print(f"skipped: no data sets in {args.datasets} (name a folder with --datasets)")
        return 0
    rows = [run_case(name, args) for name in args.case or CASES]
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = (
        "case",
        "int8 test",
        "90 % interval",
        "asked",
        "plain float net",
        "arena",
        "limit",
        "file",
        "limit",
        "trained",
        "skipped",
        "minutes",
        "candidate",
    )
    shown = [
        (
            r["case"],
            f"{r['test'] * 100:.1f} %",
            f"{r['low'] * 100:.1f}–{r['high'] * 100:.1f}",
            f"≥ {r['asked'] * 100:g} %",
            f"{r['baseline'] * 100:g} %",
            f"{r['arena_bytes']} B",
            r["ram"],
            f"{r['file_bytes']} B",
            r["flash"],
            str(r["trained"]),
            str(r["skipped"]),
            f"{r['minutes']:.1f}",
            r["candidate"],
        )
        for r in rows
    ]
    print(table(headers, shown))
    return 0


def run_case(name: str, args: argparse.Namespace) -> dict[str, object]:
    kind, file, metric, ram, flash, minutes, asked, baseline = CASES[name]
    data = (args.datasets / file).absolute()
    text = SPEC.format(name=name, kind=kind, data=data, metric=metric, ram=ram, flash=flash, seed=args.seed,
                       minutes=args.minutes or minutes)  # fmt: skip
    folder = Path(tempfile.mkdtemp()) if args.keep is None else args.keep / name
    started = time.monotonic()

    def listen(event: Event) -> None:
        if event.lasting:
            print(f"{time.monotonic() - started:6.0f} s  {event.text}", file=sys.stderr, flush=True)

    done = search(parse_spec(text), folder / "run", listen)
    minutes_taken = (time.monotonic() - started) / 60
    found = done.front
    best = pick(found, "accuracy").evaluation
    test = best.details["test_accuracy"]
    row = {
        "case": name, "test": test["value"], "low": test["low"], "high": test["high"], "asked": asked,
        "baseline": baseline, "validation": best.metric("accuracy").value, "arena_bytes": best.details["arena_bytes"],
        "ram": ram, "file_bytes": int(best.metric("model_bytes").value or 0), "flash": flash,
        "trained": len(found.ranked), "skipped": found.skipped, "minutes": minutes_taken,
        "sqnr_db": best.details["sqnr_db"], "candidate": best.candidate.describe(),
    }  # fmt: skip
    if args.keep is None:
        shutil.rmtree(folder)
    return row


if __name__ == "__main__":
    sys.exit(main())
