"""What a run measured of one target: the correction of its cost model that follows, and how far off predictions are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cost_models.residual import Residual, fit_residual
from cost_models.workload import Workload


@dataclass(frozen=True)
class Sample:
    """One measured candidate. `base_ms`: what the model below says of it; `ms`: the median of what the device took;
    `reference_ms`: what the device's own reference took beside it, NaN where it has none."""

    workload: Workload
    base_ms: float
    ms: float
    reference_ms: float


@dataclass
class Evidence:
    """Samples by candidate; a later one of a candidate replaces the earlier.

    They are compared at the device's usual speed: a machine that other work slows by half slows its reference about as
    much.
    """

    samples: dict[str, Sample] = field(default_factory=dict)

    def add(self, candidate: str, workload: Workload, base_ms: float, row: Mapping[str, Any]) -> bool:
        """Take a measurement as the ledger keeps it; False where it, or what is predicted of it, is no figure."""
        ms = (row.get("quantiles_ms") or {}).get("p50")
        if row.get("error") or not ms or not math.isfinite(base_ms) or base_ms <= 0:
            return False
        beside = row.get("reference_ms") or [math.nan]
        self.samples[candidate] = Sample(workload, base_ms, float(ms), float(np.median(beside)))
        return True

    def residual(self, but: str = "") -> Residual | None:
        """What all samples, or all but one, say of the model; None where there are none."""
        some = [sample for name, sample in self.samples.items() if name != but]
        if not some:
            return None
        base = np.array([sample.base_ms for sample in some])
        return fit_residual([sample.workload for sample in some], base, np.array(self._usual_ms(some)))

    def errors(self, names: Iterable[str]) -> tuple[float, float] | None:
        """Median share by which predictions of measured candidates are off: of the model below, and corrected, each
        without its own measurement. None where none of them was measured."""
        some = [name for name in names if name in self.samples]
        if not some:
            return None
        measured = dict(zip(some, self._usual_ms([self.samples[name] for name in some]), strict=True))
        before = [abs(self.samples[name].base_ms / measured[name] - 1) for name in some]
        after = [abs(self._left_out(name) / measured[name] - 1) for name in some]
        return float(np.median(before)), float(np.median(after))

    def _left_out(self, name: str) -> float:
        """What a correction that never saw the candidate predicts."""
        sample, residual = self.samples[name], self.residual(but=name)
        if residual is None:
            return sample.base_ms
        return sample.base_ms * float(residual.apply([sample.workload], np.array([sample.base_ms]))[0][0])

    def _usual_ms(self, some: Sequence[Sample]) -> list[float]:
        """Their latencies at the reference's median speed over all samples."""
        known = [s.reference_ms for s in self.samples.values() if math.isfinite(s.reference_ms)]
        usual = float(np.median(known)) if known else math.nan
        return [s.ms * usual / s.reference_ms if math.isfinite(s.reference_ms) else s.ms for s in some]
