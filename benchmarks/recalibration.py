"""Claim: what a run measures of its own candidates brings the prediction error on this machine to ≤ 8 % (median,
members of the front). The baseline is the cost model that the run began with.

Candidates are drawn at random from the space of a spec, exported untrained (weights change no latency) and given an
accuracy that rises with their multiplications, with noise. Every candidate is measured at the end: what the search
never measured tells the error on others, and what two measurements of one file differ by is as little as any prediction
can be off. `--uncalibrated` begins as on a machine that nobody calibrated; `--candidates N`, `--target T`,
`--measurements N`, `--shape H W C`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advisor import plugins
from advisor.candidate import Candidate
from advisor.costs import cost_model
from advisor.devices.address import open_device
from advisor.evaluation import Evaluation
from advisor.report.text import table
from advisor.run import Run, create_run
from advisor.search.costing import Pricer
from advisor.search.recalibrate import Recalibrator
from advisor.space.search_space import SearchSpace, deployed_network, search_space
from advisor.testing import built_model
from cost_models.corrected import latencies
from cost_models.estimate import Estimate
from cost_models.layered import LayeredModel
from cost_models.read import read_workload
from specs.spec import parse_spec

SPEC = """
schema: 1
name: recalibration
task: {{kind: image-classification, data: digits}}
targets: ["{target}"]
limits: {{latency: {{max: 10 s, stat: p50}}}}
objectives: [accuracy, latency]
search: {{measurements: {measurements}, quantization: [fp32, int8], architectures: [dscnn, mobilenet, resnet]}}
"""
CLASSES = 10
BATCH = 4
TWICE = 8
"""Files measured a second time."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="host:onnxruntime")
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--measurements", type=int, default=24)
    parser.add_argument("--uncalibrated", action="store_true")
    parser.add_argument("--shape", type=int, nargs=3, default=(32, 32, 3))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = answer(args, Path(name))
    if args.json:
        print(json.dumps({"schema": 1, "target": args.target, "rows": rows}))
    else:
        shown = [(r["what"], f"{r['before'] * 100:.1f} %", f"{r['after'] * 100:.1f} %", str(r["count"]), r["required"])
                 for r in rows]  # fmt: skip
        print(table(("median error on", "baseline", "corrected", "candidates", "required"), shown))
    return 0


def answer(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    spec = parse_spec(SPEC.format(target=args.target, measurements=args.measurements))
    target = spec.targets[0]
    run = create_run(spec, folder / "run", {})
    pricer = Pricer(spec, LayeredModel() if args.uncalibrated else cost_model(target), CLASSES)
    device = open_device("local", target)
    engine = Recalibrator(pricer, target, device, run.ledger, run.folder, spec.search.measurements)
    space = search_space(spec, target, (tuple(args.shape),), CLASSES)
    rng = np.random.default_rng(args.seed)
    for i, candidate in enumerate(drawn(space, args.candidates, rng)):
        run.ledger.add(exported(candidate, run, engine, rng))
        if (i + 1) % BATCH == 0:
            engine.step((i + 1) / args.candidates)
    engine.finish()
    front = [row.evaluation.id for row in run.front().members]
    before, after = engine.errors(front) or (float("nan"), float("nan"))
    rows = [row("members of the front, each without its own measurement", before, after, len(front), "≤ 8 %")]
    others = [e for e in run.evaluations() if "measured" not in e.details]
    if others:
        workloads = [read_workload(run.folder / e.artifact) for e in others]
        base = latencies(pricer.model.predict(workloads, target))
        now = np.array([e.metric("latency_ms").value for e in others], dtype=float)
        taken = measured(engine, others)
        rows.append(row("candidates never measured before", median_error(base, taken), median_error(now, taken),
                        len(others)))  # fmt: skip
    again = [e for e in run.evaluations() if e.id in front][:TWICE]
    first = engine.usual_ms(e.id for e in again)
    medians = np.array([e.metric("latency_p50_ms").value for e in again], dtype=float)
    second = measured(engine, again)
    latest = {e.id: e.metric("latency_p50_ms").value for e in run.evaluations()}
    rows.append(row("second measurement: medians (baseline), at usual speed (corrected)",
                    median_error(medians, np.array([latest[e.id] for e in again], dtype=float)),
                    median_error(np.array([first[e.id] for e in again]), second), len(again)))  # fmt: skip
    device.close()
    return rows


def row(what: str, before: float, after: float, count: int, required: str = "") -> dict[str, Any]:
    return {"what": what, "before": before, "after": after, "count": count, "required": required}


def measured(engine: Recalibrator, evaluations: Sequence[Evaluation]) -> np.ndarray:
    """Milliseconds at the device's usual speed; NaN where it failed."""
    for evaluation in evaluations:
        engine.measure(evaluation)
    usual = engine.usual_ms(e.id for e in evaluations)
    return np.array([usual.get(e.id, np.nan) for e in evaluations])


def median_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(np.nanmedian(np.abs(predicted / measured - 1)))


def drawn(space: SearchSpace, count: int, rng: np.random.Generator) -> Sequence[Candidate]:
    """Different candidates, every value of every dimension equally likely."""
    found: dict[str, Candidate] = {}
    while len(found) < count:
        values: dict[str, Any] = {d.name: d.grid()[int(rng.integers(len(d.grid())))] for d in space.common()}
        for d in space.dimensions(str(values["architecture"])):
            values[d.name] = d.grid()[int(rng.integers(len(d.grid())))]
        candidate = space.candidate(values)
        found[candidate.id] = candidate
    return list(found.values())


def exported(candidate: Candidate, run: Run, engine: Recalibrator, rng: np.random.Generator) -> Evaluation:
    """The candidate's file with weights nobody trained, priced as a search would at this moment."""
    network = deployed_network(candidate, CLASSES)
    assert network is not None
    runtime = plugins.load("runtimes", engine.target.runtime.id)()
    artifact = runtime.export(built_model(network, candidate.quantization),
                              run.folder / "artifacts" / candidate.id / "short")  # fmt: skip
    metrics = engine.pricer_now.before_training(candidate, engine.target)
    assert metrics is not None
    accuracy = 0.5 + 0.03 * np.log(metrics["macs"].value or 1) - abs(rng.normal(0, 0.05))
    metrics["accuracy"] = Estimate(accuracy, accuracy - 0.02, accuracy + 0.02, "measured", 360)
    path, details = str(artifact.path.relative_to(run.folder)), {"layout": artifact.layout}
    return Evaluation(candidate, engine.target.id, "short", "done", metrics, artifact=path,
                      artifact_sha256=artifact.sha256, details=details)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
