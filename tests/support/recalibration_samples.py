"""A replayed board whose truth is known, for what corrects cost models by measurements."""

import json
import math

from advisor_samples import candidate

from advisor.devices.address import open_device
from advisor.search.recalibrate import Recalibrator
from cost_models.analytic import AnalyticModel
from cost_models.read import read_workload

WIDTHS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48)
TRUTH = 1.8
"""How many times longer the replayed board takes than the cost model says, but for noise."""


def truth_ms(run, row, factor=TRUTH):
    """What the replayed board takes: the model's figure times a factor, a little noise that the network decides."""
    workload = read_workload(run.folder / row.artifact)
    base = AnalyticModel().predict([workload], run.spec.targets[0])[0].metrics["latency_ms"].value
    return factor * base * math.exp(0.03 * math.sin(workload.macs))


def board(run, tmp_path, skip=(), slowed=lambda _: None, tail=1.0):
    """A recorded board; `slowed` tells by how much other work slowed it and its reference while it ran a candidate. One
    inference in ten takes `tail` times as long as the others."""
    lines = [{"candidate": row.id,
              "wall_ms": [truth_ms(run, row) * (slowed(i) or 1) * some for some in [1.0] * 18 + [tail] * 2],
              "reference_ms": [slowed(i) or 1] * 9 if slowed(i) else []}
             for i, row in enumerate(run.evaluations()) if row.artifact and row.id not in skip]  # fmt: skip
    path = tmp_path / "board.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return open_device(f"replay:{path}", run.spec.targets[0])


def loop(searched, tmp_path, budget=8, **more):
    run, pricer = searched
    return Recalibrator(pricer, run.spec.targets[0], board(run, tmp_path, **more), run.ledger, run.folder, budget)


def of(run, width):
    return next(e for e in run.evaluations() if e.id == candidate(width, "fp32").id)
