"""The fidelity ladder: what every rung proves and may cost, and who climbs it.

Promotion is multi-objective successive halving (Jamieson and Talwalkar 2016) by non-dominated rank within feasibility
(Deb et al. 2002), ties by the hypervolume a candidate adds. `next_promotion` is its asynchronous form (ASHA, Li et
al. 2020): a free worker never waits for a rung to fill. Pure functions of the ledger's rows, of one target at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from advisor.evaluation import OBJECTIVE_METRIC, Evaluation, Fidelity
from advisor.rung import SCORE
from advisor.score import Margin, feasible, margins, violation
from specs.limits import METRICS
from specs.spec import Spec

ACCURACY_LIMITS = ("accuracy", "accuracy_drop", "robust_accuracy")
_SAMPLES = 2048
"""Points of the unit box that hypervolumes are counted on: gains below 0.05 % of the box tie."""


@dataclass(frozen=True, slots=True)
class Rung:
    """`keep`: share of those on it, the best, that climb on. `most`: the share that may have climbed, whoever led when
    (of candidates that come one by one about half lead for a while). `final`: its accuracy is the deployed one, so that
    accuracy limits count. `accuracy`: the metric that stands for accuracy when its candidates are compared."""

    name: str
    fidelity: Fidelity
    keep: float
    most: float = 1.0
    final: bool = False
    accuracy: str = "accuracy"


COSTS = Rung("costs", "none", keep=1.0)
CHEAP = Rung("cheap", "cheap", keep=0.25, most=1 / 3, accuracy=SCORE)
TRAINED = Rung("trained", "full", keep=1.0, accuracy=SCORE)
ARTIFACT = Rung("artifact", "full", keep=0.5, final=True)
DEVICE = Rung("device", "full", keep=0.0, final=True)
LADDER = (COSTS, CHEAP, TRAINED, ARTIFACT, DEVICE)
"""Costs alone; a brief training; full training; the exported file's own accuracy; the file on the device. A full
training costs 12 to 20 times a brief one, an export and a measurement seconds: what was trained is exported too."""
SHORT = Rung("short", "short", keep=0.25, most=1 / 3)
"""In place of the brief training, or after it for an early answer: a short one that is exported at once."""
UNTRAINED = Rung("untrained", "none", keep=0.0)
"""Beside the ladder: exported as it is, to be measured alone."""
FEW = 8
"""Trials below which nothing is halved: they are trained shortly and exported, so that each is an answer."""


def ladder_for(trials: int) -> tuple[Rung, ...]:
    """The rungs of a search of so many trials."""
    return (COSTS, SHORT, *LADDER[2:]) if trials < FEW else LADDER


def rung_of(evaluation: Evaluation) -> str | None:
    """The name of the rung an evaluation stands on; None for skipped and failed ones."""
    if evaluation.status == "ranked":
        return {"none": "costs", "cheap": "cheap"}.get(evaluation.fidelity, "trained")
    if evaluation.status != "done":
        return None
    if "measured" in evaluation.details and "measurement_error" not in evaluation.details:
        return "device" if evaluation.fidelity == "full" else "short"
    return "short" if evaluation.fidelity == "short" else "artifact"


def promote(spec: Spec, evaluations: Sequence[Evaluation], rung: Rung, slots: int) -> list[Evaluation]:
    """Up to `slots` evaluations on `rung` that should climb to the next, best first.

    `evaluations` are rows of one target, oldest first: current ones or the whole history. With the history, what has
    climbed already still takes its place in the ranking and is left out of the answer.
    """
    gone = _beyond(evaluations, rung)
    order = ranking(spec, on_rung(evaluations, rung), rung)
    return [row for row in order if row.id not in gone][: max(0, slots)]


def next_promotion(
    spec: Spec,
    history: Sequence[Evaluation],
    running: Collection[tuple[str, str]] = (),
    ladder: Sequence[Rung] = LADDER,
    *,
    able: Callable[[Evaluation, Rung], bool] = lambda *_: True,
    least: int = 0,
) -> tuple[Evaluation, Rung] | None:
    """What a free worker should do now: an evaluation and the rung to lift it to; None: begin a new candidate.

    The highest rung comes first. `running` are (candidate id, rung name) that workers are at. Only what is `able` to
    be lifted now is; at least the best `least` of a rung may climb, whatever its share.
    """
    for lower, upper in reversed(list(pairwise(ladder[1:]))):
        rows = on_rung(history, lower)
        count = max(int(len(rows) * lower.keep), least)
        gone = _beyond(history, lower) | {name for name, at in running if at == upper.name}
        if sum(row.id in gone for row in rows) >= max(int(len(rows) * lower.most), least):
            continue
        for row in ranking(spec, rows, lower)[:count] if count else ():
            if row.id not in gone and able(row, upper):
                return row, upper
    return None


def ranking(spec: Spec, rows: Sequence[Evaluation], rung: Rung) -> list[Evaluation]:
    """Best first, infeasible ones left out; where none is feasible, all of them, the least violating first.

    What dominates most alone leads, so that an early answer is a good one; the most accurate of every quantization
    follow, often the slowest to train: what teams compare even off the front.
    """
    held = [_limits(spec, row, rung) for row in rows]
    able = [i for i in range(len(rows)) if feasible(held[i]) is not False]
    if not able:
        order = sorted(range(len(rows)), key=lambda i: (violation(held[i]), -_accuracy(rows[i], rung)))
        return [rows[i] for i in order]
    points = _points(spec, [rows[i] for i in able], rung)
    scores = np.array([_accuracy(rows[i], rung) for i in able])
    best = _most_accurate([rows[i] for i in able], scores)
    alone = (1 - _ranked(points)).prod(1).round(9)
    middle = max(range(len(able)), key=lambda k: (alone[k], k in best, -scores[k]))
    ahead = [middle, *sorted(best - {middle}, key=lambda k: -scores[k])]
    order = [*ahead, *(k for k in _by_rank(points, scores, ahead) if k not in ahead)]
    return [rows[able[k]] for k in order]


def spent_s(history: Sequence[Evaluation]) -> dict[str, float]:
    """Seconds that evaluations took on every rung, by its name; a row written again (measured, re-scored) counts
    once, a candidate that was exported after a short and again after a full training twice."""
    found: dict[tuple[str, str, str, str], float] = {}
    for row in history:
        for name, seconds in row.details.get("rung_s", {}).items():
            key = row.id, row.target, row.fidelity, name
            found[key] = max(found.get(key, 0.0), float(seconds))
    total: dict[str, float] = {}
    for (*_, name), seconds in found.items():
        total[name] = total.get(name, 0.0) + seconds
    return total


def on_rung(evaluations: Sequence[Evaluation], rung: Rung) -> list[Evaluation]:
    """The newest row of every candidate on the rung."""
    return list({row.id: row for row in evaluations if rung_of(row) == rung.name}.values())


def _beyond(evaluations: Sequence[Evaluation], rung: Rung) -> set[str]:
    """Candidates that climbed past the rung, or failed on the next."""
    names = [r.name for r in LADDER]
    # a short training stands beside a brief one: both lead to the full training
    at = names.index(rung.name) if rung.name in names else names.index(CHEAP.name)
    above = LADDER[at + 1 :]
    fidelity = above[0].fidelity if above else None
    return {
        row.id
        for row in evaluations
        if rung_of(row) in {r.name for r in above} or (row.status == "failed" and row.fidelity == fidelity)
    }


def _limits(spec: Spec, row: Evaluation, rung: Rung) -> list[Margin]:
    found = margins(spec, row.metrics)
    return found if rung.final else [margin for margin in found if margin.limit not in ACCURACY_LIMITS]


def _accuracy(row: Evaluation, rung: Rung) -> float:
    return row.metric(rung.accuracy).value or 0.0


def _most_accurate(rows: Sequence[Evaluation], scores: NDArray[np.float64]) -> set[int]:
    best: dict[str, int] = {}
    for k, row in enumerate(rows):
        name = row.candidate.quantization
        if name not in best or scores[k] > scores[best[name]]:
            best[name] = k
    return set(best.values())


def _points(spec: Spec, rows: Sequence[Evaluation], rung: Rung) -> NDArray[np.float64]:
    """(rows, objectives) to be minimised, of those that any row has a figure for; without one a row is as bad as the
    worst: backbones that only their export prices climb by accuracy."""
    columns = []
    for name in spec.objectives:
        metric = rung.accuracy if name == "accuracy" else OBJECTIVE_METRIC[name]
        figures = np.array([row.metric(metric).value for row in rows], np.float64)  # None becomes NaN
        if not np.isnan(figures).all():
            sign = -1.0 if name == "accuracy" or METRICS[metric].sense == "min" else 1.0
            figures *= sign
            columns.append(np.where(np.isnan(figures), np.nanmax(figures), figures))
    return np.column_stack(columns) if columns else np.zeros((len(rows), 1))


def _by_rank(points: NDArray[np.float64], scores: NDArray[np.float64], taken: Sequence[int]) -> list[int]:
    """Indexes by non-dominated rank, within one by the hypervolume added to what came before.

    Hypervolume is counted where objectives are ranks: no unit or outlier then outweighs another.
    """
    scaled = _ranked(points)
    box = np.random.default_rng(0).random((_SAMPLES, points.shape[1]))
    free = np.ones(_SAMPLES, np.bool_)
    for k in taken:
        free &= ~(box >= scaled[k]).all(1)
    order: list[int] = []
    for layer in _layers(points):
        left = np.array(layer)
        cover = np.array([(box >= scaled[k]).all(1) for k in layer], np.float32)
        while len(left):
            gain = cover @ free.astype(np.float32)
            k = int(np.lexsort((left, -scores[left], -gain))[0])
            order.append(int(left[k]))
            free &= cover[k] == 0
            left, cover = np.delete(left, k), np.delete(cover, k, 0)
    return order


def _ranked(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, objectives) as shares of the way from the best, 0, to the worst, 1; equal ones alike."""

    def shares(column: NDArray[np.float64]) -> NDArray[np.float64]:
        _, at, count = np.unique(column, return_inverse=True, return_counts=True)
        return np.asarray(((np.cumsum(count) - count / 2) / len(column))[at])

    return np.column_stack([shares(column) for column in points.T])


def _layers(points: NDArray[np.float64]) -> list[list[int]]:
    """Non-dominated layers, best first; of equal points the first dominates the others."""
    n = len(points)
    better = (points[:, None] <= points[None]).all(2)
    equal = better & better.T
    beats = (better & ~equal) | (equal & (np.arange(n)[:, None] < np.arange(n)))
    count = beats.sum(0)
    layers = []
    left = np.ones(n, np.bool_)
    while left.any():
        layer = np.flatnonzero(left & (count == 0))
        layers.append(layer.tolist())
        left[layer] = False
        count = count - beats[layer].sum(0)
    return layers
