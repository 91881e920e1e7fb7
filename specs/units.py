"""Quantities with units, parsed at the edge: text in, one canonical unit a dimension out.

Inside the product a number is bare and its name says the unit (`latency_ms`, `peak_ram_bytes`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from specs.errors import SpecError, nearest

EUR_IN_USD = 1.08
"""US dollars for one euro: the European Central Bank's average reference rate of 2024, rounded; a fixed planning
rate, so that the same spec has the same verdict tomorrow. Write USD where it matters."""


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its canonical unit and what every accepted unit is worth in it."""

    name: str
    canonical: str
    units: dict[str, float]


TIME = Dimension(
    "time", "ms", {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7}
)
SECONDS = Dimension("time", "s", {unit: worth / 1e3 for unit, worth in TIME.units.items()})
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

DIMENSIONS = (
    TIME, DURATION, MEMORY, POWER, ENERGY, CHARGE, VOLTAGE, CURRENT, TEMPERATURE, MONEY, CLOCK, BANDWIDTH, RATE,
)  # fmt: skip

NUMBER_PATTERN = r"(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""An unsigned number in Python's and JavaScript's regular expressions alike (the JSON Schema carries it)."""
_NUMBER = re.compile(rf"\s*([+-]?{NUMBER_PATTERN})\s*(\S*)\s*")
_MAX_TEXT = 80

_SPELLINGS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
    "usec": "us", "microseconds": "us", "minute": "min", "minutes": "min", "mins": "min", "hr": "h", "hrs": "h",
    "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w", "weeks": "w", "yr": "y", "year": "y",
    "years": "y", "byte": "B", "bytes": "B", "k": "KiB", "ki": "KiB", "m": "MiB", "mi": "MiB", "g": "GiB",
    "watt": "W", "watts": "W", "joule": "J", "joules": "J", "volt": "V", "volts": "V", "celsius": "C", "degc": "C",
    "deg": "C", "℃": "C", "$": "USD", "dollar": "USD", "dollars": "USD", "€": "EUR", "euro": "EUR", "euros": "EUR",
}  # fmt: skip
"""What people write for a unit; only ever suggested, because a guessed unit is a wrong verdict."""


def parse_quantity(value: object, dimension: Dimension, *, negative: bool = False) -> float:
    """The number in `dimension`'s canonical unit for text such as `20 ms`.

    The conversion is exact and rounded once, so that `0.07 s` and `70 ms` are the same number.

    Raises:
        SpecError: no unit, an unknown unit, no finite number, or below zero where `negative` is not allowed.
    """
    known = ", ".join(dimension.units)
    allowed = f"a number and one of {known}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        shown = value if abs(value) < 1e15 else None
        example = f"write {shown} {dimension.canonical}" if shown is not None else ""
        raise SpecError(f"{dimension.name} needs a unit", seen=shown, allowed=allowed, next=example)
    match = _NUMBER.fullmatch(value) if isinstance(value, str) and len(value) <= _MAX_TEXT else None
    if match is None:
        raise SpecError(f"not a quantity of {dimension.name}", seen=value, allowed=allowed)
    unit = match[2]
    if not unit:
        example = f"write {match[1]} {dimension.canonical}"
        raise SpecError(f"{dimension.name} needs a unit", seen=value, allowed=known, next=example)
    if unit not in dimension.units:
        raise SpecError(f"wrong unit for {dimension.name}", seen=value, allowed=known, next=_hint(unit, dimension))
    result = _scaled(match[1], dimension.units[unit])
    if not math.isfinite(result):
        raise SpecError(f"{dimension.name} is not finite", seen=value)
    if result < 0 and not negative:
        raise SpecError(
            f"{dimension.name} must not be negative", seen=value, allowed=f"0 {dimension.canonical} or more"
        )
    return result


def parse_share(value: object) -> float:
    """A share in 0…1, from a number (`0.92`) or a percentage (`92 %`).

    Raises:
        SpecError: anything else, or out of range.
    """
    number = math.nan
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        match = _NUMBER.fullmatch(value.replace("\u03bc", "\u00b5"))  # both letters are written for micro
        # Text without a percent sign is a number too: YAML 1.1 takes `9e-1` for text.
        if match and match[2] in ("", "%"):
            number = _scaled(match[1], 0.01 if match[2] else 1.0)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15:
        number = float(value)
    if not 0 <= number <= 1:
        shown = None if isinstance(value, int) and abs(value) >= 1e15 else value
        raise SpecError("not a share", seen=shown, allowed="a number from 0 to 1, or a percentage such as 92 %")
    return number + 0.0  # no negative zero: it would change the spec's id


def format_quantity(value: float, dimension: Dimension) -> str:
    """Text that `parse_quantity` reads back to the same number exactly. Finite values only."""
    number = float(value)
    whole = number.is_integer() and abs(number) < 1e15
    return f"{int(number) if whole else repr(number)} {dimension.canonical}"


def human(value: float, unit: str) -> str:
    """A figure for people: `B` as KiB or MiB, `ms` as us or s, three significant digits, unit included."""
    steps = {
        "B": [("B", 1.0), ("KiB", 1024.0), ("MiB", 1024.0**2), ("GiB", 1024.0**3)],
        "ms": [("ns", 1e-6), ("us", 1e-3), ("ms", 1.0), ("s", 1e3)],
        "mJ": [("nJ", 1e-6), ("uJ", 1e-3), ("mJ", 1.0), ("J", 1e3)],
        "mW": [("nW", 1e-6), ("uW", 1e-3), ("mW", 1.0), ("W", 1e3)],
        "Hz": [("Hz", 1.0), ("kHz", 1e3), ("MHz", 1e6), ("GHz", 1e9)],
        "d": [("h", 1 / 24), ("d", 1.0), ("y", 365.25)],
        "": [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)],
    }.get(unit, [(unit, 1.0)])
    chosen, worth = steps[0] if value else next(step for step in steps if step[1] == 1.0)
    for name, size in steps:
        if abs(value) >= size:
            chosen, worth = name, size
    scaled = value / worth
    digits = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"
    return f"{digits} {chosen}".strip()


def _scaled(number: str, factor: float) -> float:
    """`number` times `factor`, rounded once; inf beyond the range of floats."""
    text = number.replace("_", "")
    rough = float(text)
    if rough == 0 or not math.isfinite(rough):  # also keeps Fraction from writing out 1e-999999999
        return abs(rough)
    # The factors are simple ratios (1/86400, 1e-6) that a float only approximates.
    try:
        return float(Fraction(text) * Fraction(factor).limit_denominator(10**9)) + 0.0
    except OverflowError:
        return math.inf


def _hint(unit: str, dimension: Dimension) -> str:
    other = next((d.name for d in DIMENSIONS if unit in d.units), "")
    if other:
        return f"{unit} is a unit of {other}"
    folded = unit.casefold()
    close = next((known for known in dimension.units if known.casefold() == folded), _SPELLINGS.get(folded))
    return f"did you mean '{close}'?" if close in dimension.units else nearest(unit, dimension.units)
