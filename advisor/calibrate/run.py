"""A whole calibration: design, timings, fit, report, stored in the user's profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advisor import profile
from advisor.calibrate import design
from advisor.calibrate.collect import collect
from advisor.calibrate.design import Item
from advisor.calibrate.fit import evidence, fitted
from advisor.calibrate.samples import SampleFile
from advisor.devices.local import LocalDevice
from advisor.progress import Event, Listener, silent
from cost_models.calibrate import Calibration
from specs.chip import Target
from specs.errors import SpecError, ToolchainError

RUNTIMES = ("onnxruntime", "litert")
LEAST_NETWORKS = 8
"""Fewer would leave nothing to keep out."""
SEED = 0


@dataclass(frozen=True)
class Outcome:
    """A finished calibration, and whether everything planned was measured."""

    calibration: Calibration
    complete: bool
    measured_s: float
    path: str


def measurement_set(networks: int = design.MAX_NETWORKS) -> list[Item]:
    """What is timed: the same items for the same count, so that an interrupted calibration resumes."""
    share = networks / design.MAX_NETWORKS
    return design.network_items(networks, SEED) + design.kernel_items(round(design.KERNELS * share), SEED)


def calibrate(target: Target, *, networks: int = design.MAX_NETWORKS, minutes: float | None = None, fresh: bool = False,
              listener: Listener = silent) -> Outcome:  # fmt: skip
    """Measure, fit, store. What was measured before (same CPU and versions) is kept unless `fresh`.

    Raises:
        SpecError: not this machine, or a runtime without a measurement set.
        ToolchainError: the runtime is not installed, the measuring process died, or too little could be measured.
    """
    file = open_samples(target)
    if fresh:
        file.clear()
    items = measurement_set(networks)
    begun = time.monotonic()
    deadline = begun + minutes * 60 if minutes is not None else None
    complete = collect(target.runtime.id, items, file, listener, deadline)
    measured = time.monotonic() - begun
    listener(Event("calibrate", "fitting", 1.0))
    calibration = calibration_of(target, items, file)
    return Outcome(calibration, complete, measured, str(profile.save_calibration(calibration)))


def calibration_of(target: Target, items: list[Item], file: SampleFile) -> Calibration:
    """The fit of what `file` holds.

    Raises:
        ToolchainError: too few networks were measured.
    """
    found = evidence(target.id, target.runtime.id, items, file)
    if len(found.samples) < LEAST_NETWORKS:
        errors = [s.timing.error for s in file.samples.values() if s.timing.error]
        raise ToolchainError("too few networks were measured to calibrate", where=target.id, seen=len(found.samples),
                             allowed=f"at least {LEAST_NETWORKS}",
                             next=errors[0] if errors else f"advisor calibrate {target.id}")  # fmt: skip
    return fitted(found, profile.conditions(LocalDevice(target).fingerprint()))


def open_samples(target: Target) -> SampleFile:
    """The target's timings so far, those of this CPU and runtime version."""
    check_target(target)
    fingerprint = LocalDevice(target).fingerprint()
    version = next(iter(fingerprint.versions.values()), "")
    if version in ("", "not installed"):
        raise ToolchainError(f"{target.runtime.id} is not installed here", where=target.id,
                             next=f"pip install {next(iter(fingerprint.versions), target.runtime.id)}")  # fmt: skip
    return SampleFile(profile.samples_file(target.id), fingerprint.cpu, version)


def check_target(target: Target) -> None:
    """Raise SpecError unless the target is this machine with a runtime that has a measurement set."""
    allowed = ", ".join(f"host:{name}" for name in RUNTIMES)
    if not target.is_host:
        raise SpecError("no device is attached for this target", seen=target.id, allowed=allowed,
                        next="calibrate this machine, or measure on the board and fit those figures")  # fmt: skip
    if target.runtime.id not in RUNTIMES:
        raise SpecError("this runtime has no measurement set", seen=target.id, allowed=allowed)


def outcome_info(outcome: Outcome) -> Mapping[str, Any]:
    """The JSON document of a calibration."""
    calibration = outcome.calibration
    report: Callable[[Any], dict[str, Any]] = lambda part: {  # noqa: E731 - one shape, used once a precision
        "networks": part.networks, "kernels": part.kernels, "median_error": part.median_error,
        "error_90": part.error_90, "interval": part.interval,
        "latency_ms": {"low": part.low_ms, "high": part.high_ms},
    }  # fmt: skip
    return {
        "schema": 1, "target": calibration.target, "complete": outcome.complete,
        "measured_s": round(outcome.measured_s, 1),
        "versions": dict(calibration.versions), "digest": calibration.digest, "file": outcome.path,
        "precisions": {precision: report(part) for precision, part in calibration.parts.items()},
    }  # fmt: skip
