"""Limits: hard or soft bounds on a metric, each with its statistic, scope and reservations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from specs import units

Sense = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure an evaluation can have: its name in results, canonical unit, better direction."""

    name: str
    unit: str
    sense: Sense
    """`max`: a limit on it is an upper bound (lower is better); `min`: the reverse."""
    label: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_ms", "ms", "max", "latency"),
        Metric("peak_ram_bytes", "B", "max", "peak RAM"),
        Metric("flash_bytes", "B", "max", "flash"),
        Metric("energy_mj", "mJ", "max", "energy per inference"),
        Metric("power_mw", "mW", "max", "power while inferring"),
        Metric("battery_d", "d", "min", "battery life"),
        Metric("accuracy", "", "min", "accuracy"),
        Metric("accuracy_drop", "", "max", "accuracy lost against the baseline"),
        Metric("robust_accuracy", "", "min", "accuracy under corruption"),
        Metric("unit_cost_usd", "USD", "max", "unit cost"),
    )
}

LIMIT_METRIC = {
    "latency": "latency_ms",
    "peak_ram": "peak_ram_bytes",
    "flash": "flash_bytes",
    "energy": "energy_mj",
    "power": "power_mw",
    "battery": "battery_d",
    "accuracy": "accuracy",
    "accuracy_drop": "accuracy_drop",
    "robust_accuracy": "robust_accuracy",
    "unit_cost": "unit_cost_usd",
}
"""Key under `limits:` of a spec to the metric it bounds."""

LIMIT_DIMENSION: dict[str, units.Dimension | None] = {
    "latency": units.TIME,
    "peak_ram": units.MEMORY,
    "flash": units.MEMORY,
    "energy": units.ENERGY,
    "power": units.POWER,
    "battery": units.DURATION,
    "accuracy": None,
    "accuracy_drop": None,
    "robust_accuracy": None,
    "unit_cost": units.MONEY,
}

LATENCY_STATS = ("p10", "p50", "p90", "p95", "p99", "mean", "max")
CORRUPTIONS = ("low-light", "motion-blur", "occlusion", "tilt", "noise", "jpeg", "defocus")


@dataclass(frozen=True, slots=True)
class Battery:
    """Duty cycle: one inference each `every_ms`, asleep otherwise at `sleep_ua` (None: the chip's sleep state)."""

    capacity_mah: float
    voltage_v: float
    every_ms: float
    sleep_ua: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound of the spec. `bound` is in the metric's canonical unit.

    `reserved_bytes` of a memory is what the rest of the application takes: it is added to what a candidate needs.
    `counts` = `model` counts arena or model file alone, `all` adds the runtime's own RAM or code.
    """

    name: str
    bound: float
    soft: bool = False
    stat: str = "p95"
    scope: Literal["model", "pipeline"] = "model"
    counts: Literal["all", "model"] = "all"
    reserved_bytes: int = 0
    sustained_ms: float | None = None
    ambient_c: float | None = None
    battery: Battery | None = None
    volume: int = 1
    under: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        return METRICS[LIMIT_METRIC[self.name]]

    def margin(self, value: float) -> float:
        """Signed relative distance of `value` (canonical unit) to the bound: ≤ 0 is met, 0.1 is 10 % beyond it.

        Shares (accuracy) keep absolute points, so that 0.91 against 0.92 is +0.01.
        """
        distance = value - self.bound if self.metric.sense == "max" else self.bound - value
        if self.metric.unit == "":
            return distance
        return distance / self.bound if self.bound else distance
