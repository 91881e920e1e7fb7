"""What was learned of latency on chips with published measurements of many networks (`data/learned.json`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cost_models.hierarchical import SCHEMA, Posterior
from cost_models.work_groups import GROUPS, group_work
from cost_models.workload import Workload
from specs.chip import Target

Array = NDArray[np.float64]
OUTSIDE = 1.5
"""How many times wider, in logarithms, the interval of a network beyond the range of those measured is."""


@dataclass(frozen=True)
class Learned:
    """The model of one runtime. `width`: half an interval in standard deviations; `counts`: networks measured a chip;
    `smallest`, `largest`: sums of work of the networks it was fitted on."""

    runtime: str
    chips: dict[str, Posterior]
    counts: dict[str, int]
    noise: float
    width: float
    boards: int
    smallest: float
    largest: float

    def covers(self, target: Target) -> bool:
        return target.runtime.id == self.runtime and target.chip.id in self.chips

    def latency_ms(self, workloads: Sequence[Workload], target: Target) -> tuple[Array, Array, Array]:
        """Milliseconds with a 90 % interval, each (n,): one thread on the chip's fast cores."""
        work = group_work(workloads)
        value, variance = self.chips[target.chip.id].predict(work)
        totals = work.sum(axis=1)
        outside = (totals < self.smallest) | (totals > self.largest)
        unknown = np.array([bool(workload.unknown_ops) for workload in workloads])
        half = self.width * np.sqrt(variance + self.noise) * np.where(outside | unknown, OUTSIDE, 1.0)
        return np.exp(value), np.exp(value - half), np.exp(value + half)

    def basis(self, target: Target) -> str:
        return (f"latency learned from {self.counts[target.chip.id]} published networks on this chip and "
                f"{self.boards} boards with {self.runtime}")  # fmt: skip


@cache
def load() -> Learned:
    """The model the package carries.

    Raises:
        ValueError: its file is of another schema: the package is damaged or was fitted by another version.
    """
    data = json.loads((files("cost_models") / "data" / "learned.json").read_text("utf-8"))
    if data.get("schema") != SCHEMA or data.get("groups") != list(GROUPS):
        raise ValueError("cost_models/data/learned.json is of another version; run python -m cost_models.fit")
    chips = {
        name: Posterior(np.array(part["rates"]), np.array(part["covariance"])) for name, part in data["chips"].items()
    }
    counts = {name: part["n"] for name, part in data["chips"].items()}
    low, high = data["work_range"]
    return Learned(data["runtime"], chips, counts, data["hierarchy"]["noise"], data["width"], data["boards"], low, high)
