"""The cost model the engine uses: shipped knowledge, corrected by this user's calibrations that hold here."""

from __future__ import annotations

from advisor import profile
from advisor.devices.local import LocalDevice
from cost_models.layered import LayeredModel
from specs.chip import Target


def cost_model(*targets: Target) -> LayeredModel:
    """The model for these targets. A calibration of the host taken with another runtime version or CPU is left out."""
    used = {}
    for target in targets:
        calibration = profile.load_calibration(target.id)
        if calibration is None:
            continue
        if target.is_host and profile.usable(calibration, LocalDevice(target).fingerprint()) is not None:
            continue
        used[target.id] = calibration
    return LayeredModel(used)
