"""What a free worker should lift next, within the time that is left: the ladder's rules on one target's rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from advisor.evaluation import Evaluation
from advisor.front import usable_objectives
from advisor.rung import trained_network
from advisor.score import feasible, margins
from advisor.search.ladder import CHEAP, LADDER, SHORT, TRAINED, Rung, ladder_for, next_promotion, on_rung
from advisor.search.standing import Standing
from specs.spec import Spec

AT_LEAST = 4
"""Candidates that are trained in full when time is left after exploring, however few there are."""
FIRST = 8
"""Candidates that are trained shortly and exported before others are trained in full: a first front of both ends, in
less time than one or two full trainings take."""
FIRST_SHARE = 0.2
"""Of the time, after which full trainings no longer wait for those."""
CLIMBED = (LADDER[:-1], ladder_for(0)[:-1])
"""Promotions that workers make; the device is the coordinator's."""

Promotion = tuple[Evaluation, Rung]


def due(
    spec: Spec, standing: Standing, target: str, running: Collection[tuple[str, str]], busy: Collection[str],
    left_s: float, *, explored: bool,
) -> Promotion | None:  # fmt: skip
    """The highest promotion that is due on a target and can end in the seconds left; None: there is none.

    `running` are (candidate id, rung name) that workers are at, `busy` the networks in training. Once no new candidate
    will be begun (`explored`), more than the ladder's share climb.
    """
    rows = standing.history[target]
    least = _deserving(spec, standing, target) if explored else 0

    def able(row: Evaluation, rung: Rung) -> bool:
        if trained_network(row.candidate) in busy:
            return False
        return rung is not TRAINED or standing.training_s(row, "full") < left_s

    # whoever was trained briefly climbs from there, shortly trained since or not
    tried = {row.id for row in on_rung(rows, CHEAP)}
    others = [row for row in rows if row.id not in tried]
    for ladder, some in zip(CLIMBED, (rows, others), strict=True):
        found = next_promotion(spec, some, running, ladder, able=able, least=least)
        if found:
            return found
    return None


def opening(spec: Spec, standing: Standing, target: str, running: Collection[tuple[str, str]]) -> bool:
    """Whether a first front is still to be made: fewer than `FIRST` of those trained briefly are or were at a longer
    training, and more than accuracy counts."""
    rows = standing.history[target]
    begun = {row.id for row in rows if row.fidelity in (SHORT.fidelity, TRAINED.fidelity)}
    begun |= {name for name, at in running if at in (SHORT.name, TRAINED.name)}
    many = ladder_for(spec.search.trials) is LADDER
    return many and len(begun) < FIRST and not _accuracy_is_all(spec, on_rung(rows, CHEAP))


def first(
    spec: Spec, standing: Standing, target: str, running: Collection[tuple[str, str]], busy: Collection[str],
    left_s: float,
) -> Promotion | None:  # fmt: skip
    """A short training of the best of the better half of those trained briefly, for a first front, or None."""
    half = len(on_rung(standing.history[target], CHEAP)) // 2
    return _shortly(spec, standing, target, running, busy, left_s, half)


def brief(
    spec: Spec, standing: Standing, target: str, running: Collection[tuple[str, str]], busy: Collection[str],
    left_s: float,
) -> Promotion | None:  # fmt: skip
    """A short training of what deserves a full one that the seconds left are too short for, or None; for when no new
    candidate will be begun and nothing else is due on any target."""
    rows = standing.history[target]
    trained = any(row.status == "done" and row.fidelity == "full" for row in rows)
    if trained and _accuracy_is_all(spec, standing.done(target)):
        # a short training adds no other end of the front, and may lead by luck alone
        return None
    return _shortly(spec, standing, target, running, busy, left_s, _deserving(spec, standing, target))


def _shortly(
    spec: Spec, standing: Standing, target: str, running: Collection[tuple[str, str]], busy: Collection[str],
    left_s: float, least: int,
) -> Promotion | None:  # fmt: skip
    """The best of those trained briefly that was not trained any longer and can be, shortly, in the seconds left; of
    the best `least`, or the ladder's share."""
    rows = standing.history[target]

    def able(row: Evaluation, rung: Rung) -> bool:
        free = rung is TRAINED and trained_network(row.candidate) not in busy
        return free and standing.training_s(row, "short") < left_s

    # what was or is trained shortly has its place among those that climb
    shortly = {row.id for row in rows if row.fidelity == SHORT.fidelity}
    shortly |= {name for name, at in running if at == SHORT.name}
    at_work = {*running, *((name, TRAINED.name) for name in shortly)}
    found = next_promotion(spec, rows, at_work, CLIMBED[0], able=able, least=least)
    return (found[0], SHORT) if found else None


def _accuracy_is_all(spec: Spec, rows: Sequence[Evaluation]) -> bool:
    return set(usable_objectives(spec, rows)) <= {"accuracy"}


def _deserving(spec: Spec, standing: Standing, target: str) -> int:
    """How many of those trained briefly are worth more; while nothing meets the limits any may be the one."""
    count = standing.count(target)
    answered = any(feasible(margins(spec, row.metrics)) for row in standing.done(target))
    return max(AT_LEAST, int(CHEAP.most * count)) if answered else count
