"""Ways out of an infeasible spec: the smallest changes of its limits for which a candidate is predicted to meet it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

from advisor.feasibility.corners import Corner
from advisor.feasibility.predict import Predicted
from advisor.feasibility.verdict import LimitReport, TargetReport
from advisor.score import Margin, at_risk, feasible
from specs.limits import LIMIT_DIMENSION
from specs.spec import Spec
from specs.units import Dimension

_DIGITS = 3
_PREDICTED_DIGITS = 2
"""Of what a cost model says, give or take tens of percent: more digits would feign precision."""
_ROUGH = ("time", "energy", "power", "duration")
"""Dimensions of such figures; bytes and prices are counted."""
MOST_WAYS = 3
"""Of one target."""
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
    """Changes that together make the spec possible on `target`; one where one suffices.

    `candidate` is predicted to meet all cost limits then, at the risk the spec accepts; without one (`verified` is
    False) the changes are only what no bound rules out.
    """

    target: str
    changes: tuple[Change, ...]
    verified: bool
    candidate: str = ""

    @property
    def single(self) -> bool:
        return len(self.changes) == 1


class Asker(Protocol):
    """What judges a changed spec on one of the targets."""

    def bounds(self, spec: Spec, target: str) -> TargetReport: ...

    def predictions(self, spec: Spec, target: str, only: Corner | None = None) -> list[Predicted]: ...

    def words(self, corner: Corner) -> str: ...


def relaxations(spec: Spec, targets: Sequence[TargetReport], ask: Asker) -> tuple[Relaxation, ...]:
    """The smallest single relaxation of every limit that suffices alone, then of every other target the joint ones.

    Targets that the chip itself rules out have no way out here.
    """
    single: dict[str, Relaxation] = {}
    several: list[Relaxation] = []
    for report in targets:
        if report.unsupported or not report.binding or any(limit.scope == "chip" for limit in report.binding):
            continue
        for found in _ways(spec, report, ask) or [_unruled(report)]:
            if not found.single:
                several.append(found)
                continue
            known = single.get(found.changes[0].limit)
            if known is None or _rank(found) < _rank(known):
                single[found.changes[0].limit] = found
    return (*single.values(), *several)


def _ways(spec: Spec, report: TargetReport, ask: Asker) -> list[Relaxation]:
    """For every set of limits that a candidate is predicted to miss, and no other candidate a part of it, the smallest
    change: each asked again with the figures rounded."""
    best: dict[frozenset[str], tuple[float, Corner, tuple[Change, ...]]] = {}
    for corner, found in ask.predictions(spec, report.target):
        missed = [margin for margin in found if margin.met is False and not margin.soft]
        if not missed or any(LIMIT_DIMENSION.get(margin.limit) is None for margin in missed):
            continue  # beyond the chip itself
        changes = tuple(_met(margin, spec) for margin in missed)
        names, size = frozenset(change.limit for change in changes), _size(changes)
        if names not in best or size < best[names][0]:
            best[names] = (size, corner, changes)
    ways = []
    for names, (_, corner, changes) in best.items():
        if any(other < names for other in best):
            continue
        after = relaxed(spec, changes)
        possible = not ask.bounds(after, report.target).impossible
        if possible and all(feasible(found) is not False for _, found in ask.predictions(after, report.target, corner)):
            ways.append(Relaxation(report.target, changes, True, ask.words(corner)))
    return sorted(ways, key=_rank)[:MOST_WAYS]


def _unruled(report: TargetReport) -> Relaxation:
    """Where nothing is predicted (imported networks, unknown chips): the least that no bound rules out."""
    changes = tuple(_change(limit) for limit in report.binding)
    return Relaxation(report.target, changes, False)


def relaxed(spec: Spec, changes: Sequence[Change]) -> Spec:
    """The spec with the changed bounds."""
    after = {change.limit: change.after for change in changes}
    limits = tuple(replace(x, bound=after[x.name]) if x.name in after else x for x in spec.limits)
    return replace(spec, limits=limits)


def rounded(value: float, dimension: Dimension, *, up: bool) -> tuple[float, str]:
    """`value` to three digits, or two of what is only predicted, in a unit people use, never on the wrong side:
    canonical number and text."""
    units = [name for name in _STEPS[dimension.name] if name in dimension.units]
    unit = units[0]
    for name in units:
        if value >= dimension.units[name] * (1 if name != "y" else 2):
            unit = name
    scale = dimension.units[unit]
    number = Decimal(repr(value / scale))
    kept = _PREDICTED_DIGITS if dimension.name in _ROUGH else _DIGITS
    digits = Decimal(1).scaleb(number.adjusted() - kept + 1)
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


def _met(margin: Margin, spec: Spec) -> Change:
    """The bound that the margin's figure meets at the spec's risk."""
    limit = next(limit for limit in spec.limits if limit.name == margin.limit)
    sense = limit.metric.sense
    value = at_risk(margin.estimate, spec.feasible_probability, sense)
    return _bound(margin.limit, margin.bound, value or 0.0, sense)


def _change(limit: LimitReport) -> Change:
    return _bound(limit.name, limit.bound, limit.best.value or 0.0, limit.sense)


def _bound(name: str, before: float, value: float, sense: str) -> Change:
    dimension = LIMIT_DIMENSION[name]
    if dimension is None:
        raise ValueError(f"{name} has no bound before training")
    after, text = rounded(value, dimension, up=sense == "max")
    return Change(name, before, after, f"{sense}: {text}")


def _size(changes: Sequence[Change]) -> float:
    """How far the bounds move, as the sum of their ratios' logarithms."""
    ratios = (change.after / change.before if change.before else 0.0 for change in changes)
    return sum(abs(math.log(ratio)) if ratio > 0 else math.inf for ratio in ratios)


def _rank(way: Relaxation) -> tuple[bool, int, float]:
    return not way.verified, len(way.changes), _size(way.changes)
