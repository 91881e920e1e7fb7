"""Claim: `search: {harden: true}` raises accuracy under corruption and leaves clean accuracy about where it was.

    python benchmarks/robustness.py [--datasets DIR] [--fidelity short|full] [--runtime onnxruntime] [--json]

One network, int8, trained twice the same way, without and with hardening against every corruption of its kind of task,
and judged as exported: by the metric of the task on clean and on corrupted samples of the test split, with corruptions
drawn by another seed than training met. `digits`, and of --datasets those that are there: pictures, sounds (features
and waveforms) and sensor windows. The baseline is the network without hardening.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from advisor.evaluate import Request, evaluate, score_split
from advisor.report.text import table
from advisor.robustness import robust_accuracy
from advisor.space.search_space import load_family, make_candidate
from advisor.tasks.load import open_task
from specs.limits import CORRUPTIONS
from specs.spec import parse_spec

FILES = {
    "sign_digits_32.npz": ("image-classification", "accuracy"),
    "fsdd_mfcc49x10.npz": ("audio-classification", "accuracy"),
    "fsdd_audio8k_1s.npz": ("audio-classification", "accuracy"),
    "har_smartphone.npz": ("timeseries-classification", "balanced-accuracy"),
}
SPEC = 'schema: 1\nname: x\ntask: {{kind: {kind}, data: "{data}", metric: {metric}}}\ntargets: [host:onnxruntime]\n'
SEED, JUDGED_BY = 0, 1
SIZE = 0.4
"""Where in the ranges of its family the network lies."""


def main() -> int:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--fidelity", choices=("short", "full"), default="short")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sources = [("digits", "image-classification", "accuracy")]
    sources += [(str(args.datasets / f), *what) for f, what in FILES.items() if (args.datasets / f).is_file()]
    rows = []
    for data, kind, metric in sources:
        rows += compare(data, kind, metric, args.fidelity, args.runtime)
        print(f"{Path(data).stem}: done", file=sys.stderr)
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("test split of", "training", "clean", "robust (90 %)", "training s", "worst", "by corruption")
    print(table(headers, [_shown(row) for row in rows]))
    return 0


def compare(data: str, kind: str, metric: str, fidelity: Any, runtime: str) -> list[dict[str, Any]]:
    """The network without and with hardening on one data set."""
    task = open_task(parse_spec(SPEC.format(kind=kind, data=data, metric=metric)))
    family = load_family("dscnn")
    params = {d.name: d.grid()[round(SIZE * (len(d.grid()) - 1))] for d in family.dimensions(task.shape)}
    candidate = make_candidate("dscnn", tuple(sorted(params.items())), task.shape, (), "int8", len(task.classes))
    under = CORRUPTIONS[kind]
    rows = []
    for harden in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            request = Request(candidate, (runtime,), fidelity, Path(folder), SEED, metric != "accuracy", under, harden)
            (found,) = evaluate(request, task, lambda *_: None)
            if found.artifact is None:
                raise SystemExit(f"{data}: {found.error}")
            clean = score_split(found.artifact, candidate, task, "test")
            robust, details = robust_accuracy(found.artifact, candidate, task, under, JUDGED_BY, "test")
        rows.append({"data": Path(data).stem, "hardened": harden, "clean": clean.to_dict(), "robust": robust.to_dict(),
                     "under": details["under"], "worst": details["worst"],
                     "seconds": found.details["seconds"]})  # fmt: skip
    return rows


def _shown(row: dict[str, Any]) -> list[str]:
    robust = row["robust"]
    parts = [f"{name} {found['value'] * 100:.0f}" for name, found in row["under"].items() if found["value"] is not None]
    return [
        row["data"],
        "hardened" if row["hardened"] else "plain",
        f"{row['clean']['value'] * 100:.1f} %",
        f"{robust['value'] * 100:.1f} % ({robust['low'] * 100:.1f}–{robust['high'] * 100:.1f})",
        f"{row['seconds']:.0f}",
        row["worst"],
        ", ".join(parts),
    ]


if __name__ == "__main__":
    sys.exit(main())
