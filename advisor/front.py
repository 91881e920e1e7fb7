"""The Pareto front of a run, always recomputed from the ledger's evaluations; pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.score import Margin, feasible, margins, violation
from specs.errors import SpecError
from specs.limits import METRICS
from specs.spec import Spec

Verdict = Literal["feasible", "none found"]


@dataclass(frozen=True)
class Ranked:
    """An evaluation judged by the spec."""

    evaluation: Evaluation
    margins: tuple[Margin, ...]
    feasible: bool | None
    violation: float
    on_front: bool


@dataclass(frozen=True)
class Front:
    """`members`: per target the feasible non-dominated evaluations; where a target has none, `fallback` holds its
    least-violating ones. `ranked` has every evaluation that was trained."""

    verdict: Verdict
    ranked: tuple[Ranked, ...]
    members: tuple[Ranked, ...]
    fallback: tuple[Ranked, ...]
    skipped: int
    failed: int
    failures: tuple[tuple[str, int], ...] = ()
    """Distinct reasons of failed evaluations and how often each, most frequent first."""

    @property
    def exit_status(self) -> int:
        return 0 if self.verdict == "feasible" else 4


def front(spec: Spec, evaluations: Sequence[Evaluation], *, fallback: int = 5) -> Front:
    """Judge evaluations by the spec as it stands (limits may differ from those searched with)."""
    done = [evaluation for evaluation in evaluations if evaluation.status == "done"]
    judged = [_judge(spec, evaluation) for evaluation in done]
    members: set[int] = set()
    spare: list[Ranked] = []
    for target in dict.fromkeys(row.evaluation.target for row in judged):
        mine = [i for i, row in enumerate(judged) if row.evaluation.target == target]
        objectives = usable_objectives(spec, [judged[i].evaluation for i in mine])
        good = [i for i in mine if judged[i].feasible]
        members |= {good[k] for k in non_dominated([values(judged[i].evaluation, objectives) for i in good])}
        if not good:
            # undecided ones (a figure is absent) come first: nothing is known to be wrong with them
            spare += sorted((judged[i] for i in mine), key=lambda r: (r.violation, -_accuracy(r)))[:fallback]
    ranked = tuple(Ranked(r.evaluation, r.margins, r.feasible, r.violation, i in members) for i, r in enumerate(judged))
    return Front(
        verdict="feasible" if members else "none found",
        ranked=ranked,
        members=tuple(sorted((r for r in ranked if r.on_front), key=lambda r: (r.evaluation.target, -_accuracy(r)))),
        fallback=tuple(spare),
        skipped=sum(evaluation.status == "skipped" for evaluation in evaluations),
        failed=sum(evaluation.status == "failed" for evaluation in evaluations),
        failures=tuple(Counter(e.reason for e in evaluations if e.status == "failed").most_common()),
    )


def best_of_each_quantization(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The most accurate evaluation of every target and quantization: what teams compare even off the front."""
    best: dict[tuple[str, str], Evaluation] = {}
    for evaluation in evaluations:
        key = (evaluation.target, evaluation.candidate.quantization)
        value = evaluation.metric("accuracy").value or 0.0
        if key not in best or value > (best[key].metric("accuracy").value or 0.0):
            best[key] = evaluation
    return list(best.values())


def usable_objectives(spec: Spec, evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """The spec's objectives that all of these evaluations have a figure for (energy may be unknown on a target)."""
    return tuple(
        name
        for name in spec.objectives
        if all(evaluation.metric(OBJECTIVE_METRIC[name]).value is not None for evaluation in evaluations)
    )


def values(evaluation: Evaluation, objectives: Sequence[str]) -> tuple[float, ...]:
    """Objective values, all to be minimised."""
    found = []
    for name in objectives:
        metric = OBJECTIVE_METRIC[name]
        value = evaluation.metric(metric).value
        assert value is not None  # noqa: S101 - usable_objectives made sure
        found.append(-value if METRICS[metric].sense == "min" else value)
    return tuple(found)


def non_dominated(points: Sequence[Sequence[float]]) -> list[int]:
    """Indexes of the points no other point dominates (minimisation); of equal points the first."""
    kept = []
    for i, p in enumerate(points):
        for j, q in enumerate(points):
            if i != j and all(b <= a for a, b in zip(p, q, strict=True)) and (tuple(q) != tuple(p) or j < i):
                break
        else:
            kept.append(i)
    return kept


def pick(found: Front, name: str, target: str | None = None) -> Ranked:
    """A member by name (`knee`, `accuracy`, `latency`, `smallest`) or any evaluation by its id.

    Raises:
        SpecError: nothing feasible to pick from, or an unknown name or id.
    """
    known = list(dict.fromkeys(r.evaluation.target for r in found.ranked))
    if target is not None and target not in known:
        raise SpecError("this run has no such target", seen=target, allowed=", ".join(known))
    members = [r for r in found.members if target in (None, r.evaluation.target)]
    if name in ("knee", "accuracy", "latency", "smallest"):
        if not members:
            raise SpecError("nothing feasible to pick from", seen=name,
                            next="pick a least-violating candidate by its id, or relax a limit")  # fmt: skip
        members = [r for r in members if r.evaluation.target == members[0].evaluation.target]
        return _picked(members, name)
    for row in found.ranked:
        if row.evaluation.id == name and target in (None, row.evaluation.target):
            return row
    ids = ", ".join(dict.fromkeys(r.evaluation.id for r in (*members, *found.fallback)))
    raise SpecError("no such candidate in this run", seen=name, allowed=f"knee, accuracy, latency, smallest, {ids}")


def _picked(members: Sequence[Ranked], name: str) -> Ranked:
    if name == "accuracy":
        return max(members, key=lambda r: (_accuracy(r), -_value(r, "latency_ms")))
    if name in ("latency", "smallest"):
        metric = "latency_ms" if name == "latency" else "flash_bytes"
        return min(members, key=lambda r: (_value(r, metric), -_accuracy(r)))
    return members[knee([(-_accuracy(r), _value(r, "latency_ms")) for r in members])]


def knee(points: Sequence[tuple[float, float]]) -> int:
    """The point farthest from the line between the ends, both axes scaled to the front's range."""
    scaled = []
    for axis in (0, 1):
        column = [p[axis] for p in points]
        span = (max(column) - min(column)) or 1.0
        scaled.append([(v - min(column)) / span for v in column])
    distance = [a + b for a, b in zip(*scaled, strict=True)]
    return distance.index(min(distance))


def front_info(spec: Spec, found: Front) -> dict[str, Any]:
    """What `advisor front --json`, the report and the dashboard show."""
    return {
        "schema": 1,
        "spec_id": spec.id,
        "name": spec.name,
        "verdict": found.verdict,
        "objectives": list(spec.objectives),
        "counts": {
            "evaluated": len(found.ranked),
            "feasible": sum(r.feasible is True for r in found.ranked),
            "on_front": len(found.members),
            "skipped": found.skipped,
            "failed": found.failed,
        },
        "evaluations": [row_info(row) for row in found.ranked],
        "failures": [{"reason": reason, "count": count} for reason, count in found.failures],
        "least_violating": [f"{row.evaluation.id}@{row.evaluation.target}" for row in found.fallback],
    }


def row_info(row: Ranked) -> dict[str, Any]:
    evaluation = row.evaluation
    return {
        "id": evaluation.id,
        "target": evaluation.target,
        "candidate": evaluation.candidate.to_dict(),
        "description": evaluation.candidate.describe(),
        "metrics": {name: estimate.to_dict() for name, estimate in evaluation.metrics.items()},
        "margins": [margin.to_dict() for margin in row.margins],
        "feasible": row.feasible,
        "violation": row.violation,
        "fidelity": evaluation.fidelity,
        "on_front": row.on_front,
        "artifact": evaluation.artifact,
        "details": dict(evaluation.details),
    }


def _judge(spec: Spec, evaluation: Evaluation) -> Ranked:
    found = margins(spec, evaluation.metrics)
    return Ranked(evaluation, tuple(found), feasible(found), violation(found), on_front=False)


def _accuracy(row: Ranked) -> float:
    return row.evaluation.metric("accuracy").value or 0.0


def _value(row: Ranked, metric: str) -> float:
    value: float | None = row.evaluation.metric(metric).value
    return float("inf") if value is None else value
