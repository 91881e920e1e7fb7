"""One model file on one target as an entry of `advisor estimate --json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cost_models.analytic import lower_bound_ms
from cost_models.base import CostModel
from cost_models.estimate import Costs
from cost_models.layered import LayeredModel
from cost_models.read import read_bounded, read_workload
from cost_models.workload import Workload
from specs.chip import Target
from specs.errors import ModelFileError


def estimate_file(path: Path, target: Target, model: CostModel | None = None) -> dict[str, Any]:
    """Figures, or the error, of the file at `path`; never raises for a file that cannot be read."""
    entry: dict[str, Any] = {"model": str(path), "sha256": None, "target": target.id, "status": "failed"}
    try:
        entry["sha256"] = hashlib.sha256(read_bounded(path)).hexdigest()
        workload = read_workload(path)
    except ModelFileError as error:
        return entry | {"error": error.line(), "metrics": {}, "findings": []}
    costs = (model or LayeredModel()).predict([workload], target)[0]
    findings = _findings(workload, costs, target)
    blocked = any(finding["code"] in _BLOCKING for finding in findings)
    metrics = {name: estimate.to_dict() for name, estimate in costs.metrics.items()}
    return entry | {"status": "incompatible" if blocked else "ok", "metrics": metrics, "findings": findings}


_BLOCKING = ("EA301", "EA302")


def _findings(workload: Workload, costs: Costs, target: Target) -> list[dict[str, str]]:
    findings = []

    def say(code: str, title: str, detail: str) -> None:
        findings.append({"code": code, "title": title, "detail": detail})

    if workload.format not in target.runtime.formats:
        allowed = ", ".join(target.runtime.formats)
        say("EA301", "file format", f"{target.runtime.name} runs {allowed}, not {workload.format}; convert the model")
    if costs.unsupported:
        say(
            "EA302", "unsupported operators", f"{target.runtime.name} does not run " + ", ".join(costs.unsupported[:12])
        )
    for metric, kinds, what in (
        ("peak_ram_bytes", ("ram", "dram"), "RAM"),
        ("flash_bytes", ("flash", "storage"), "flash"),
    ):
        # reads the size that holds it: a chip with DRAM keeps activations there
        size = target.chip.working_memory_bytes if what == "RAM" else target.chip.memory_bytes(*kinds)  # type: ignore[arg-type]
        need = costs.metrics[metric]
        if size is not None and need.low is not None and need.low > size:
            say("EA303", f"does not fit {what}", f"needs at least {need.low:.0f} B, {target.chip.id} has {size} B")
    if workload.unknown_ops:
        say("EA304", "unknown operators", "costed by their bytes only: " + ", ".join(workload.unknown_ops[:12]))
    bound = lower_bound_ms(workload, target)
    if bound.value:
        say("EA305", "lower bound", f"no program takes less than {bound.value:.4g} ms there: all MACs at the peak rate")
    findings.extend({"code": "EA306", "title": "basis", "detail": note} for note in costs.notes if "latency" in note)
    return findings
