"""What a target's latency figures rest on, in words."""

from __future__ import annotations

from advisor import profile
from cost_models.calibrate import Calibration
from cost_models.measurement import Fingerprint
from specs.chip import Target


def calibration_summary(target: Target, fingerprint: Fingerprint | None = None) -> list[str]:
    """Lines on the calibration of a target: measurements, error on kept-out networks, whether it holds here now.

    Empty where there is none. `fingerprint`: the machine at hand; by default asked for where the target is this one.
    """
    calibration = profile.load_calibration(target.id)
    if calibration is None:
        return []
    lines = calibration_lines(calibration)
    if fingerprint is None and target.is_host:
        from advisor.devices.local import LocalDevice

        fingerprint = LocalDevice(target).fingerprint()
    reason = profile.usable(calibration, fingerprint) if fingerprint is not None else None
    if reason:
        lines.append(f"not used: {reason}")
    return lines


def calibration_lines(calibration: Calibration) -> list[str]:
    """One line a precision."""
    lines = []
    for precision, part in calibration.parts.items():
        kernels = f" and {part.kernels} kernels" if part.kernels else ""
        lines.append(
            f"{precision}: calibrated by {part.networks} measured networks{kernels}; on networks kept out the error is "
            f"{part.median_error * 100:.0f} % in the median, below {part.error_90 * 100:.0f} % for 9 in 10"
        )
    return lines
