"""What a run measured of one target: the correction of its cost model that follows, and how far off predictions are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from advisor.search.costing import Tail
from cost_models.residual import Residual, fit_residual
from cost_models.workload import Workload
from specs.chip import Target

LEAST_TAILS = 3
"""Samples that tell how far a statistic lies from the median."""
QUICK_SHARE = 0.1
"""Of samples: as many moments are calm on a machine that other work disturbs."""


@dataclass(frozen=True)
class Sample:
    """One measured candidate. `base_ms`: what the model below says of it; `quick_ms`: what a tenth of its inferences
    stayed below; `ms`: their median; `reference_ms`: what a tenth of the device's own reference stayed below beside it,
    NaN where it has none; `slower`: other statistics (p90, p95, p99) over the median."""

    workload: Workload
    base_ms: float
    quick_ms: float
    ms: float
    reference_ms: float
    slower: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Evidence:
    """Samples by candidate of one target; a later one of a candidate replaces the earlier.

    They are compared at the device's usual speed: other work on a machine slows some moments and not others, and less
    its reference than networks, so that medians of the same network differ by half (a quarter of measurements on a busy
    host of two cores) where the quickest tenths agree within 3 %. What is usual is what most medians are to these.
    """

    target: Target
    samples: dict[str, Sample] = field(default_factory=dict)

    def add(self, candidate: str, workload: Workload, base_ms: float, row: Mapping[str, Any]) -> bool:
        """Take a measurement as the ledger keeps it; False where it, or what is predicted of it, is no figure."""
        quantiles = row.get("quantiles_ms") or {}
        ms = quantiles.get("p50")
        if row.get("error") or not ms or not math.isfinite(base_ms) or base_ms <= 0:
            return False
        quick, beside = quantiles.get("p10") or ms, row.get("reference_ms") or [math.nan]
        slower = {stat: float(value) / float(ms) for stat, value in quantiles.items() if value and stat != "p50"}
        self.samples[candidate] = Sample(workload, base_ms, float(quick), float(ms), quick_of(beside), slower)
        return True

    def tail(self, stat: str) -> Tail | None:
        """How far a statistic lies from the median on this device, by all samples; None where too few tell.

        It is the machine's more than a network's: of one search's networks of 7 to 60 us each p95 was 1.3 to 1.6 times
        its median, on a calm machine 1.03 times.
        """
        known = [sample.slower[stat] for sample in self.samples.values() if stat in sample.slower]
        if len(known) < LEAST_TAILS:
            return None
        low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
        return Tail(float(middle), float(low), float(high))

    def residual(self, but: str = "") -> Residual | None:
        """What all samples, or all but one, say of the model; None where there are none."""
        some = [sample for name, sample in self.samples.items() if name != but]
        if not some:
            return None
        base, usual = np.array([sample.base_ms for sample in some]), np.array(self._usual(some))
        return fit_residual([sample.workload for sample in some], base, usual, self.target)

    def usual_reference_ms(self) -> float:
        """The reference's usual quick time, or NaN."""
        known = [s.reference_ms for s in self.samples.values() if math.isfinite(s.reference_ms)]
        return float(np.median(known)) if known else math.nan

    def errors(self, names: Iterable[str]) -> tuple[float, float] | None:
        """Median share by which predictions of measured candidates are off: of the model below, and corrected, each
        without its own measurement. None where none of them was measured."""
        some = [name for name in names if name in self.samples]
        if not some:
            return None
        measured = self.usual_ms(some)
        before = [abs(self.samples[name].base_ms / measured[name] - 1) for name in some]
        after = [abs(self._left_out(name) / measured[name] - 1) for name in some]
        return float(np.median(before)), float(np.median(after))

    def _left_out(self, name: str) -> float:
        """What a correction that never saw the candidate predicts."""
        sample, residual = self.samples[name], self.residual(but=name)
        if residual is None:
            return sample.base_ms
        return sample.base_ms * float(residual.apply([sample.workload], np.array([sample.base_ms]))[0][0])

    def usual_ms(self, names: Iterable[str]) -> dict[str, float]:
        """What measured candidates take at the device's usual speed."""
        some = [name for name in names if name in self.samples]
        return dict(zip(some, self._usual([self.samples[name] for name in some]), strict=True))

    def _usual(self, some: Sequence[Sample]) -> list[float]:
        """Their median latencies, were the device at its usual speed: of all samples' moments and reference."""
        usual, load = self.usual_reference_ms(), float(np.median([s.ms / s.quick_ms for s in self.samples.values()]))
        return [s.quick_ms * load * (usual / s.reference_ms if math.isfinite(s.reference_ms) else 1.0) for s in some]


def quick_of(samples: Sequence[float]) -> float:
    """What a tenth of them stayed below."""
    return float(np.quantile(samples, QUICK_SHARE))
