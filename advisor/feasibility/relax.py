"""Ways out of an infeasible spec: the smallest change of its limits, verified by asking again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from advisor.feasibility.verdict import LimitReport, TargetReport
from specs.limits import LIMIT_DIMENSION
from specs.spec import Spec
from specs.units import Dimension

_DIGITS = 3
_STEPS = {
    "time": ("ns", "us", "ms", "s"),
    "memory": ("B", "KiB", "MiB", "GiB"),
    "energy": ("nJ", "uJ", "mJ", "J"),
    "power": ("nW", "uW", "mW", "W"),
    "duration": ("s", "min", "h", "d", "y"),
    "money": ("USD",),
}
"""Units a relaxed limit is written in, smallest first."""


@dataclass(frozen=True, slots=True)
class Change:
    """One limit's bound, from and to, in the metric's canonical unit; `text` as a spec has it (`max: 12.4 KiB`)."""

    limit: str
    before: float
    after: float
    text: str


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Changes that together make the spec possible on `target`; one where one suffices."""

    target: str
    changes: tuple[Change, ...]
    verified: bool

    @property
    def single(self) -> bool:
        return len(self.changes) == 1


def relaxations(
    spec: Spec, targets: Sequence[TargetReport], ask: Callable[[Spec, str], TargetReport]
) -> tuple[Relaxation, ...]:
    """The smallest single relaxation of every limit that suffices alone, then of every other target the joint one.

    `ask` judges a changed spec on one target. Targets that the chip itself rules out have no way out here.
    """
    single: dict[str, Relaxation] = {}
    several: list[Relaxation] = []
    for report in targets:
        binding = report.binding
        if report.unsupported or not binding or any(limit.scope == "chip" for limit in binding):
            continue
        changes = tuple(_change(limit) for limit in binding)
        verified = not ask(relaxed(spec, changes), report.target).impossible
        found = Relaxation(report.target, changes, verified)
        if found.single:
            known = single.get(changes[0].limit)
            if known is None or _smaller(changes[0], known.changes[0]):
                single[changes[0].limit] = found
        else:
            several.append(found)
    return (*single.values(), *several)


def relaxed(spec: Spec, changes: Sequence[Change]) -> Spec:
    """The spec with the changed bounds."""
    after = {change.limit: change.after for change in changes}
    limits = tuple(replace(x, bound=after[x.name]) if x.name in after else x for x in spec.limits)
    return replace(spec, limits=limits)


def rounded(value: float, dimension: Dimension, *, up: bool) -> tuple[float, str]:
    """`value` to three digits in a unit people use, never on the wrong side: canonical number and text."""
    units = [name for name in _STEPS[dimension.name] if name in dimension.units]
    unit = units[0]
    for name in units:
        if value >= dimension.units[name] * (1 if name != "y" else 2):
            unit = name
    scale = dimension.units[unit]
    number = Decimal(repr(value / scale))
    digits = Decimal(1).scaleb(number.adjusted() - _DIGITS + 1)
    if dimension.name == "memory" and unit == "B":
        digits = max(digits, Decimal(1))
    for _ in range(3):
        number = number.quantize(digits, ROUND_CEILING if up else ROUND_FLOOR)
        canonical = float(number) * scale
        if canonical >= value if up else canonical <= value:
            break
        number += digits if up else -digits  # the division above was rounded
    text = f"{number.normalize():f}"
    return canonical, f"{text} {unit}"


def _change(limit: LimitReport) -> Change:
    value = limit.best.value or 0.0
    dimension = LIMIT_DIMENSION[limit.name]
    if dimension is None:
        raise ValueError(f"{limit.name} has no bound before training")
    up = limit.sense == "max"
    after, text = rounded(value, dimension, up=up)
    return Change(limit.name, limit.bound, after, f"{limit.sense}: {text}")


def _smaller(change: Change, other: Change) -> bool:
    return abs(change.after - change.before) < abs(other.after - other.before)
