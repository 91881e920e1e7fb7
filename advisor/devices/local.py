"""This machine as a device: `host:onnxruntime`, `host:litert`, `host:tflm`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from advisor.measure.protocol import MeasurePlan, measure_file
from advisor.model import Artifact
from cost_models.measurement import Fingerprint, Measurement
from specs.chip import Target

_PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert", "tflm": "tflite-micro"}


class LocalDevice:
    """Measures in a process of its own, pinned to one core."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def fingerprint(self) -> Fingerprint:
        unit = self._target.chip.compute[0]
        versions = {}
        package = _PACKAGES.get(self._target.runtime.id, self._target.runtime.id)
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
        return Fingerprint(
            self._target.chip.id, unit.name, unit.count, unit.clock_hz, _governor(), platform.platform(), versions
        )

    def run(self, artifact: Artifact, plan: MeasurePlan) -> Measurement:
        return measure_file(
            artifact.path, artifact.sha256, self._target.id, self._target.runtime.id, plan, self.fingerprint()
        )

    def close(self) -> None:
        """Nothing stays open between measurements."""


def _governor() -> str:
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return "unknown (not reported by the system)"
