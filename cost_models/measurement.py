"""A measurement: raw samples from a device, or an error, with the conditions they were taken under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cost_models.estimate import Estimate

TAIL = ("p90", "p95", "p99", "max")
"""Statistics that a few slow samples decide."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was measured on: enough to tell later whether two measurements may be compared."""

    chip: str
    cpu: str
    cores: int
    clock_hz: float | None
    governor: str
    system: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Samples of one model on one target. Failure is a value: `error` is set and the samples are empty.

    `wall_ms`: one entry an inference. `reference_ms`: the interleaved reference model's samples, to tell a changed
    machine. `noisy` is set where spaced processes disagree by more than 3 % or other work ran beside them. `repeat`: a
    repetition's median over this one's, 5 % and 95 % quantile, where the device tells more than its samples do;
    `tail`: the same of its 95 % quantile, and of what lies beyond.
    """

    target: str
    model_sha256: str
    wall_ms: tuple[float, ...] = ()
    cpu_ms: tuple[float, ...] = ()
    reference_ms: tuple[float, ...] = ()
    peak_rss_bytes: int | None = None
    fingerprint: Fingerprint | None = None
    protocol: str = ""
    noisy: bool = False
    error: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    repeat: tuple[float, float] = (1.0, 1.0)
    tail: tuple[float, float] = (1.0, 1.0)

    def latency(self, stat: str = "p50") -> Estimate:
        """`p10`…`p99`, `mean` or `max` of the wall-clock latency; its interval holds the order statistics' 90 % bounds
        and what repetitions give."""
        if self.error or not self.wall_ms:
            return Estimate.absent(self.error or "no samples")
        samples = np.sort(np.asarray(self.wall_ms))
        n = len(samples)
        if stat == "mean":
            half = 1.645 * float(samples.std(ddof=1)) / n**0.5 if n > 1 else 0.0
            mean = float(samples.mean())
            return self._repeated(stat, mean, mean - half, mean + half)
        q = 1.0 if stat == "max" else float(stat[1:]) / 100
        half = 1.645 * (q * (1 - q) / n) ** 0.5
        low, value, high = (float(np.quantile(samples, min(1.0, max(0.0, p)))) for p in (q - half, q, q + half))
        return self._repeated(stat, value, low, high)

    def _repeated(self, stat: str, value: float, low: float, high: float) -> Estimate:
        least, most = (value * share for share in (self.tail if stat in TAIL else self.repeat))
        return Estimate(value, min(low, least), max(high, most), "measured", len(self.wall_ms))
