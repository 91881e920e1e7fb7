"""Quantities with units, parsed at the edge: text in, one canonical unit a dimension out.

Inside the product a number is bare and its name says the unit (`latency_ms`, `peak_ram_bytes`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from specs.errors import SpecError

EUR_IN_USD = 1.08
"""US dollars for one euro: the European Central Bank's average reference rate of 2024, rounded; a fixed planning
rate, so that the same spec has the same verdict tomorrow. Write USD where it matters."""


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its canonical unit and what every accepted unit is worth in it."""

    name: str
    canonical: str
    units: dict[str, float]


TIME = Dimension("time", "ms", {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4})
DURATION = Dimension("duration", "d", {"s": 1 / 86400, "min": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.25})
MEMORY = Dimension(
    "memory",
    "B",
    {"B": 1, "KB": 1e3, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3},
)
POWER = Dimension("power", "mW", {"nW": 1e-6, "uW": 1e-3, "µW": 1e-3, "mW": 1.0, "W": 1e3})
ENERGY = Dimension("energy", "mJ", {"nJ": 1e-6, "uJ": 1e-3, "µJ": 1e-3, "mJ": 1.0, "J": 1e3})
CHARGE = Dimension("charge", "mAh", {"uAh": 1e-3, "mAh": 1.0, "Ah": 1e3})
VOLTAGE = Dimension("voltage", "V", {"mV": 1e-3, "V": 1.0})
CURRENT = Dimension("current", "uA", {"nA": 1e-3, "uA": 1.0, "µA": 1.0, "mA": 1e3, "A": 1e6})
TEMPERATURE = Dimension("temperature", "C", {"C": 1.0, "°C": 1.0})
MONEY = Dimension("money", "USD", {"USD": 1.0, "EUR": EUR_IN_USD})
CLOCK = Dimension("clock", "Hz", {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9})
BANDWIDTH = Dimension("bandwidth", "B/s", {"B/s": 1.0, "KB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9})
RATE = Dimension("rate", "/s", {"/s": 1.0, "MAC/s": 1.0, "GMAC/s": 1e9, "TMAC/s": 1e12, "GOPS": 5e8, "TOPS": 5e11})
"""Multiply-accumulates a second; vendors' operations count a multiply and an add, hence the half."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


def parse_quantity(value: object, dimension: Dimension, *, negative: bool = False) -> float:
    """The number in `dimension`'s canonical unit for text such as `20 ms`.

    Raises:
        SpecError: no unit, an unknown unit, no finite number, or below zero where `negative` is not allowed.
    """
    known = ", ".join(dimension.units)
    if isinstance(value, bool) or not isinstance(value, str):
        what = f"{dimension.name} needs a unit" if isinstance(value, (int, float)) else f"not a {dimension.name}"
        raise SpecError(what, seen=value, allowed=f"a number and one of {known}", next=_example(value, dimension))
    match = _NUMBER.fullmatch(value)
    if match is None:
        raise SpecError(f"not a {dimension.name}", seen=value, allowed=f"a number and one of {known}")
    number, unit = float(match[1].replace("_", "")), match[2]
    if not unit:
        raise SpecError(f"{dimension.name} needs a unit", seen=value, allowed=known, next=_example(value, dimension))
    if unit not in dimension.units:
        raise SpecError(f"wrong unit for {dimension.name}", seen=value, allowed=known)
    result = number * dimension.units[unit]
    if not math.isfinite(result):
        raise SpecError(f"{dimension.name} is not finite", seen=value)
    if result < 0 and not negative:
        raise SpecError(
            f"{dimension.name} must not be negative", seen=value, allowed=f"0 {dimension.canonical} or more"
        )
    return result


def parse_share(value: object) -> float:
    """A share in 0…1, from a number (`0.92`) or a percentage (`92 %`)."""
    if isinstance(value, str) and value.strip().endswith("%"):
        match = _NUMBER.fullmatch(value.strip()[:-1])
        number: float = float(match[1]) / 100 if match and not match[2] else math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        number = math.nan
    if not 0 <= number <= 1:
        raise SpecError("not a share", seen=value, allowed="a number from 0 to 1, or a percentage such as 92 %")
    return number


def format_quantity(value: float, dimension: Dimension) -> str:
    """Text that `parse_quantity` reads back to the same number exactly."""
    return f"{value!r} {dimension.canonical}" if value != int(value) else f"{int(value)} {dimension.canonical}"


def human(value: float, unit: str) -> str:
    """A figure for people: `B` as KiB or MiB, `ms` as us or s, three significant digits, unit included."""
    steps = {
        "B": [("B", 1.0), ("KiB", 1024.0), ("MiB", 1024.0**2), ("GiB", 1024.0**3)],
        "ms": [("us", 1e-3), ("ms", 1.0), ("s", 1e3)],
        "mJ": [("uJ", 1e-3), ("mJ", 1.0), ("J", 1e3)],
        "mW": [("uW", 1e-3), ("mW", 1.0), ("W", 1e3)],
        "Hz": [("Hz", 1.0), ("kHz", 1e3), ("MHz", 1e6), ("GHz", 1e9)],
        "d": [("h", 1 / 24), ("d", 1.0), ("y", 365.25)],
        "": [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)],
    }.get(unit, [(unit, 1.0)])
    chosen, worth = steps[0]
    for name, size in steps:
        if abs(value) >= size:
            chosen, worth = name, size
    scaled = value / worth
    digits = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"
    return f"{digits} {chosen}".strip()


def _example(value: object, dimension: Dimension) -> str:
    return f"write {str(value).strip()} {dimension.canonical}" if str(value).strip() else ""
