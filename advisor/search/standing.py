"""What a run knows so far, as its loop asks: every row by target, of every candidate the first and the best."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from statistics import median

from advisor.build.plans import PLANS
from advisor.candidate import Candidate
from advisor.evaluation import Evaluation, Fidelity
from advisor.front import non_dominated, usable_objectives, values
from advisor.ledger import Ledger
from advisor.rows import CALIBRATED
from advisor.rung import SCORE
from advisor.search.ladder import CHEAP, SHORT, TRAINED, rung_of
from advisor.space.search_space import is_opaque
from specs.spec import Spec

SLOWER = 1.4
"""A full training's sample takes longer than a brief one's, whose batches are larger, until the run tells."""
LATEST = 15
"""Candidates that tell what the next will take."""


class Standing:
    """Rows are those of the ledger with the figures of its newest calibration, and what was remembered since."""

    def __init__(self, targets: Collection[str], ledger: Ledger) -> None:
        self.history: dict[str, list[Evaluation]] = {name: [] for name in targets}
        self._first: dict[tuple[str, str], Evaluation] = {}
        self._best: dict[tuple[str, str], Evaluation] = {}
        current = {(row.id, row.target): row.metrics for row in ledger.evaluations()}
        for row in ledger.history():
            now = current[row.id, row.target]
            changed = {name: now[name] for name in CALIBRATED if name in now and name in row.metrics}
            self.remember(replace(row, metrics={**row.metrics, **changed}))

    def remember(self, row: Evaluation) -> None:
        key = row.id, row.target
        if row.status == "given" or row.target not in self.history:
            return
        self.history[row.target].append(row)
        if key not in self._first or self._first[key].status == "skipped":
            self._first[key] = row
        old = self._best.get(key)
        if row.status == "done" or old is None or old.status != "done":
            self._best[key] = row

    def tried(self, target: str, candidate: str) -> Evaluation | None:
        """What the first rung made of a candidate, or the costs that ended it."""
        return self._first.get((candidate, target))

    def done(self, target: str = "") -> list[Evaluation]:
        """The exported ones, on one target or on all."""
        return [row for row in self._best.values() if row.status == "done" and target in ("", row.target)]

    def count(self, target: str = "", *, skipped: bool = False) -> int:
        """Candidates that were trained at all, or those that costs ended."""
        rows = (row for row in self._first.values() if target in ("", row.target))
        return sum((row.status == "skipped") == skipped for row in rows)

    def leads(self, spec: Spec, row: Evaluation) -> bool:
        """Whether nothing exported on its target dominates it."""
        rows = self.done(row.target)
        objectives = usable_objectives(spec, rows)
        best = non_dominated([values(other, objectives) for other in rows])
        return row.id in {rows[i].id for i in best}

    def teacher(self, student: Candidate) -> tuple[Candidate, Fidelity] | None:
        """The best network that was trained in full on any target, for a student that ranked lower while brief."""
        rows = [row for rows in self.history.values() for row in rows if not is_opaque(row.candidate.architecture)]
        trained = [row for row in rows if rung_of(row) == TRAINED.name]
        best = max(trained, key=lambda row: row.metric(SCORE).value or 0.0, default=None)
        brief = {row.id: row.metric(SCORE).value or 0.0 for row in rows if rung_of(row) == CHEAP.name}
        if best is None or brief.get(student.id, 1.0) >= brief.get(best.id, 0.0):
            return None
        return best.candidate, TRAINED.fidelity

    def training_s(self, row: Evaluation, fidelity: Fidelity) -> float:
        """Seconds that training a candidate anew is expected to take: a full one by what its first one took in others
        that climbed, others by the samples they see."""
        rows = [other for rows in self.history.values() for other in rows]
        shown: list[float] = []
        if fidelity == "full":
            trained = [other for other in rows if rung_of(other) == TRAINED.name]
            if any(other.candidate.structure == row.candidate.structure for other in trained):
                return 0.0  # another quantization of it was trained: that serves both
            first = {other.id: seconds(other) for other in rows if other.fidelity == row.fidelity}
            shown = [seconds(other) / first[other.id] for other in trained if seconds(other) and first.get(other.id)]
        planned = PLANS[fidelity].passes / PLANS[row.fidelity].passes * SLOWER
        return (median(shown) if len(shown) > 2 else planned) * seconds(row)

    def climb_s(self, target: str) -> float:
        """Seconds that a new candidate of a target is expected to take, its full training included: what the latest
        would; without end where none was trained."""
        begun = [row for row in self.history[target] if rung_of(row) in (CHEAP.name, SHORT.name)][-LATEST:]
        full = [(row, self.training_s(row, "full")) for row in begun]
        taken = [seconds(row) + training for row, training in full if training]  # none: it shares another's training
        return median(taken) if taken else math.inf


def seconds(evaluation: Evaluation) -> float:
    """Seconds of training behind an evaluation, its own or inherited."""
    return float(sum(evaluation.details.get(f"{part}seconds", 0.0) for part in ("", "parent_")))


def rung_s(evaluation: Evaluation) -> dict[str, float]:
    """Seconds that every rung took, by its name, as far as this row tells."""
    return dict(evaluation.details.get("rung_s", {}))
