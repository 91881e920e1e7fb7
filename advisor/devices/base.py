"""The protocol of a device."""

from __future__ import annotations

from typing import Protocol

from advisor.measure.protocol import MeasurePlan
from advisor.model import Artifact
from cost_models.measurement import Fingerprint, Measurement


class Device(Protocol):
    """One attached board that is a target."""

    def fingerprint(self) -> Fingerprint:
        """What would be measured on, right now."""
        ...

    def run(self, artifact: Artifact, plan: MeasurePlan) -> Measurement:
        """Raw samples; a bad candidate is a Measurement with an error, never an exception."""
        ...

    def close(self) -> None: ...
