"""What the cost model expects of the smallest candidates: tells `possible` from `possible, but tight`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from advisor.costs import cost_model
from advisor.feasibility.bounds import format_of
from advisor.feasibility.corners import Corner, corners
from advisor.feasibility.verdict import TRAINED, Joint, TargetReport
from advisor.score import Margin, feasible, margins, metrics_of, violation
from advisor.space.search_space import search_space
from advisor.tasks.peek import Peek
from cost_models.estimate import Estimate
from cost_models.workload import signal_processing
from specs.chip import Target
from specs.spec import Spec

_KEYS: tuple[Callable[[Corner], float], ...] = (
    lambda c: c.live_bytes, lambda c: c.live_bytes + c.records_bytes, lambda c: c.live_bytes + c.weight_bytes,
    lambda c: c.file_bytes, lambda c: c.macs, lambda c: len(c.workload.operators) if c.workload else 0,
    lambda c: c.file_bytes * max(1, c.macs), lambda c: c.live_bytes * max(1, c.macs),
)  # fmt: skip
"""What a candidate may be best at, alone or in two things at once."""

Predicted = tuple[Corner, list[Margin]]


def with_predictions(report: TargetReport, spec: Spec, target: Target, peek: Peek) -> TargetReport:
    """The report with `expected` of every limit and the candidate nearest to meeting all of them."""
    if report.unsupported:
        return report
    costs = without_trained(spec)
    if not costs.limits:
        return report
    candidates = finalists(spec, target, peek)
    predicted = predict(costs, target, candidates, peek.frontend_macs)
    if not predicted:
        return report
    limits = []
    for limit in report.limits:
        found = [
            margin for _, ms in predicted for margin in ms if margin.limit == limit.name and margin.value is not None
        ]
        if limit.scope == "spec" and found:
            best = min(found, key=lambda margin: margin.value or 0.0)
            limit = replace(limit, expected=best.estimate, likely=best.met)
        elif limit.scope == "spec" and limit.name not in TRAINED:
            reason = next((m.estimate.reason for _, ms in predicted for m in ms if m.limit == limit.name), "")
            limit = replace(limit, expected=Estimate.absent(reason or "not predicted"))
        limits.append(limit)
    return replace(report, limits=tuple(limits), joint=joint(predicted, peek))


def without_trained(spec: Spec) -> Spec:
    """The spec with the limits that its costs decide."""
    return replace(spec, limits=tuple(limit for limit in spec.limits if limit.name not in TRAINED))


def finalists(spec: Spec, target: Target, peek: Peek) -> list[Corner]:
    """Of every architecture and precision the corners that are best at something."""
    space = search_space(spec, target, peek.shapes, peek.classes)
    groups: dict[tuple[str, str], list[Corner]] = {}
    for corner in corners(space, format_of(target)):
        if corner.workload is not None:
            groups.setdefault((corner.architecture, corner.quantization), []).append(corner)
    chosen = {id(best): best for group in groups.values() for best in (min(group, key=key) for key in _KEYS)}
    return list(chosen.values())


def predict(spec: Spec, target: Target, candidates: list[Corner], frontend_macs: int = 0) -> list[Predicted]:
    """The margins of every candidate, by the cost model; with the front end where the pipeline is limited."""
    workloads = [corner.workload for corner in candidates if corner.workload is not None]
    model = cost_model(target)
    front = signal_processing(frontend_macs) if frontend_macs else None
    extra = {"frontend_ms": model.predict([front], target)[0].metrics["latency_ms"]} if front else {}
    costs = model.predict(workloads, target)
    return [
        (corner, margins(spec, {**metrics_of(spec, target, cost), **extra}))
        for corner, cost in zip(candidates, costs, strict=True)
    ]


def joint(predicted: list[Predicted], peek: Peek) -> Joint:
    """The candidate that violates the hard limits least, all of them taken together."""
    corner, found = min(predicted, key=lambda entry: (violation(entry[1]), _tightest(entry[1])))
    missed = tuple(margin.limit for margin in found if margin.met is False and not margin.soft)
    return Joint(corner.describe(peek.classes), feasible(found), missed, len(predicted))


def meets_all(spec: Spec, target: Target, peek: Peek) -> bool | None:
    """Whether some corner is predicted to meet all cost limits at once; None where a figure is missing."""
    costs = without_trained(spec)
    predicted = predict(costs, target, finalists(spec, target, peek), peek.frontend_macs)
    verdicts = [feasible(found) for _, found in predicted]
    if any(verdicts):
        return True
    return False if verdicts and all(verdict is False for verdict in verdicts) else None


def _tightest(found: list[Margin]) -> float:
    return max((margin.value for margin in found if margin.value is not None), default=0.0)
