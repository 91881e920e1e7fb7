"""What differs between two fronts of one run: other limits, or figures that a calibration moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.front import Front, Ranked, front
from advisor.run import Run
from cost_models.estimate import Estimate
from specs.spec import Spec

Key = tuple[str, str]
MEDIAN = "p50"
"""What predictions of latency are of."""


@dataclass(frozen=True)
class Moved:
    """A figure of a candidate that was on either front. `statistic`: of a latency, which both figures are of."""

    candidate: str
    target: str
    metric: str
    before: Estimate
    after: Estimate
    statistic: str = ""


@dataclass(frozen=True)
class Changed:
    """`gained` and `lost` members, both as judged after; figures that `moved`."""

    gained: tuple[Ranked, ...]
    lost: tuple[Ranked, ...]
    moved: tuple[Moved, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "gained": [_named(row) for row in self.gained],
            "lost": [{**_named(row), "why": why_lost(row)} for row in self.lost],
            "moved": [
                {"id": m.candidate, "target": m.target, "metric": m.metric, "statistic": m.statistic,
                 "before": m.before.to_dict(), "after": m.after.to_dict()} for m in self.moved
            ],
        }  # fmt: skip


def changed(before: Front, after: Front) -> Changed:
    """What the second front has, lacks and shows differently; figures are compared where limits or objectives are."""
    old, new = _members(before), _members(after)
    lost = [row for key in old if key not in new and (row := after.ranked.find(*key))]
    metrics = dict.fromkeys(OBJECTIVE_METRIC[name] for name in after.spec.objectives)
    metrics |= dict.fromkeys(limit.metric.name for limit in after.spec.limits)
    moved = []
    for key, row in {**new, **{_key(row): row for row in lost}}.items():
        was = old.get(key) or before.ranked.find(*key)
        if was is None:
            continue
        for metric in metrics:
            first, second, statistic = _alike(after.spec, metric, was.evaluation, row.evaluation)
            if first != second:
                moved.append(Moved(*key, metric, first, second, statistic))
    gained = [row for key, row in new.items() if key not in old]
    return Changed(tuple(gained), tuple(lost), tuple(moved))


def _alike(spec: Spec, metric: str, was: Evaluation, now: Evaluation) -> tuple[Estimate, Estimate, str]:
    """A metric of both, by the same statistic: a predicted latency is a median until measurements tell how far what the
    spec's limit asks for lies from it."""
    first, second = was.metric(metric), now.metric(metric)
    if metric != "latency_ms":
        return first, second, ""
    if first.source == second.source == "measured":
        limit = spec.limit("latency")
        return first, second, limit.stat if limit else MEDIAN
    return _median(was), _median(now), MEDIAN


def _median(row: Evaluation) -> Estimate:
    """The latency that another's prediction is held against."""
    return row.metrics.get("latency_p50_ms", row.metric("latency_ms"))


def why_lost(row: Ranked) -> str:
    """Why a former member is off the front."""
    if row.feasible is not True:
        names = [m.limit for m in row.margins if not m.soft and m.met is not True]
        return f"{'misses' if row.feasible is False else 'not known to meet'} {', '.join(names)}"
    return row.note or "another candidate is at least as good in every objective"


def calibration_info(run: Run, found: Front, since: int = 0) -> dict[str, Any]:
    """The run's calibrations, and what those after `since` changed of the front; empty where there is none.

    The same candidates with the figures they had: what was evaluated since is on both fronts.

    Raises:
        SpecError: no calibration `since`.
    """
    calibrations = run.ledger.calibrations()
    if not calibrations and not since:
        return {}
    columns = run.ledger.columns(at=since)
    before = front(run.spec, columns.of_target(found.targets[0]) if len(found.targets) == 1 else columns)
    return {"calibrations": [calibration.to_dict() for calibration in calibrations],
            "changes": {"since": since, **changed(before, found).to_dict()}}  # fmt: skip


def _members(found: Front) -> dict[Key, Ranked]:
    return {_key(row): row for row in found.members}


def _key(row: Ranked) -> Key:
    return row.evaluation.id, row.evaluation.target


def _named(row: Ranked) -> dict[str, Any]:
    evaluation = row.evaluation
    return {"id": evaluation.id, "target": evaluation.target, "description": evaluation.candidate.describe()}
