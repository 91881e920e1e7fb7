"""What stands out on a front: at most seven named candidates, each with the reason in one sentence. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.score import Margin
from cost_models.energy import unit_cost
from cost_models.estimate import Estimate
from specs.limits import LIMIT_METRIC, METRICS
from specs.spec import Spec
from specs.units import human

PICKS = ("knee", "accuracy", "latency", "smallest", "energy", "cheapest", "safest")
EXACT = ("measured", "computed")
_METRIC = {
    "accuracy": "accuracy",
    "latency": "latency_ms",
    "smallest": "flash_bytes",
    "energy": "energy_mj",
    "cheapest": "unit_cost_usd",
}
_TITLE = {
    "knee": "bend of the front",
    "accuracy": "most accurate",
    "latency": "fastest",
    "smallest": "smallest",
    "energy": "least energy",
    "cheapest": "cheapest",
    "safest": "safest",
}


@dataclass(frozen=True)
class Ranked:
    """An evaluation judged by the spec; `note` says why a feasible one that nothing here beats is off the front."""

    evaluation: Evaluation
    margins: tuple[Margin, ...]
    feasible: bool | None
    violation: float
    on_front: bool
    note: str = ""


@dataclass(frozen=True)
class Pick:
    """One candidate and every name it goes by, each with its reason."""

    row: Ranked
    reasons: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.reasons)

    def to_dict(self) -> dict[str, Any]:
        evaluation = self.row.evaluation
        return {"names": list(self.reasons), "id": evaluation.id, "target": evaluation.target, "why": self.reasons}


@dataclass(frozen=True)
class Picks:
    """Named candidates in the order of PICKS, and the names nothing goes by with the reason."""

    chosen: tuple[Pick, ...]
    absent: dict[str, str]


def named_picks(spec: Spec, members: Sequence[Ranked]) -> Picks:
    """Every pick the members of a front have figures for; two names on one candidate are one pick."""
    rows: dict[tuple[str, str], Ranked] = {}
    reasons: dict[tuple[str, str], dict[str, str]] = {}
    absent = {}
    for name in PICKS if members else ():
        row = choose(spec, members, name)
        if isinstance(row, str):
            absent[name] = row
            continue
        key = row.evaluation.id, row.evaluation.target
        rows[key] = row
        reasons.setdefault(key, {})[name] = why(spec, members, name, row)
    return Picks(tuple(Pick(row, reasons[key]) for key, row in rows.items()), absent)


def choose(spec: Spec, members: Sequence[Ranked], name: str) -> Ranked | str:
    """The member a name of PICKS stands for, or why there is none. Equal ones: the more accurate, then the faster."""
    if name == "knee":
        objectives = _objectives(spec, members)
        if not objectives:
            return "no objective has a figure for every candidate on the front"
        return members[knee([tuple(_minimised(row, metric) for metric in objectives) for row in members])]
    if name == "safest":
        if not any(_hard(row) for row in members):
            return "the spec has no hard limit to keep a distance from"
        return max(members, key=lambda row: (_tightest(row)[0], *_tie(row)))
    known = [row for row in members if _figure(spec, row, name).value is not None]
    if not known:
        reason = _figure(spec, members[0], name).reason
        return f"not known on {', '.join(dict.fromkeys(row.evaluation.target for row in members))}: {reason}"
    if name == "accuracy":
        return max(known, key=_tie)
    return max(known, key=lambda row: (-_value(spec, row, name), *_tie(row)))


def why(spec: Spec, members: Sequence[Ranked], name: str, row: Ranked) -> str:
    """One sentence with figures and units: what the named member is ahead in, and of what."""
    if len(members) == 1:
        figures = ", ".join(_said(spec, row, metric) for metric in _objectives(spec, members))
        return "the only candidate on the front" + (f": {figures}" if figures else "")
    if name == "knee":
        return f"{_TITLE[name]}: " + ", ".join(
            f"{_said(spec, row, metric)}, {_behind(members, row, metric)}" for metric in _objectives(spec, members)
        )
    if name == "safest":
        return _why_safest(spec, members, row)
    best, metric = _value(spec, row, name), _METRIC[name]
    values = [_value(spec, other, name) for other in members if other is not row]
    others = [value for value in values if value != float("inf")]
    said = f"{_TITLE[name]}: {_said(spec, row, metric, _figure(spec, row, name))}"
    further = sorted((value for value in others if value != best), reverse=name == "accuracy")
    shared = len(others) - len(further)
    if not further:
        return f"{said}, as all {len(others) + 1} with that figure; the most accurate of them" if others else said
    if name == "accuracy":
        ahead = f"{(best - further[0]) * 100:.2g} points above the next"
    else:
        ahead = f"{(1 - best / further[0]) * 100:.2g} % below the next"
    tie = f"; the most accurate of {shared + 1} equal ones" if shared and name != "accuracy" else ""
    return f"{said}, {ahead} of {len(others) + 1}{tie}"


def knee(points: Sequence[Sequence[float]]) -> int:
    """The point that dominates most alone, all axes scaled to the front's range: Nash's bargain between objectives.

    It is never an end of the front while there is anything between: of three objectives two may agree, and a point that
    is nearest to the best of the sum is then one that gives up the third. Of ends, the nearest to the best of the sum.
    """
    scaled = []
    for column in zip(*points, strict=True):
        span = (max(column) - min(column)) or 1.0
        scaled.append([(value - min(column)) / span for value in column])
    rows = list(zip(*scaled, strict=True))
    return min(range(len(rows)), key=lambda i: (-prod(1 - value for value in rows[i]), sum(rows[i])))


def text_of(value: float, unit: str) -> str:
    """A figure in the unit people use; shares as percentages."""
    return f"{value * 100:.1f} %" if unit == "" else human(value, unit)


def at_risk_value(margin: Margin) -> float | None:
    """The figure a margin was taken of, at the spec's risk, in the limit's unit."""
    if margin.value is None:
        return None
    sign = 1 if _sense(margin) == "max" else -1
    return margin.bound + sign * margin.value * (margin.bound if margin.unit and margin.bound else 1.0)


def _why_safest(spec: Spec, members: Sequence[Ranked], row: Ranked) -> str:
    room, margin = _tightest(row)
    bound, value = text_of(margin.bound, margin.unit), text_of(at_risk_value(margin) or 0.0, margin.unit)
    risk = f" with probability {spec.feasible_probability:g}" if margin.estimate.source not in EXACT else ""
    side = "at most" if _sense(margin) == "max" else "at least"
    rooms = sorted((_tightest(other)[0] for other in members if other is not row), reverse=True)
    against = f"the next keeps {rooms[0] * 100:.0f} %" if rooms[0] < room else "as much as the next"
    return (
        f"{_TITLE['safest']}: its tightest limit, {margin.limit}, keeps {room * 100:.0f} % of its room "
        f"({value} {margin.estimate.source}{risk}, {side} {bound}), {against}"
    )


def _hard(row: Ranked) -> list[Margin]:
    return [margin for margin in row.margins if not margin.soft and margin.value is not None]


def _tightest(row: Ranked) -> tuple[float, Margin]:
    """The hard limit with the least room left, and that room: 0 at the bound, 1 at the best a figure can be.

    Shares and quantities compare: an upper bound's room ends at zero, an accuracy's at 100 %, a duration's never.
    """
    return min(((_room(margin), margin) for margin in _hard(row)), key=lambda found: found[0])


def _room(margin: Margin) -> float:
    spare = -(margin.value or 0.0)
    if margin.unit == "":
        whole = margin.bound if _sense(margin) == "max" else 1 - margin.bound
        return min(1.0, spare / whole) if whole > 0 else min(1.0, spare)
    return spare if _sense(margin) == "max" else 1 - 1 / (1 + spare)


def _sense(margin: Margin) -> str:
    return METRICS[LIMIT_METRIC[margin.limit]].sense if margin.limit in LIMIT_METRIC else "max"


def _objectives(spec: Spec, members: Sequence[Ranked]) -> list[str]:
    """Metrics of the spec's objectives that every member has."""
    metrics = [OBJECTIVE_METRIC[name] for name in spec.objectives]
    return [m for m in metrics if all(row.evaluation.metric(m).value is not None for row in members)]


def _minimised(row: Ranked, metric: str) -> float:
    value = row.evaluation.metric(metric).value or 0.0
    return -value if METRICS[metric].sense == "min" else value


def _behind(members: Sequence[Ranked], row: Ranked, metric: str) -> str:
    mine, best = _minimised(row, metric), min(_minimised(other, metric) for other in members)
    if mine == best:
        return "the best"
    if METRICS[metric].unit == "":
        return f"{(mine - best) * 100:.2g} points short of the best"
    return f"{mine / best:.3g} times the least" if best > 0 else "more than the least"


def _figure(spec: Spec, row: Ranked, name: str) -> Estimate:
    """The figure a pick goes by; the unit cost is the catalogue's where the spec sets no limit on it."""
    found = row.evaluation.metric(_METRIC[name])
    if name == "cheapest" and found.value is None:
        target = next((target for target in spec.targets if target.id == row.evaluation.target), None)
        limit = spec.limit("unit_cost")
        found = unit_cost(target.chip, limit.volume if limit else 1) if target else found
    return found


def _value(spec: Spec, row: Ranked, name: str) -> float:
    value = _figure(spec, row, name).value
    return float("inf") if value is None else value


def _tie(row: Ranked) -> tuple[float, float]:
    latency = row.evaluation.metric("latency_ms").value
    return row.evaluation.metric("accuracy").value or 0.0, -(float("inf") if latency is None else latency)


def _said(spec: Spec, row: Ranked, metric: str, estimate: Estimate | None = None) -> str:
    """`95.0 % accuracy (measured)`, `1.2 ms p95 latency (predicted)`."""
    estimate = estimate or row.evaluation.metric(metric)
    unit = METRICS[metric].unit
    latency, flash = spec.limit("latency"), spec.limit("flash")
    label = {
        "accuracy": spec.task.metric.replace("-", " "),
        "latency_ms": f"{latency.stat} latency" if latency else "latency",
        "flash_bytes": "model file" if flash and flash.counts == "model" else "flash",
        "energy_mj": "an inference",
        "unit_cost_usd": "a unit",
    }.get(metric, METRICS[metric].label)
    return f"{text_of(estimate.value or 0.0, unit)} {label} ({estimate.source})"
