"""Runs the measuring process and makes one `Measurement` of its samples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advisor.measure.spread import loaded, repeat_of, tail_of
from cost_models.measurement import Fingerprint, Measurement

AGREEMENT = 0.03
"""Spaced processes whose 10 % quantiles lie within this share of each other measured the same thing."""


@dataclass(frozen=True, slots=True)
class MeasurePlan:
    """How much to measure. `processes` > 1 repeats in spaced processes until three agree within 3 %."""

    seconds: float = 2.0
    warmup_s: float = 0.5
    processes: int = 3
    max_processes: int = 6
    max_samples: int = 20_000
    timeout_s: float = 120.0


QUICK = MeasurePlan(seconds=0.3, warmup_s=0.1, processes=3, max_processes=3)
"""Inside a search: three short processes, as starts differ more than samples of one."""


def measure_file(
    path: Path, sha256: str, target: str, runtime: str, plan: MeasurePlan, fingerprint: Fingerprint
) -> Measurement:  # fmt: skip
    """Latency samples of a model file on this host; failure is a measurement with an error."""
    runs: list[dict[str, Any]] = []
    started: list[dict[str, Any]] = []
    noisy = False
    while len(runs) < plan.max_processes:
        answer = _process(path, runtime, plan)
        if "error" in answer:
            return Measurement(target, sha256, fingerprint=fingerprint, error=answer["error"])
        runs.append(answer)
        started.append(answer)
        if len(runs) >= plan.processes:
            chosen = agreeing(runs, plan.processes)
            if chosen is not None:
                runs = chosen
                break
    else:
        noisy = plan.max_processes > plan.processes
    wall = [ns / 1e6 for run in runs for ns in run["wall_ns"]]
    cpu = [ns / 1e6 for run in runs for ns in run["cpu_ns"]]
    reference = [ns / 1e6 for run in runs for ns in run["reference_ns"]]
    peaks = [run["peak_rss_bytes"] for run in runs if run["peak_rss_bytes"]]
    return Measurement(
        target=target,
        model_sha256=sha256,
        wall_ms=tuple(wall),
        cpu_ms=tuple(cpu),
        reference_ms=tuple(reference),
        peak_rss_bytes=max(peaks) if peaks else None,
        fingerprint=fingerprint,
        protocol=f"1 thread, pinned, {plan.warmup_s:g} s warm-up, {plan.seconds:g} s × {len(runs)} processes",
        noisy=noisy or loaded(started),
        conditions={"runtime_version": str(runs[0]["version"]), "inputs": json.dumps(runs[0]["inputs"])},
        repeat=repeat_of(started, float(np.median(wall)) * 1e6),
        tail=tail_of(started, float(np.quantile(wall, 0.95)) * 1e6),
    )


def agreeing(runs: list[dict[str, Any]], count: int) -> list[dict[str, Any]] | None:
    """The `count` runs whose 10 % quantiles lie closest together, if within AGREEMENT."""
    ranked = sorted(runs, key=lambda run: float(np.quantile(run["wall_ns"], 0.1)))
    quick = [float(np.quantile(run["wall_ns"], 0.1)) for run in ranked]
    spreads = [(quick[i + count - 1] / quick[i] - 1, i) for i in range(len(ranked) - count + 1)]
    spread, start = min(spreads)
    return ranked[start : start + count] if spread <= AGREEMENT else None


def last_cpu() -> int | None:
    """The core to measure on: the last this process may use, where systems put the least of their own work."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return cpus[-1] if cpus else None


def one_thread() -> dict[str, str]:
    """The environment of measuring processes."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _process(path: Path, runtime: str, plan: MeasurePlan) -> dict[str, Any]:
    job = {
        "runtime": runtime,
        "path": str(path),
        "seconds": plan.seconds,
        "warmup_s": plan.warmup_s,
        "cpu": last_cpu(),
        "max_samples": plan.max_samples,
    }
    try:
        done = subprocess.run([sys.executable, "-m", "advisor.measure.worker"], input=json.dumps(job),
                              env=one_thread(), capture_output=True, text=True, timeout=plan.timeout_s,
                              check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {plan.timeout_s:g} s"}
    if done.returncode != 0 or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        return {"error": f"the measuring process died with status {done.returncode}: {last[0][:200]}"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": "the measuring process gave no valid answer"}
    if "error" not in answer and not answer["wall_ns"]:
        return {"error": "no inference finished in time"}
    return answer
