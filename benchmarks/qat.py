"""Claim: int8 fine-tuning and mixed precision bring back what post-training int8 loses on small networks.

    python benchmarks/qat.py [--datasets DIR] [--seeds N] [--json]

Small members of every family (16 to 32 KiB of weights and arena in int8) on `digits` and, where present, the given
data sets: float, post-training int8, fine-tuned int8 and mixed precision on the test split, means over seeds. The
baseline is post-training int8. Trainings are those of a search's first rung (`short`). The last rows widen the ranges
of one layer's channels in a trained network, which leaves the float network as it was: what int8 cannot take.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.build.compress import finetuned, mixed
from advisor.evaluate import Request, build, network_input, score_value, setting
from advisor.report.text import table
from advisor.runtimes.litert import LiteRt
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from specs.spec import parse_spec

IMAGE, SOUND, SERIES = "image-classification", "audio-classification", "timeseries-classification"
DSCNN = {"width": 16, "depth": 4, "kernel": 3, "stem_stride": 2, "growth": 2}
MOBILENET = {"width": 8, "depth": 1, "kernel": 3, "expansion": 3, "squeeze_excite": 1, "stem_stride": 2}
RESNET = {"width": 8, "blocks": 1, "groups": 3, "stem_stride": 2}
CASES = (
    ("digits", IMAGE, "accuracy",
     (("dscnn", {**DSCNN, "stem_stride": 1}), ("mobilenet", {**MOBILENET, "stem_stride": 1}))),
    ("sign_digits_32.npz", IMAGE, "accuracy", (("dscnn", DSCNN), ("mobilenet", MOBILENET))),
    ("fsdd_mfcc49x10.npz", SOUND, "accuracy", (("dscnn", DSCNN), ("resnet", RESNET))),
    ("har_smartphone.npz", SERIES, "balanced-accuracy",
     (("tcn", {"width": 16, "depth": 3, "kernel": 5, "stem_stride": 2, "dilation": 2}),
      ("dscnn", {**DSCNN, "stem_stride": 2}))),
)  # fmt: skip
SPEC = 'schema: 1\nname: qat\ntask: {{kind: {kind}, data: "{data}", metric: {metric}}}\ntargets: [host:litert]\n'
RUNTIMES = {"litert": LiteRt, "onnxruntime": OnnxRuntime}
RECIPES = ("fp32", "int8", "int8-qat", "mixed")
SPREAD = 100.0
WIDE = ("digits", "fsdd_mfcc49x10.npz")
"""Data sets whose first network is shown with widened ranges too."""


def main() -> int:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parents[1].parent / "shared" / "datasets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for data, kind, metric, members in CASES:
        source = data if data == "digits" else str(args.datasets / data)
        if data != "digits" and not Path(source).is_file():
            print(f"{data}: not found under {args.datasets}, left out", file=sys.stderr)
            continue
        task = open_task(parse_spec(SPEC.format(kind=kind, data=source, metric=metric)))
        shown = [(*member, False) for member in members] + [(*members[0], True)] * (data in WIDE)
        for name, params, wide in shown:
            found = [compare(task, name, params, seed, wide) for seed in range(args.seeds)]
            for runtime in RUNTIMES:
                label = f"{name}, widened" if wide else name
                rows.append({"data": data, "network": label, "runtime": runtime} | _means([f[runtime] for f in found]))
                if not args.json:
                    print(_line(rows[-1]), file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps(rows))
        return 0
    headers = ("data", "network", "runtime", "int8 KiB", "float", "int8", "int8-qat", "mixed", "mixed KiB",
               "worst int8", "worst qat", "tuning s")  # fmt: skip
    print(table(headers, [_cells(row) for row in rows]))
    return 0


def compare(task, name, params, seed, wide):  # type: ignore[no-untyped-def]
    """Test scores of every recipe, by runtime."""
    candidate = make_candidate(name, tuple(sorted(params.items())), task.shape, (), "int8", len(task.classes))
    x, labels = network_input(task, "test", candidate), task.load("test", candidate.shape).y
    results = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        request = Request(candidate, (), "short", folder, seed, task.metric != "accuracy")
        model, _, _ = build(request, task, lambda *_: None)
        model = _widened(model) if wide else model
        for runtime, maker in RUNTIMES.items():
            given = setting(request, task, lambda *_: None)
            row = results.setdefault(runtime, {})
            for recipe in RECIPES:
                made, facts = replace(model, quantization=recipe), {}
                if recipe == "int8-qat":
                    made, facts = finetuned(made, runtime, given)
                    row["seconds"] = facts["qat_seconds"]
                elif recipe == "mixed":
                    made, facts = mixed(made, runtime, given)
                artifact = maker().export(made, folder / runtime / recipe)
                session = maker().open(artifact)
                row[recipe] = score_value(task, np.argmax(session.run(x), 1), labels)
                row[f"{recipe} KiB"] = artifact.size_bytes / 1024
                session.close()
    return results


def _widened(model):  # type: ignore[no-untyped-def]
    """The same float function with the channels of the first layer, which a depthwise one reads, SPREAD apart."""
    network, weights = model.network, dict(model.weights)
    reader = next(la for la in network.layers if la.kind == "dwconv")
    layer = reader.inputs[0]
    factors = np.geomspace(1, SPREAD, len(weights[f"{layer}.bias"])).astype(np.float32)
    weights[f"{layer}.kernel"] = weights[f"{layer}.kernel"] * factors[:, None, None, None]
    weights[f"{layer}.bias"] = weights[f"{layer}.bias"] * factors
    weights[f"{reader.name}.kernel"] = weights[f"{reader.name}.kernel"] / factors[:, None, None, None]
    return replace(model, weights=weights)


def _means(rows):  # type: ignore[no-untyped-def]
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    for recipe in ("int8", "int8-qat", "mixed"):
        means[f"worst {recipe}"] = float(min(row[recipe] - row["fp32"] for row in rows))
    return means


def _cells(row):  # type: ignore[no-untyped-def]
    scores = [f"{row[recipe] * 100:.2f} %" for recipe in RECIPES]
    worst = [f"{row[f'worst {recipe}'] * 100:+.2f}" for recipe in ("int8", "int8-qat")]
    return (row["data"], row["network"], row["runtime"], f"{row['int8 KiB']:.1f}", *scores, f"{row['mixed KiB']:.1f}",
            *worst, f"{row['seconds']:.0f}")  # fmt: skip


def _line(row):  # type: ignore[no-untyped-def]
    return "  ".join(_cells(row))


if __name__ == "__main__":
    sys.exit(main())
