"""What a run answers, as one document: the front, what would help where there is none, what calibrations changed."""

from __future__ import annotations

from typing import Any

from advisor.changes import calibration_info
from advisor.front import Front, front_info
from advisor.relax import Relaxed, ways_info
from advisor.run import Run, left_out, spent_s
from specs.spec import Spec


def answer_info(run: Run, found: Front, *, every: bool = False, since: int = 0) -> dict[str, Any]:
    """What `advisor front --json` prints: `front_info`; `left_out`, recipes that were not tried and why; where a target
    has nothing feasible `binding`, `missed` and `ways_out`; of a calibrated run `calibrations` and the `changes` since
    one of them (0: since before the first); whether the search is `finished`, and then the seconds `spent_s` on every
    rung.

    Raises:
        SpecError: no calibration `since`.
    """
    facts = run.ledger.facts()
    return {**front_info(run.spec, found, every=every), "finished": "finished" in facts, "left_out": left_out(facts),
            "spent_s": spent_s(facts), **_ways(run.spec, found), **calibration_info(run, found, since)}  # fmt: skip


def relaxed_info(run: Run, relaxed: Relaxed) -> dict[str, Any]:
    """What `advisor relax --json` prints: the front under the changed limits as `front` has it, the changed `limits`,
    what was the case `before`, and the `changes` of the front; whether the search is `finished`. `run_spec_id` is of
    the spec that was searched."""
    before, after = relaxed.before, relaxed.after
    counts = {"feasible": before.feasible, "on_front": len(before.members)}
    return {
        **front_info(relaxed.spec, after),
        **_ways(relaxed.spec, after),
        "run_spec_id": run.spec.id,
        "finished": "finished" in run.ledger.facts(),
        "limits": [change.to_dict() for change in relaxed.changes],
        "before": {"verdict": before.verdict, "counts": counts},
        "changes": relaxed.changed.to_dict(),
        "reachable": relaxed.reachable,
    }


def _ways(spec: Spec, found: Front) -> dict[str, Any]:
    """Of all targets where none has anything feasible, else of those that have not."""
    columns = found.ranked.columns
    if found.verdict == "none found":
        return ways_info(spec, columns) if len(found.ranked) else {}
    failing = {row.evaluation.target for row in found.fallback}
    return ways_info(spec, columns.of_target(*failing)) if failing else {}
