"""Where candidates come from: a list, the user's generator, or the space that trials have shown.

From a space, small ones are taken whole. Of larger ones there are blocks of random candidates that serve many proposals
and are replaced one by one, so that most of what is known of candidates is asked once, and for every proposal some
varied from the best trials. Everything follows from seed, trials and trial number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.search.branches import Branch, space_of, vary
from advisor.search.history import Past
from advisor.search.points import Params, key
from advisor.search.tables import Describer, Judged, joined

Index = NDArray[np.intp]
Candidates = Sequence[Params] | Callable[[np.random.Generator, Sequence[Params]], Iterable[Params]]

ENUMERATED = 2000
"""Spaces up to this size are taken whole."""
BLOCK, ROTATION = 64, 16
"""Random candidates in a block; a new block replaces the oldest every ROTATION trials."""
VARIED = 48
"""Candidates varied from the best trials for every proposal."""
_SEARCHED = 200_000
"""Parameter sets looked through for an unseen one when chance finds none."""


class Supply:
    """Candidates of one study."""

    def __init__(self, describer: Describer, given: Candidates | None, n: int, seed: int) -> None:
        self._describer, self._given, self._seed = describer, given, seed
        self._blocks = max(1, -(-n // BLOCK))
        self._branches: Sequence[Branch] = []
        self._size = 0.0
        self._held: dict[int, Judged] = {}
        self._pool: Judged | None = None
        self.names: set[frozenset[str]] = set()
        """The parameters' names of candidates that were given, as far as those are seen."""
        if given is not None and not callable(given):
            self.names |= {frozenset(row) for row in given}

    def attend(self, known: Sequence[Branch]) -> bool:
        """Take note of the space; True where what is kept of rows no longer fits."""
        if known is not self._branches:
            self._branches = known
            self._size = sum(branch.size() for branch in known)
        listed: Sequence[Params] = [] if self._given is None or callable(self._given) else self._given
        space = self._describer.space if listed and self._describer.space else space_of(known, listed)
        if space == self._describer.space:
            return False
        self._describer.space = space
        self.forget()
        return True

    def forget(self) -> None:
        """Describe candidates anew."""
        self._held.clear()
        self._pool = None

    def recalibrated(self, signs: NDArray[np.float64]) -> None:
        """Ask for costs and limits anew."""
        self._held.clear()
        if self._pool is not None:
            self._pool = self._describer.judged(self._pool.table, signs)

    def candidates(self, past: Past, number: int, fixed: Params, rng: np.random.Generator) -> tuple[Judged, Index]:
        """Candidates for trial `number`, and which of them may be proposed: unseen ones while there are any."""
        judged = self._drawn(past, number, fixed, rng)
        every = np.arange(len(judged.table))
        if fixed:
            every = np.array([i for i, row in enumerate(judged.table.rows) if _matches(row, fixed)], np.intp)
        fresh = _unseen(judged, every, past)
        if len(fresh) or not len(judged.table):
            return judged, fresh
        last = self.described(past, itertools.islice(self._all(fixed, past), VARIED), fixed)
        return (last, np.arange(len(last.table))) if len(last.table) else (judged, every)

    def near(
        self, past: Past, best: Sequence[Params], n: int, fixed: Params, rng: np.random.Generator
    ) -> tuple[Judged, Index]:
        """Up to n unseen candidates around the best ones; none where all there are were candidates already."""
        rows: Iterable[Params] = () if self._given is not None or self._small() else vary(self._branches, best, n, rng)
        judged = self.described(past, rows, fixed)
        return judged, _unseen(judged, np.arange(len(judged.table)), past)

    def described(self, past: Past, rows: Iterable[Params], fixed: Params) -> Judged:
        """Candidates, each once, with the values that the trial must have."""
        unique = {key(row): row for row in ({**row, **{n: v for n, v in fixed.items() if n in row}} for row in rows)}
        return self._judged(list(unique.values()), past.signs)

    def _drawn(self, past: Past, number: int, fixed: Params, rng: np.random.Generator) -> Judged:
        if callable(self._given):
            made = list(self._given(rng, past.parents()))
            self.names |= {frozenset(row) for row in made}
            return self.described(past, made, fixed)
        if self._given is not None or self._small():
            if self._pool is None:
                rows = self._given or [row for branch in self._branches for row in branch.all()]
                judged = self._judged(rows, past.signs)
                self._pool = replace(judged, table=judged.table.indexed())
            return self._pool
        latest = number // ROTATION
        parts = []
        for block in range(latest, latest - self._blocks, -1):
            if block not in self._held:
                # blocks before the first are those after the last of a cycle nobody will see the end of
                own = np.random.default_rng([self._seed, 1, block % 2**31])
                rows = [self._branch(own).draw(own) for _ in range(BLOCK)]
                self._held[block] = self.described(past, rows, {})
            parts.append(self._held[block])
        self._held = {block: judged for block, judged in self._held.items() if latest - self._blocks < block <= latest}
        if fixed:
            parts = [self.described(past, (row for part in parts for row in part.table.rows), fixed)]
        if parents := past.parents():
            parts.append(self.described(past, vary(self._branches, parents, VARIED, rng), fixed))
        return joined(parts)

    def _judged(self, rows: Sequence[Params], signs: NDArray[np.float64]) -> Judged:
        """What is known of the rows. Of those drawn, ones that lack a parameter a callable reads are left out: their
        values do not lead into the branch they were drawn from."""
        try:
            return self._describer.judged(self._describer.table(rows), signs)
        except KeyError:
            if self._given is not None:
                raise
            rows = [row for row in rows if self._answered(row, signs)]
            return self._describer.judged(self._describer.table(rows), signs)

    def _answered(self, row: Params, signs: NDArray[np.float64]) -> bool:
        try:
            self._describer.judged(self._describer.table([row]), signs)
        except KeyError:
            return False
        return True

    def _branch(self, rng: np.random.Generator) -> Branch:
        return self._branches[int(rng.integers(len(self._branches)))]

    def _small(self) -> bool:
        return self._size <= ENUMERATED

    def _all(self, fixed: Params, past: Past) -> Iterable[dict[str, Any]]:
        """What is unseen of the space's grid, from the start; nothing of a list or the user's generator."""
        if self._given is not None or not all(np.isfinite(branch.size()) for branch in self._branches):
            return
        for row in itertools.islice((row for branch in self._branches for row in branch.all()), _SEARCHED):
            if _matches(row, fixed) and self._describer.oracle.ids([row])[0] not in past.ids:
                yield row


def _unseen(judged: Judged, index: Index, past: Past) -> Index:
    return np.array([i for i in index if judged.table.ids[i] not in past.ids], np.intp)


def _matches(row: Params, fixed: Mapping[str, Any]) -> bool:
    return all(row[name] == value for name, value in fixed.items() if name in row)
