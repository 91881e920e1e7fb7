"""Claim: the coordinator stores at least 100 evaluations a second, device included; `front` and `relax` answer from
100,000 evaluations within 1 s and 1 GiB. The baseline stores as many trials in Optuna's SQLite storage.

Evaluations are instant and made up, their measurements replayed: what is timed is what a search does around them.
`--count N` for another number than 100,000.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advisor.candidate import Candidate
from advisor.devices.address import open_device
from advisor.devices.replay import recorded
from advisor.evaluation import Evaluation
from advisor.ledger import Calibration, Ledger
from advisor.measure.protocol import QUICK
from advisor.model import Artifact
from advisor.report.text import table
from advisor.run import create_run
from advisor.search.costing import measurement_row, with_measurement
from cost_models.estimate import Estimate
from specs.spec import Spec, parse_spec

COUNT = 100_000
STORED = 400
BATCH = 4
"""As the search asks for candidates."""
TRIALS = 40
REPEATS = 5
SPEC = """
schema: 1
name: scale
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
limits:
  latency: {max: 20 ms}
  peak_ram: {max: 256 KiB}
  flash: {max: 1 MiB}
  energy: {max: 20 mJ}
  accuracy: {min: 0.9}
objectives: [accuracy, latency, peak_ram]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spec = parse_spec(SPEC)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            {"what": "evaluations stored, with replayed measurements and trials", "value": stored(spec, folder),
             "unit": "a second", "required": "≥ 100"},
            {"what": "baseline: trials stored by Optuna in SQLite", "value": optuna_stored(folder),
             "unit": "a second", "required": ""},
        ]  # fmt: skip
        run = folder / "scale"
        started = time.perf_counter()
        ledger = create_run(spec, run, {"data_fingerprint": "none"}).ledger
        evaluations = made_up(spec, args.count)
        for start in range(0, args.count, 5000):
            ledger.add_all(evaluations[start : start + 5000])
        rows.append({"what": "the same in bulk", "value": args.count / (time.perf_counter() - started),
                     "unit": "a second", "required": ""})  # fmt: skip
        rows += commands(run)
        started = time.perf_counter()
        recalibrate(ledger, evaluations)
        rows.append({"what": f"re-score {args.count:,} evaluations", "value": time.perf_counter() - started,
                     "unit": "s", "required": ""})  # fmt: skip
        rows += commands(run, " after a calibration")
        size = (run / "ledger.db").stat().st_size / 2**20
        rows.append({"what": "ledger's file", "value": size, "unit": "MiB", "required": ""})
    if args.json:
        print(json.dumps({"schema": 1, "count": args.count, "rows": rows}))
    else:
        shown = [(str(r["what"]), f"{r['value']:.3g} {r['unit']}", str(r["required"])) for r in rows]
        print(table(("what", "measured", "required"), shown))
    return 0


def made_up(spec: Spec, count: int, seed: int = 0) -> list[Evaluation]:
    """Candidates whose accuracy rises with what they cost, with noise; energies and intervals as predicted ones."""
    rng = np.random.default_rng(seed)
    latency = np.exp(rng.normal(2.5, 0.8, count))
    accuracy = np.clip(0.995 - 0.35 / (1 + latency) - np.abs(rng.normal(0, 0.04, count)), 0, 1)
    ram = latency * np.exp(rng.normal(9, 0.4, count))
    target = spec.targets[0].id
    found = []
    for i in range(count):
        params = (("depth", i % 7), ("kernel", 3), ("width", 4 + i % 60))
        candidate = Candidate("dscnn", params, (32, 32, 3), (0.0, 0.25), "int8", f"network-{i}")
        metrics = {
            "latency_ms": _predicted(latency[i], 1.2),
            "peak_ram_bytes": Estimate.exact(float(int(ram[i]))),
            "flash_bytes": Estimate.exact(float(int(ram[i] * 1.5))),
            "energy_mj": _predicted(latency[i] * 0.2, 1.4),
            "power_mw": _predicted(200.0, 1.2),
            "accuracy": Estimate(accuracy[i], accuracy[i] - 0.02, accuracy[i] + 0.02, "measured", 360),
            "macs": Estimate.exact(latency[i] * 1e6),
            "params": Estimate.exact(latency[i] * 1e4),
            "model_bytes": Estimate.exact(float(int(ram[i] * 1.2))),
        }
        details = {"validation": accuracy[i], "sqnr_db": 31.2, "seconds": 3.1, "layout": "NHWC", "arena_bytes": 40_000}
        found.append(Evaluation(candidate, target, "short", "done", metrics, trial=i, details=details,
                                artifact=f"artifacts/{candidate.id}/short/model.tflite"))  # fmt: skip
    return found


def stored(spec: Spec, folder: Path) -> float:
    """Evaluations a second, each with its row, its measurement, the row the measurement changes, its trial."""
    evaluations = made_up(spec, STORED, seed=1)
    recording = folder / "recording.jsonl"
    recording.write_text("".join(
        recorded(e.id, {"wall_ms": [e.metric("latency_ms").value] * 50, "target": e.target}) for e in evaluations
    ))  # fmt: skip
    ledger = create_run(spec, folder / "stored", {}).ledger
    target = spec.targets[0]
    device = open_device(f"replay:{recording}", target)
    started = time.perf_counter()
    for start in range(0, STORED, BATCH):
        batch = evaluations[start : start + BATCH]
        for evaluation in batch:
            ledger.add(evaluation)
            ledger.set_fact("elapsed_s", f"{time.perf_counter() - started:.1f}")
        for evaluation in batch:
            path = folder / evaluation.artifact
            measurement = device.run(Artifact(path, "tflm", "int8", "NHWC", "", 0), QUICK)
            ledger.add_measurement(evaluation.id, target.id, measurement_row(measurement))
            metrics = with_measurement(spec, target, dict(evaluation.metrics), measurement)
            ledger.add(Evaluation(**{**evaluation.__dict__, "metrics": metrics}))
        ledger.add_trials([_trial(e) for e in batch])
        ledger.set_fact("elapsed_s", f"{time.perf_counter() - started:.1f}")
    rate = STORED / (time.perf_counter() - started)
    assert len(ledger.evaluations()) == STORED
    assert len(ledger.measurements()) == STORED
    device.close()
    ledger.close()
    return rate


def optuna_stored(folder: Path) -> float:
    """Trials a second of eight parameters, two objectives and three constraints; proposals at random cost nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{folder / 'optuna.db'}", directions=["maximize", "minimize"],
                                sampler=optuna.samplers.RandomSampler(seed=0))  # fmt: skip
    started = time.perf_counter()
    for _ in range(TRIALS):
        trial = study.ask()
        for name in "abcdefgh":
            trial.suggest_int(name, 0, 60)
        for name in ("latency", "peak_ram", "flash"):
            trial.set_constraint(name, -0.1)
        study.tell(trial, [0.9, 1.0])
    return TRIALS / (time.perf_counter() - started)


def recalibrate(ledger: Ledger, evaluations: Sequence[Evaluation]) -> None:
    """One calibration that moves every latency by 5 %."""
    rescored = {
        e.id: {"latency_ms": _predicted((e.metric("latency_ms").value or 0.0) * 1.05, 1.1)} for e in evaluations
    }
    ledger.record_calibration(Calibration(evaluations[0].target, 24, 0.2, 0.06, 7), rescored)


def commands(run: Path, when: str = "") -> list[dict[str, Any]]:
    """Seconds and peak memory of whole commands, interpreter included."""
    found = []
    for words, options in (
        ("front", ["front", str(run)]),
        ("front --json", ["front", str(run), "--json"]),
        ("relax", ["relax", str(run), "--limit", "latency.max=30ms"]),
        ("relax, nothing feasible", ["relax", str(run), "--limit", "latency.max=0.1ms"]),
    ):
        seconds, processor, peak = command(options, run.parent / "bytecode")
        found += [{"what": f"{words}{when}", "value": seconds, "unit": "s", "required": "≤ 1"},
                  {"what": f"{words}{when}, processor time", "value": processor, "unit": "s", "required": ""},
                  {"what": f"{words}{when}, peak memory", "value": peak, "unit": "MiB",
                   "required": "≤ 1024"}]  # fmt: skip
    return found


def command(options: Sequence[str], bytecode: Path) -> tuple[float, float, float]:
    """Wall-clock and processor seconds and peak MiB of `advisor` with these arguments; the best of several, as other
    work on the machine disturbs. Modules are compiled once, into `bytecode`, as an installation does."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    times, processor, peaks = [], [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "advisor.cli", *options], stdout=subprocess.DEVNULL,
                                   env=environment)  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        times.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 4):
            raise SystemExit(f"advisor {' '.join(options)} ended with status {process.returncode}")
        processor.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss / 1024)
    return min(times), min(processor), max(peaks)


def _predicted(value: float, factor: float) -> Estimate:
    return Estimate(float(value), float(value / factor), float(value * factor), "predicted", 12)


def _trial(evaluation: Evaluation) -> dict[str, Any]:
    data = {"values": [0.9, 1.0], "constraints": {"latency": -0.1, "peak_ram": -0.1, "flash": -0.1},
            "candidate": evaluation.id}  # fmt: skip
    params = dict.fromkeys("abcdefgh", 1)
    return {"target": evaluation.target, "number": evaluation.trial, "params": params, "data": data}


if __name__ == "__main__":
    sys.exit(main())
