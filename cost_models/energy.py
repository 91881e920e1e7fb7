"""Energy, power, battery life and unit cost: learned from published energies where a chip has them, else its states."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from math import exp, log
from typing import Any

from cost_models.estimate import Estimate
from specs.chip import Chip
from specs.limits import Battery

HOURS_A_DAY = 24.0
PRICE_SPREAD = (0.8, 1.25)
"""List prices against what is paid, at the same volume and within a year or two."""
VOLUME_SPREAD = (0.5, 2.0)
"""The same where the catalogue's price is for another volume than asked."""


@cache
def fitted() -> dict[str, Any]:
    """The parameters `cost_models.fit_energy` found."""
    text = files("cost_models").joinpath("data", "energy.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def energy_of(latency: Estimate, chip: Chip, runtime: str = "") -> Estimate:
    """Millijoules an inference: active power for as long as it takes."""
    power = power_of(chip, runtime)
    if power.value is None or power.low is None or power.high is None:
        return Estimate.absent(power.reason)
    if latency.value is None or latency.low is None or latency.high is None:
        return Estimate.absent(latency.reason)
    value = power.value * latency.value / 1e3
    if power.source == "predicted" and latency.low > 0:
        # two independent errors: their logarithms add as squares
        low, high = (
            exp(((log(p / power.value)) ** 2 + (log(t / latency.value)) ** 2) ** 0.5)
            for p, t in ((power.low, latency.low), (power.high, latency.high))
        )
        return Estimate(value, value / low, value * high, "predicted", power.n)
    source = "predicted" if latency.source in ("predicted", "measured") else "assumed"
    return Estimate(
        value,
        power.low * latency.low / 1e3,
        power.high * latency.high / 1e3,
        source,  # type: ignore[arg-type]  # one of two literals
    )


def power_of(chip: Chip, runtime: str = "") -> Estimate:
    """Milliwatts while inferring: of published runs of the runtime on the chip, of the chip, by its states, or of its
    family; `n` counts the runs behind a learned figure."""
    groups = fitted()["groups"]
    found = groups.get(f"{chip.id}:{runtime}") or groups.get(chip.id)
    active = chip.power_state("active")
    if found is None and active is not None:
        return Estimate(active.power_mw, active.low_mw, active.high_mw, "assumed")
    if found is None:
        found = next((g for name, g in groups.items() if name.endswith("*") and chip.id.startswith(name[:-1])), None)
    if found is None:
        return Estimate.absent(chip.unknown.get("power", "no active power state for this chip"))
    clock_hz = next((unit.clock_hz for unit in chip.compute if unit.kind == "cpu" and unit.clock_hz), None)
    clock_mhz = clock_hz / 1e6 if clock_hz else found["clock_mhz"]
    value, low, high = (per_mhz * clock_mhz for per_mhz in found["mw_per_mhz"])
    return Estimate(value, low, high, "predicted", found["n"])


def battery_days(
    battery: Battery, energy: Estimate, latency: Estimate, chip: Chip, pipeline_ms: float = 0.0
) -> Estimate:
    """Days a battery lasts: one inference and `pipeline_ms` of other active work each period, asleep in between.

    Work that takes longer than the period runs without a pause. Self-discharge and conversion losses are not in it.
    """
    if energy.value is None or energy.low is None or energy.high is None:
        return Estimate.absent(energy.reason)
    if latency.value is None or latency.low is None or latency.high is None:
        return Estimate.absent(latency.reason)
    active, asleep = power_of(chip), chip.power_state("sleep")
    if battery.sleep_ua is not None:
        sleep_mw = (battery.sleep_ua * battery.voltage_v / 1e3,) * 3
    elif asleep is not None:
        sleep_mw = (asleep.low_mw, asleep.power_mw, asleep.high_mw)
    else:
        return Estimate.absent(
            chip.unknown.get("power.sleep", "no sleep state for this chip; give the battery limit's `sleep:`")
        )
    if active.value is not None and active.low is not None and active.high is not None:
        active_mw = (active.low, active.value, active.high)
    else:
        # the measured inference tells what the chip draws while it works
        active_mw = (1e3 * energy.value / latency.value if latency.value else 0.0,) * 3
    capacity_mwh = battery.capacity_mah * battery.voltage_v
    days = []
    for energy_mj, latency_ms, busy, idle in zip(
        (energy.low, energy.value, energy.high),
        (latency.low, latency.value, latency.high),
        active_mw,
        sleep_mw,
        strict=True,
    ):
        awake_ms = latency_ms + pipeline_ms
        period_ms = max(battery.every_ms, awake_ms)
        # mW x ms = uJ
        period_uj = 1e3 * energy_mj + busy * pipeline_ms + idle * (period_ms - awake_ms)
        mean_mw = period_uj / period_ms
        days.append(capacity_mwh / mean_mw / HOURS_A_DAY if mean_mw else float("inf"))
    if days[1] == float("inf"):
        return Estimate.absent("no power drawn at all: check the chip's states")
    return Estimate(days[1], min(days), max(days), energy.source)


def unit_cost(chip: Chip, volume: int = 1) -> Estimate:
    """US dollars a piece at the catalogue's price, whose date and volume `price_note` tells."""
    if chip.price is None:
        return Estimate.absent(chip.unknown.get("price", "no price in the catalogue"))
    low, high = PRICE_SPREAD if volume == chip.price.volume else VOLUME_SPREAD
    return Estimate(chip.price.usd, chip.price.usd * low, chip.price.usd * high, "assumed")


def price_note(chip: Chip) -> str:
    """What the price is for, when and where it was read."""
    price = chip.price
    if price is None:
        return ""
    return f"{price.what} at {price.volume} {'pieces' if price.volume > 1 else 'piece'}, {price.date} ({price.source})"
