"""Claim: after `advisor calibrate host:RUNTIME` (at most 60 measured networks) at least 90 % of other networks are
within 10 % of their measured median latency in each precision, at least 97 % of those above 0.2 ms, and the 90 %
intervals hold 86 to 96 % of them.

The networks: own families at other seeds as the product exports them; timm networks (onnxruntime) or Keras applications
(LiteRT); the MLPerf Tiny and other published .tflite files where `--models DIR` holds them. Latency is the median of
one pinned thread, as the ratio to an interleaved reference model times that model's usual level, in three spaced
processes. The baseline is one rate a MAC and one constant, fitted on the same 60 networks.

    python benchmarks/cost_host.py --runtime both --work DIR      # resumable: exports and measurements stay in DIR
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from host_cases import Case, all_cases

from advisor.calibrate import design
from advisor.calibrate.collect import model_bytes, workload_of
from advisor.calibrate.fit import network_ms, reference_level
from advisor.calibrate.run import calibrate, calibration_of, measurement_set, open_samples
from advisor.calibrate.samples import SampleFile
from advisor.measure.many import measure_many
from advisor.progress import Event, StatusLine
from advisor.report.text import table
from cost_models.read import read_workload
from cost_models.workload import Workload
from specs import catalog
from specs.chip import Target
from specs.errors import AdvisorError

ROUNDS, SECONDS = 3, 0.7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=("onnxruntime", "litert", "both"), default="both")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edge-advisor-cost-host",
                        help="exported files and measurements (kept, so that a second call goes on)")  # fmt: skip
    parser.add_argument("--models", type=Path, action="append", default=[], help="folders of published .tflite files")
    parser.add_argument("--out", type=Path, help="raw figures of every network, as JSON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-measuring", action="store_true", help="only what is already measured")
    parser.add_argument("--export-only", action="store_true", help="only write the files to be tested")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    results: list[dict[str, Any]] = []
    for runtime in ("onnxruntime", "litert") if args.runtime == "both" else (args.runtime,):
        if args.export_only:
            exported(list(all_cases(runtime, args.models)), args.work / runtime, StatusLine(), skip=False)
            continue
        results += evaluate(catalog.target(f"host:{runtime}"), args)
    if args.export_only:
        return 0
    if args.out:
        args.out.write_text(json.dumps(results, indent=1))
    summary = summarize(results)
    if args.json:
        print(json.dumps(summary, indent=1))
    else:
        print(table(tuple(summary[0]), [tuple(_shown(v) for v in row.values()) for row in summary]))
    return 0


def evaluate(target: Target, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a tested network: measured, predicted, interval, baseline."""
    runtime = target.runtime.id
    status = StatusLine()
    items = measurement_set()
    calibrated = open_samples(target)
    if args.no_measuring:
        calibration = calibration_of(target, items, calibrated)
    else:
        calibration = calibrate(target, listener=status).calibration
        calibrated = open_samples(target)
    level = {p: reference_level(calibrated, items, p) for p in design.PRECISIONS}
    tested = SampleFile(args.work / f"{runtime}.jsonl", calibrated.cpu, calibrated.version)
    cases = list(all_cases(runtime, args.models))
    paths = exported(cases, args.work / runtime, status, skip=args.no_measuring)
    if not args.no_measuring:
        measure(runtime, paths, tested, status)
    status.close()
    rows = []
    known = trained_on(target, items, calibrated, level)
    for case, path in paths:
        timings = tested.of(case.name)
        if not timings:
            continue
        try:
            workload = read_workload(path)
        except AdvisorError as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            continue
        precision = workload.precision
        if precision not in level:
            continue
        measured = network_ms(timings, level[precision])
        value, low, high = (float(v[0]) for v in calibration.latency_ms([workload]))
        rows.append({
            "runtime": runtime, "precision": precision, "network": case.name, "family": case.family,
            "measured_ms": measured,
            "wall_ms": float(np.median([t.wall_ns for t in timings])) / 1e6,
            "rounds": max(t.ratio for t in timings) / min(t.ratio for t in timings) - 1,
            "predicted_ms": value, "low_ms": low, "high_ms": high, "baseline_ms": float(known[precision](workload)),
        })  # fmt: skip
    return rows


def trained_on(target: Target, items: list[design.Item], file: SampleFile, level: dict[Any, float]) -> dict[str, Any]:
    """The baseline by precision: latency linear in MACs, least relative error on the calibration's networks."""
    found = {}
    for precision in design.PRECISIONS:
        some = [i for i in items if i.role == "network" and i.precision == precision and file.of(i.id)]
        macs = np.array([workload_of(target.runtime.id, i).macs for i in some], float)
        ms = np.array([network_ms(file.of(i.id), level[precision]) for i in some])
        columns = np.stack([macs / 1e6, np.ones(len(macs))], axis=1) / ms[:, None]
        rates = np.linalg.lstsq(columns, np.ones(len(ms)), rcond=None)[0]

        def predict(workload: Workload, rates: Any = rates) -> float:
            return float(max(rates @ [workload.macs / 1e6, 1.0], 1e-3))

        found[precision] = predict
    return found


def exported(cases: list[Case], folder: Path, status: StatusLine, *, skip: bool) -> list[tuple[Case, Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for i, case in enumerate(cases):
        suffix = "onnx" if folder.name == "onnxruntime" else "tflite"
        path, refused = folder / f"{case.name}.{suffix}", folder / f"{case.name}.refused"
        if not path.exists() and not refused.exists() and not skip:
            status(Event("export", case.name, i / len(cases)))
            part = path.with_suffix(".part")
            try:
                case.write(part)
                part.replace(path)
            except (AdvisorError, RuntimeError, ValueError, OSError, TypeError) as error:
                refused.write_text(str(error))
        if path.exists():
            found.append((case, path))
    return found


def measure(runtime: str, paths: list[tuple[Case, Path]], file: SampleFile, status: StatusLine) -> None:
    suffix = "onnx" if runtime == "onnxruntime" else "tflite"
    for turn in range(ROUNDS):
        for precision in design.PRECISIONS:
            missing = [(c.name, p) for c, p in paths if c.precision == precision and (c.name, turn) not in file.samples]
            for start in range(0, len(missing), 10):
                batch = missing[start : start + 10]
                calm_ns = file.calm_ns(precision)
                with tempfile.TemporaryDirectory() as text:
                    reference = Path(text) / f"reference.{suffix}"
                    reference.write_bytes(model_bytes(runtime, design.reference(), precision))
                    for timing in measure_many(runtime, reference, batch, seconds=SECONDS, calm_ns=calm_ns):
                        file.append(timing, turn)
                        status(
                            Event(f"measure {turn + 1}/{ROUNDS}", timing.id, len(file.samples) / (ROUNDS * len(paths)))
                        )


def summarize(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a runtime and precision, what is asked beside what was found."""
    found = []
    for key in dict.fromkeys((r["runtime"], r["precision"]) for r in results):
        some = [r for r in results if (r["runtime"], r["precision"]) == key]
        measured, predicted, low, high, baseline = (
            np.array([r[k] for r in some]) for k in ("measured_ms", "predicted_ms", "low_ms", "high_ms", "baseline_ms")
        )
        error, simple = np.abs(predicted / measured - 1), np.abs(baseline / measured - 1)
        large = measured > 0.2
        found.append({
            "runtime": key[0], "precision": key[1], "networks": len(some),
            "within 10 % (≥ 0.90)": float(np.mean(error <= 0.1)),
            "> 0.2 ms (≥ 0.97)": float(np.mean(error[large] <= 0.1)),
            "median error": float(np.median(error)),
            "coverage (0.86–0.96)": float(np.mean((low <= measured) & (measured <= high))),
            "interval ±": float(np.median(high / predicted - 1)),
            "baseline within 10 %": float(np.mean(simple <= 0.1)), "baseline median": float(np.median(simple)),
            "rounds differ": float(np.median([r["rounds"] for r in some])),
        })  # fmt: skip
    return found


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
