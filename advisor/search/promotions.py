"""What a free worker should lift next, within the time that is left: the ladder's rules on one target's rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Promotions:
    """Those of one target at one moment.

    `running` are (candidate id, rung name) that workers are at on it, `busy` the networks in training anywhere,
    `left_s` the seconds in which a training has to end.
    """

    spec: Spec
    standing: Standing
    target: str
    running: Collection[tuple[str, str]]
    busy: Collection[str]
    left_s: float

    def due(self, *, explored: bool) -> Promotion | None:
        """The highest that can end in time; None: there is none. Once no new candidate will be begun (`explored`), more
        than the ladder's share climb."""
        least = self._deserving() if explored else 0

        def able(row: Evaluation, rung: Rung) -> bool:
            if trained_network(row.candidate) in self.busy:
                return False
            return rung is not TRAINED or self.standing.training_s(row, "full") < self.left_s

        # whoever was trained briefly climbs from there, shortly trained since or not
        tried = {row.id for row in on_rung(self._rows, CHEAP)}
        others = [row for row in self._rows if row.id not in tried]
        for ladder, some in zip(CLIMBED, (self._rows, others), strict=True):
            found = next_promotion(self.spec, some, self.running, ladder, able=able, least=least)
            if found:
                return found
        return None

    @property
    def opening(self) -> bool:
        """Whether a first front is still to be made: fewer than `FIRST` of those trained briefly are or were at a
        longer training, and more than accuracy counts."""
        begun = {row.id for row in self._rows if row.fidelity in (SHORT.fidelity, TRAINED.fidelity)}
        begun |= {name for name, at in self.running if at in (SHORT.name, TRAINED.name)}
        many = ladder_for(self.spec.search.trials) is LADDER
        return many and len(begun) < FIRST and not self._accuracy_is_all(on_rung(self._rows, CHEAP))

    def first(self) -> Promotion | None:
        """A short training of the best of the better half of those trained briefly, for a first front, or None."""
        return self._shortly(len(on_rung(self._rows, CHEAP)) // 2)

    def brief(self) -> Promotion | None:
        """A short training of what deserves a full one that the seconds left are too short for, or None; for when no
        new candidate will be begun and nothing else is due on any target."""
        trained = any(row.status == "done" and row.fidelity == "full" for row in self._rows)
        if trained and self._accuracy_is_all(self.standing.done(self.target)):
            # a short training adds no other end of the front, and may lead by luck alone
            return None
        return self._shortly(self._deserving())

    @property
    def _rows(self) -> list[Evaluation]:
        return self.standing.history[self.target]

    def _shortly(self, least: int) -> Promotion | None:
        """The best of those trained briefly that was not trained any longer and can be, shortly, in the seconds left;
        of the best `least`, or the ladder's share."""

        def able(row: Evaluation, rung: Rung) -> bool:
            free = rung is TRAINED and trained_network(row.candidate) not in self.busy
            return free and self.standing.training_s(row, "short") < self.left_s

        # what was or is trained shortly has its place among those that climb
        shortly = {row.id for row in self._rows if row.fidelity == SHORT.fidelity}
        shortly |= {name for name, at in self.running if at == SHORT.name}
        at_work = {*self.running, *((name, TRAINED.name) for name in shortly)}
        found = next_promotion(self.spec, self._rows, at_work, CLIMBED[0], able=able, least=least)
        return (found[0], SHORT) if found else None

    def _accuracy_is_all(self, rows: Sequence[Evaluation]) -> bool:
        return set(usable_objectives(self.spec, rows)) <= {"accuracy"}

    def _deserving(self) -> int:
        """How many of those trained briefly are worth more; while nothing meets the limits any may be the one."""
        count = self.standing.count(self.target)
        answered = any(feasible(margins(self.spec, row.metrics)) for row in self.standing.done(self.target))
        return max(AT_LEAST, int(CHEAP.most * count)) if answered else count
