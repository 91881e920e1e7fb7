"""Which short-trained candidates deserve a full training."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.evaluation import Evaluation
from advisor.front import best_of_each_quantization, non_dominated, usable_objectives, values
from advisor.score import feasible, margins
from specs.spec import Spec

_ACCURACY_LIMITS = ("accuracy", "accuracy_drop", "robust_accuracy")


def promotable(spec: Spec, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Short-trained evaluations that meet every hard limit but accuracy's: the most accurate of every quantization
    first, then those on their front, most accurate first within."""
    rows = []
    for evaluation in evaluations:
        others = [m for m in margins(spec, evaluation.metrics) if m.limit not in _ACCURACY_LIMITS]
        if evaluation.status == "done" and evaluation.fidelity == "short" and feasible(others) is not False:
            rows.append(evaluation)
    objectives = usable_objectives(spec, rows)
    ahead = set(non_dominated([values(row, objectives) for row in rows]))
    best = {id(row) for row in best_of_each_quantization(rows)}

    def rank(i: int) -> tuple[bool, bool, float]:
        return id(rows[i]) not in best, i not in ahead, -(rows[i].metric("accuracy").value or 0.0)

    return [rows[i] for i in sorted(range(len(rows)), key=rank)]
