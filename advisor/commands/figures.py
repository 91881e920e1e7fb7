"""`estimate` and `measure`: figures of given model files."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from advisor.commands.common import Parsers, add_json, print_json
from cost_models.estimate import Estimate
from specs import catalog
from specs.chip import Target
from specs.errors import ModelFileError, SpecError
from specs.limits import METRICS

_RUNTIMES_PREFIX = re.compile(r"^(\w+: )?\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?")
"""onnxruntime's own codes, and the path that is named anyway."""


def add(parsers: Parsers) -> None:
    estimate = parsers.add_parser("estimate", help="predict latency, RAM, flash and energy of model files")
    estimate.add_argument("models", nargs="+", type=Path, metavar="MODEL", help=".onnx or .tflite")
    estimate.add_argument("--target", action="append", required=True, help="chip:runtime; repeat for several")
    add_json(estimate)
    estimate.set_defaults(run=run_estimate)

    measure = parsers.add_parser("measure", help="measure model files on a device")
    measure.add_argument("models", nargs="+", type=Path, metavar="MODEL", help=".onnx or .tflite")
    measure.add_argument("--device", default="local", help="which device (default: local, this machine)")
    measure.add_argument("--target", help="host:RUNTIME (default: by the file, onnxruntime or litert)")
    measure.add_argument("--seconds", type=float, default=2.0, help="sampling time a process (default: 2)")
    measure.add_argument("--quick", action="store_true", help="one process instead of three that must agree")
    add_json(measure)
    measure.set_defaults(run=run_measure)


def run_estimate(args: argparse.Namespace) -> int:
    from advisor.costs import cost_model
    from cost_models.estimate_file import estimate_file

    targets = [catalog.target(text) for text in args.target]
    model = cost_model(*targets)
    results = [estimate_file(path, target, model) for path in args.models for target in targets]
    return _answer(args, results)


def run_measure(args: argparse.Namespace) -> int:
    from advisor import plugins
    from advisor.measure.protocol import MeasurePlan
    from advisor.progress import Event, StatusLine

    if not 0.05 <= args.seconds <= 3600:
        raise SpecError("unusable sampling time", where="--seconds", seen=args.seconds, allowed="0.05 to 3600")
    if args.device not in plugins.names("devices"):
        raise SpecError("unknown device", seen=args.device, allowed=", ".join(plugins.names("devices")))
    processes = 1 if args.quick else 3
    plan = MeasurePlan(seconds=args.seconds, processes=processes, max_processes=1 if args.quick else 6,
                       timeout_s=60 + 20 * args.seconds)  # fmt: skip
    status = StatusLine()
    results = []
    for i, path in enumerate(args.models):
        status(Event("measure", path.name, i / len(args.models)))
        results.append(_measured(path, _host_target(args.target, path), plan, args.device))
    status.close()
    return _answer(args, results)


def _measured(path: Path, target: Target, plan: Any, device_name: str) -> dict[str, Any]:
    from advisor import plugins
    from advisor.model import Artifact, sha256_file
    from cost_models.read import read_bounded

    entry: dict[str, Any] = {"model": str(path), "sha256": None, "target": target.id, "status": "failed", "metrics": {},
                             "findings": []}  # fmt: skip
    read_bounded(path)  # exists, a plain file, not absurdly large
    entry["sha256"] = sha256_file(path)
    device = plugins.load("devices", device_name)(target)
    found = device.run(Artifact(path, target.runtime.id, "", "NHWC", entry["sha256"], path.stat().st_size), plan)
    device.close()
    if found.error:
        return {**entry, "error": _why(path, target, found.error)}
    peak = found.peak_rss_bytes
    entry["status"] = "ok"
    entry["metrics"] = {
        "latency_ms": found.latency("p50").to_dict(),
        **{f"latency_{stat}_ms": found.latency(stat).to_dict() for stat in ("p10", "p95", "p99")},
        "peak_ram_bytes": (
            Estimate(peak, peak, peak, "measured", 1) if peak else Estimate.absent("the system does not report it")
        ).to_dict(),
    }
    entry["conditions"] = {**found.conditions, "protocol": found.protocol, "noisy": found.noisy,
                           "fingerprint": asdict(found.fingerprint) if found.fingerprint else None}  # fmt: skip
    return entry


def _why(path: Path, target: Target, said: str) -> str:
    """Why a file was not measured, in our words where its content tells; else what the runtime `said`, on one line."""
    from cost_models.read import read_workload
    from cost_models.support import unsupported

    kind, _, words = said.partition(": ")
    if kind == "UnfitInputError":
        return words
    if kind in ("ModuleNotFoundError", "ImportError"):
        return ModelFileError(f"{target.runtime.name} is not usable here", seen=words, next="install it again").line()
    if said.startswith(("no answer within", "the measuring process", "no inference finished")):
        return ModelFileError(said, next="give it more time or memory, or measure a smaller model").line()
    name, formats = target.runtime.name, ", ".join(target.runtime.formats)
    try:
        workload = read_workload(path)
    except ModelFileError as error:
        return error.line()
    if workload.format not in target.runtime.formats:
        return ModelFileError(f"{name} runs {formats}, not {workload.format}", next="name another --target").line()
    if lacking := unsupported(workload, target.runtime):
        return ModelFileError(f"{name} does not run {', '.join(lacking[:6])}",
                              next="convert the model without them").line()  # fmt: skip
    return ModelFileError(f"{name} cannot run it", seen=_RUNTIMES_PREFIX.sub("", said), next="export it again").line()


def _host_target(text: str | None, path: Path) -> Target:
    by_suffix = {".onnx": "host:onnxruntime", ".tflite": "host:litert"}
    target = catalog.target(text or by_suffix.get(path.suffix.lower(), "host:onnxruntime"))
    if not target.is_host:
        raise SpecError("only this machine can be measured without an attached board", where="--target", seen=target.id,
                        allowed="host:onnxruntime, host:litert, host:tflm")  # fmt: skip
    return target


def _answer(args: argparse.Namespace, results: list[dict[str, Any]]) -> int:
    if args.json:
        print_json({"schema": 1, "results": results})
    else:
        print("\n\n".join(entry_text(entry) for entry in results))
    failed = [entry for entry in results if entry["status"] == "failed"]
    for entry in failed:
        where, words = f"{entry['model']}: ", entry.get("error", "failed")
        print(f"advisor: {where}{words.removeprefix(where)}", file=sys.stderr)
    return 2 if failed else 0


def entry_text(entry: dict[str, Any]) -> str:
    """One result for people."""
    from advisor.report.text import figure_text

    lines = [f"{entry['model']} on {entry['target']}: {entry['status']}"]
    for name, data in entry["metrics"].items():
        base = name if name in METRICS else "latency_ms"
        label = METRICS[base].label if name in METRICS else f"latency {name.split('_')[1]}"
        label = "latency p50" if name == "latency_ms" and entry.get("conditions") else label
        lines.append(f"  {label:22} {figure_text(Estimate.from_dict(data), METRICS[base].unit)}")
    for finding in entry["findings"]:
        lines.append(f"  {finding['code']} {finding['title']}: {finding['detail']}")
    conditions = entry.get("conditions", {})
    if conditions:
        cpu = (conditions["fingerprint"] or {}).get("cpu", "unknown CPU")
        lines.append(f"  measured on {cpu}: {conditions['protocol']}; inputs {conditions['inputs']}")
    if conditions.get("noisy"):
        lines.append("  noisy: processes disagree by more than 3 %, or other work ran beside them")
    return "\n".join(lines)
