"""Claim: what a run measures of its own candidates brings the prediction error on this machine to ≤ 8 % (median,
members of the front). The baseline is the cost model that the run began with.

Candidates are drawn at random from the space of a spec, exported untrained (weights change no latency) and given an
accuracy that rises with their multiplications, with noise. Every candidate is measured at the end: what the search
never measured tells the error on others. `--candidates N`, `--target T`, `--measurements N`.
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
from advisor.measure.protocol import QUICK
from advisor.report.text import table
from advisor.run import Run, create_run
from advisor.search.artifacts import artifact_of
from advisor.search.costing import Pricer
from advisor.search.recalibrate import Recalibrator
from advisor.space.search_space import SearchSpace, deployed_network, search_space
from advisor.testing import built_model
from cost_models.estimate import Estimate
from cost_models.read import read_workload
from specs.spec import parse_spec

SPEC = """
schema: 1
name: recalibration
task: {{kind: image-classification, data: digits}}
targets: ["{target}"]
limits: {{latency: {{max: 10 s}}}}
objectives: [accuracy, latency]
search: {{measurements: {measurements}, quantization: [fp32, int8], architectures: [dscnn, mobilenet, resnet]}}
"""
SHAPE, CLASSES = (32, 32, 3), 10
BATCH = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="host:onnxruntime")
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--measurements", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = answer(args.target, args.candidates, args.measurements, args.seed, Path(name))
    if args.json:
        print(json.dumps({"schema": 1, "target": args.target, "rows": rows}))
    else:
        shown = [(r["what"], f"{r['before'] * 100:.1f} %", f"{r['after'] * 100:.1f} %", str(r["count"]), r["required"])
                 for r in rows]  # fmt: skip
        print(table(("median error on", "baseline", "corrected", "candidates", "required"), shown))
    return 0


def answer(name: str, count: int, measurements: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    spec = parse_spec(SPEC.format(target=name, measurements=measurements))
    target = spec.targets[0]
    run = create_run(spec, folder / "run", {})
    pricer = Pricer(spec, cost_model(target), CLASSES)
    device = open_device("local", target)
    engine = Recalibrator(pricer, target, device, run.ledger, run.folder, spec.search.measurements)
    space = search_space(spec, target, (SHAPE,), CLASSES)
    rng = np.random.default_rng(seed)
    for i, candidate in enumerate(drawn(space, count, rng)):
        run.ledger.add(exported(candidate, run, engine, rng))
        if (i + 1) % BATCH == 0:
            engine.step((i + 1) / count)
    engine.finish()
    front = [row.evaluation.id for row in run.front().members]
    before, after = engine.errors(front) or (float("nan"), float("nan"))
    rows = [{"what": "members of the front, each without its own measurement", "before": before, "after": after,
             "count": len(front), "required": "≤ 8 %"}]  # fmt: skip
    others = [row for row in run.evaluations() if "measured" not in row.details]
    if others:
        taken = np.array([device.run(artifact_of(e, run.folder, target), QUICK).latency("p50").value for e in others],
                         dtype=float)  # fmt: skip
        workloads = [read_workload(run.folder / e.artifact) for e in others]
        base = np.array([c.metrics["latency_ms"].value for c in pricer.model.predict(workloads, target)], dtype=float)
        now = np.array([e.metric("latency_ms").value for e in others], dtype=float)
        rows.append({"what": "candidates never measured before", "before": median_error(base, taken),
                     "after": median_error(now, taken), "count": len(others), "required": ""})  # fmt: skip
    device.close()
    return rows


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
