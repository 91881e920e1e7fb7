"""The Pareto front of a run, always recomputed from the ledger's evaluations; pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from advisor.columns import Columns, Places, columns_of, judge
from advisor.dominance import non_dominated
from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.picks import PICKS, Picks, Ranked, choose, knee, named_picks
from advisor.ranked import Rows
from specs.errors import SpecError
from specs.limits import METRICS
from specs.spec import Spec

__all__ = [
    "Dominated", "Front", "Ranked", "Rows", "best_of_each_quantization", "front", "front_info", "knee", "non_dominated",
    "pick", "row_info", "usable_objectives", "values",
]  # fmt: skip

Verdict = Literal["feasible", "none found"]
Dominated = Callable[[Evaluation], bool]
"""Whether the user's baseline beats an evaluation beyond noise; false for the baseline's own."""
BEATEN = "the baseline is better beyond noise"
NAMED = 12
"""Ids that an error lists."""
LISTED = 1000
"""Evaluations `front_info` lists in full; of more, those on the front, its comparisons and the nearest misses."""


@dataclass(frozen=True)
class Front:
    """`members`: per target the feasible non-dominated evaluations; where a target has none, `fallback` holds its
    least-violating ones. `ranked` has every evaluation that was trained, `compared` the feasible ones that were scored
    on the test split though off the front, `baseline` the user's own model a target. `brief` and `skipped` count those
    that only a brief training was spent on, and none at all."""

    spec: Spec
    verdict: Verdict
    ranked: Rows
    members: tuple[Ranked, ...]
    fallback: tuple[Ranked, ...]
    compared: tuple[Ranked, ...]
    targets: tuple[str, ...]
    feasible: int
    brief: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, int], ...] = ()
    """Distinct reasons of failed evaluations and how often each, most frequent first."""
    baseline: tuple[Ranked, ...] = ()

    @property
    def exit_status(self) -> int:
        return 0 if self.verdict == "feasible" else 4

    def picks(self) -> Picks:
        return named_picks(self.spec, self.members)


def front(
    spec: Spec, evaluations: Sequence[Evaluation] | Columns, *, fallback: int = 5, baseline: Dominated | None = None
) -> Front:
    """Judge evaluations by the spec as it stands (limits may differ from those searched with).

    What `baseline` answers true for stays off the front, with a note; without it, what the user's own model among the
    evaluations beats.
    """
    columns = evaluations if isinstance(evaluations, Columns) else columns_of(evaluations)
    judged = judge(spec, columns)
    given = columns.of_status("given").tolist()
    if given and baseline is None:
        from advisor.baseline import beats  # what reads model files, for those that brought one

        baseline = beats(spec, columns.load(given))
    members: set[int] = set()
    notes: dict[int, str] = {}
    spare: list[int] = []
    accuracy = np.nan_to_num(columns.metric("accuracy").value)
    for mine in columns.by_target().values():
        good = mine[judged.feasible[mine] == 1]
        kept = _undominated(spec, columns, mine, good, baseline, notes)
        members |= set(kept)
        if not len(good):
            # undecided ones (a figure is absent) come first: nothing is known to be wrong with them
            order = np.lexsort((-accuracy[mine], judged.violation[mine]))
            spare += mine[order[:fallback]].tolist()
    ranked = Rows(spec, columns, judged, members, notes)
    compared = np.flatnonzero(columns.tested & (judged.feasible == 1)).tolist()
    counts = Counter(columns.statuses)
    return Front(
        spec=spec,
        verdict="feasible" if members else "none found",
        ranked=ranked,
        members=tuple(sorted(ranked.at(sorted(members)), key=lambda r: (r.evaluation.target, -_accuracy(r)))),
        fallback=tuple(ranked.at(spare)),
        compared=tuple(ranked.at([i for i in compared if i not in members and columns.statuses[i] == "done"])),
        targets=tuple(columns.by_target()),
        feasible=int((judged.feasible[columns.done] == 1).sum()),
        brief=counts["ranked"],
        skipped=counts["skipped"],
        failed=counts["failed"],
        failures=tuple(Counter(columns.reasons.values()).most_common()),
        baseline=tuple(ranked.at(given)),
    )


def _undominated(
    spec: Spec, columns: Columns, mine: Places, good: Places, baseline: Dominated | None, notes: dict[int, str]
) -> list[int]:
    """Places of one target's front among `good`; `notes` gets those the baseline keeps off it."""
    points = np.empty((len(columns), 0))
    for name in spec.objectives:
        metric = OBJECTIVE_METRIC[name]
        value = columns.metric(metric).value
        if not np.isnan(value[mine]).any():  # energy may be unknown on a target
            points = np.column_stack((points, -value if METRICS[metric].sense == "min" else value))
    passed: set[int] = set()
    while True:
        kept: list[int] = good[non_dominated(points[good])].tolist()
        new = [place for place in kept if place not in passed]
        beaten = {p for p, e in zip(new, columns.load(new), strict=True) if baseline(e)} if baseline else set()
        if not beaten:
            return kept
        passed |= set(new) - beaten
        notes.update(dict.fromkeys(beaten, BEATEN))
        good = good[~np.isin(good, list(beaten))]


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


def pick(found: Front, name: str, target: str | None = None) -> Ranked:
    """A member by one of the names in PICKS, over all targets or on one, or any evaluation by its id.

    Raises:
        SpecError: nothing feasible to pick from, no figure to pick by, or an unknown name or id.
    """
    if target is not None and target not in found.targets:
        raise SpecError("this run has no such target", seen=target, allowed=", ".join(found.targets))
    members = [r for r in found.members if target in (None, r.evaluation.target)]
    if name in PICKS:
        if not members and found.baseline and found.feasible:
            raise SpecError("nothing to pick: the baseline is better than every feasible candidate beyond noise",
                            seen=name, next="keep the baseline, or search longer")  # fmt: skip
        if not members:
            raise SpecError("nothing feasible to pick from", seen=name,
                            next="pick a least-violating candidate by its id, or relax a limit")  # fmt: skip
        chosen = choose(found.spec, members, name)
        if isinstance(chosen, str):
            others = ", ".join(other for other in PICKS if not isinstance(choose(found.spec, members, other), str))
            raise SpecError(f"no candidate to pick by that name: {chosen}", seen=name, allowed=others)
        return chosen
    row = found.ranked.find(name, target)
    if row is None:
        names = [other for other in PICKS if members and not isinstance(choose(found.spec, members, other), str)]
        ids = list(dict.fromkeys(r.evaluation.id for r in (*members, *found.fallback)))
        more = [f"or {len(ids) - NAMED} other ids"] if len(ids) > NAMED else []
        raise SpecError("no such candidate in this run", seen=name, allowed=", ".join([*names, *ids[:NAMED], *more]))
    return row


def front_info(spec: Spec, found: Front, *, every: bool = False) -> dict[str, Any]:
    """What `advisor front --json`, the report and the dashboard show; all evaluations of a very large run only with
    `every`, and how many are not listed under `omitted`."""
    rows: Sequence[Ranked] = found.ranked
    if len(rows) > LISTED and not every:
        shown = (*found.members, *found.compared, *found.fallback)
        rows = list({(row.evaluation.id, row.evaluation.target): row for row in shown}.values())
    picks = found.picks()
    return {
        "schema": 1,
        "spec_id": spec.id,
        "name": spec.name,
        "verdict": found.verdict,
        "objectives": list(spec.objectives),
        "counts": {
            "evaluated": len(found.ranked),
            "feasible": found.feasible,
            "on_front": len(found.members),
            "brief": found.brief,
            "skipped": found.skipped,
            "failed": found.failed,
        },
        "picks": [pick.to_dict() for pick in picks.chosen],
        "absent_picks": [{"name": name, "reason": reason} for name, reason in picks.absent.items()],
        "measured": _measured(found),
        "baseline": [row_info(row) for row in found.baseline],
        "evaluations": [row_info(row) for row in rows],
        "omitted": len(found.ranked) - len(rows),
        "failures": [{"reason": reason, "count": count} for reason, count in found.failures],
        "least_violating": [f"{row.evaluation.id}@{row.evaluation.target}" for row in found.fallback],
    }


def _measured(found: Front) -> list[dict[str, Any]]:
    """Per target, how many of the front were measured on it."""
    rows = [(row.evaluation.target, row.evaluation.metric("latency_ms").source == "measured") for row in found.members]
    return [{"target": name, "measured": sum(seen for at, seen in rows if at == name),
             "of": sum(at == name for at, _ in rows)} for name in dict.fromkeys(at for at, _ in rows)]  # fmt: skip


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
        "note": row.note,
        "artifact": evaluation.artifact,
        "details": dict(evaluation.details),
    }


def _accuracy(row: Ranked) -> float:
    return row.evaluation.metric("accuracy").value or 0.0
