"""The one protocol of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cost_models.estimate import Costs
from cost_models.measurement import Measurement
from cost_models.workload import Workload
from specs.chip import Target


class CostModel(Protocol):
    """Prices workloads on a target without running them."""

    def predict(self, workloads: Sequence[Workload], target: Target) -> list[Costs]:
        """One `Costs` a workload, in order; never raises for a valid workload."""
        ...

    def fit(self, measurements: Sequence[tuple[Workload, Measurement]]) -> CostModel:
        """A new model corrected by measurements of workloads on the target they name."""
        ...
