"""A figure as users get it: value, interval, unit, provenance, or the reason for its absence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["measured", "computed", "predicted", "vendor-estimate", "emulated", "assumed"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure in the canonical unit its metric's name states.

    `low`…`high` holds the true value with 90 % probability (equal to `value` where computed exactly). `n` counts the
    measurements behind it. `value` is None exactly when `reason` says why.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    source: Source = "computed"
    n: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("an estimate has either a value or a reason for its absence")

    @classmethod
    def exact(cls, value: float, source: Source = "computed") -> Estimate:
        """A figure without uncertainty: counted from the graph or read from a catalogue."""
        return cls(value, value, value, source)

    @classmethod
    def absent(cls, reason: str) -> Estimate:
        return cls(None, reason=reason)

    def plus(self, other: float) -> Estimate:
        """The same figure shifted by a constant (the reserved memory, a pipeline stage)."""
        if self.value is None or self.low is None or self.high is None:
            return self
        return Estimate(self.value + other, self.low + other, self.high + other, self.source, self.n)

    def combined(self, other: Estimate | None) -> Estimate:
        """The sum of two figures, intervals added end to end; the weaker provenance stays. None adds nothing."""
        if other is None or self.value is None or self.low is None or self.high is None:
            return self
        if other.value is None or other.low is None or other.high is None:
            return other
        source = self.source if self.source not in ("measured", "computed") else other.source
        low, high = self.low + other.low, self.high + other.high
        return Estimate(self.value + other.value, low, high, source, min(self.n, other.n))

    def to_dict(self) -> dict[str, Any]:
        """The shape of the command line's `metrics`."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high, "source": self.source, "n": self.n}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Estimate:
        if data.get("value") is None:
            return cls.absent(data.get("reason") or "unknown")
        return cls(data["value"], data["low"], data["high"], data["source"], data.get("n", 0))


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an itemised budget: `arena`, `weights`, `runtime code`, `reserved`, …"""

    metric: str
    name: str
    low_bytes: int
    bytes: int
    high_bytes: int
    source: Source


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one operator costs on a target; `bound` says which side of the roofline holds it."""

    name: str
    kind: str
    macs: int
    bytes: int
    latency_ms: float | None
    bound: Literal["compute", "memory", "overhead", "unknown"]


@dataclass(frozen=True, slots=True)
class Costs:
    """Everything a cost model says of one workload on one target.

    `metrics` has `latency_ms`, `peak_ram_bytes`, `flash_bytes`, `energy_mj`, `power_mw` always (absent ones with a
    reason); memory figures exclude the spec's `reserved` and include the runtime (its share is an `Item`).
    `unsupported` names operators the runtime does not run: the workload is incompatible when there are any.
    """

    metrics: Mapping[str, Estimate]
    items: tuple[Item, ...] = ()
    layers: tuple[LayerCost, ...] = ()
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
