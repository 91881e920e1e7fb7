"""Every trained evaluation with its margins, read where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import overload

from advisor.columns import Columns, Judged
from advisor.evaluation import Evaluation
from advisor.picks import Ranked
from advisor.score import margins
from specs.spec import Spec

_CHUNK = 1000


class Rows(Sequence[Ranked]):
    """Every trained evaluation, judged; read where it is looked at, once."""

    def __init__(self, spec: Spec, columns: Columns, judged: Judged, members: set[int], notes: dict[int, str]) -> None:
        self.columns = columns
        self._spec, self._judged = spec, judged
        self._members, self._notes = members, notes
        self._places = columns.done.tolist()
        self._known: dict[int, Ranked] = {}

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Ranked: ...
    @overload
    def __getitem__(self, index: slice) -> list[Ranked]: ...
    def __getitem__(self, index: int | slice) -> Ranked | list[Ranked]:
        if isinstance(index, slice):
            return self.at(self._places[index])
        return self.at([self._places[index]])[0]

    def __iter__(self) -> Iterator[Ranked]:
        for start in range(0, len(self), _CHUNK):
            yield from self.at(self._places[start : start + _CHUNK])

    def at(self, places: Sequence[int]) -> list[Ranked]:
        """Those at some places of the columns."""
        new = [place for place in places if place not in self._known]
        for place, evaluation in zip(new, self.columns.load(new), strict=True):
            self._known[place] = self._ranked(place, evaluation)
        return [self._known[place] for place in places]

    def find(self, candidate: str, target: str | None = None) -> Ranked | None:
        """By the candidate's id; on the first target that has it where none is named."""
        columns = self.columns
        for name in dict.fromkeys(columns.targets) if target is None else (target,):
            place = columns.place.get((candidate, name))
            if place is not None and columns.statuses[place] == "done":
                return self.at([place])[0]
        return None

    def _ranked(self, place: int, evaluation: Evaluation) -> Ranked:
        judged = self._judged
        found = [replace(m, value=judged.margin(place, m.limit)) for m in margins(self._spec, evaluation.metrics)]
        feasible = {1: True, 0: False, -1: None}[int(judged.feasible[place])]
        return Ranked(evaluation, tuple(found), feasible, float(judged.violation[place]), place in self._members,
                      self._notes.get(place, ""))  # fmt: skip
