"""Which rows of a ledger count, and their figures: read once, as a ledger only grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from advisor.columns import MISSING, PACKED, Columns, Figures, pack, parts_of, unpacked
from advisor.evaluation import FIDELITIES, Evaluation, Status
from advisor.rows import CALIBRATED, Kind, Read, Source, figures_of, metrics_of, texts
from cost_models.estimate import Estimate

_STATUSES: tuple[str, ...] = get_args(Status)
_RANK: dict[tuple[str, str], int] = {
    (status, fidelity): (status == "done") * len(FIDELITIES) + place
    for status in _STATUSES
    for place, fidelity in enumerate(FIDELITIES)
}


MOVING = tuple(name for name in PACKED if name in CALIBRATED)
"""Metrics that the packed rows of calibrations hold."""
Places = NDArray[np.intp]
AT_ONCE = 5000
"""Packed rows read before they are put together."""


@dataclass(frozen=True, eq=False)
class View:
    """The evaluations that count, one entry each, in order of their candidates' first appearance.

    `row`: of the document; `costs`: of the document whose figures of CALIBRATED count, mostly the same; `rescored`: the
    row of `rescored` that replaces some of these, 0 where there is none; each (n,). `columns`: all of that as arrays,
    which read whole evaluations by what `view_of` was given.
    """

    row: Places
    costs: Places
    rescored: Places
    columns: Columns


def merged(evaluation: Evaluation, earlier: Evaluation | None, change: Mapping[str, Estimate]) -> Evaluation:
    """An evaluation with another row's figures of CALIBRATED, and what a calibration changed."""
    if earlier is None:
        return replace(evaluation, metrics={**evaluation.metrics, **change}) if change else evaluation
    kept = {name: value for name, value in evaluation.metrics.items() if name not in CALIBRATED}
    costs = {name: value for name, value in earlier.metrics.items() if name in CALIBRATED}
    return replace(evaluation, metrics={**kept, **costs, **change})


class Stock:
    """Rows of `figures` read so far, as columns. A ledger only grows: what was read once is not read again.

    `stored`: figures are in the ledger as this version packs them; otherwise every document is read. `keys`: a number
    for each candidate on each target; `key`: that of each row.
    """

    def __init__(self) -> None:
        self.stored = True
        self.kinds: list[Kind] = []
        self.keys: dict[tuple[str, str], int] = {}
        self.row, self.key, self.kind = (np.empty(0, dtype=np.intp) for _ in range(3))
        self.candidate = np.empty(0, dtype=object)
        self.figures = unpacked([])
        self._texts: dict[str, int] = {}

    def grow(self, source: Source, read: Read) -> None:
        """Read what was added.

        Raises:
            ValueError, TypeError, KeyError: a damaged row.
        """
        last = int(self.row[-1]) if len(self.row) else 0
        numbers: list[int] = []
        candidates: list[str] = []
        kinds: list[str] = []
        packed = [self.figures] if len(self.figures) else []
        for rows in self._rows(source, read, last):
            more = list(zip(*rows, strict=True))
            numbers += more[0]
            candidates += more[1]
            kinds += more[2]
            packed.append(unpacked(more[3]))
        if not numbers:
            return
        for text in dict.fromkeys(kinds):
            if text not in self._texts:
                read_kind = Kind(*json.loads(text))
                _RANK[read_kind.status, read_kind.fidelity]  # a damaged one is told here
                self._texts[text] = len(self.kinds)
                self.kinds.append(read_kind)
        kind = np.fromiter(map(self._texts.__getitem__, kinds), np.intp, len(kinds))
        targets = np.array([known.target for known in self.kinds], dtype=object)[kind].tolist()
        keys = self.keys
        added = [keys.setdefault(key, len(keys)) for key in zip(candidates, targets, strict=True)]
        self.figures = np.concatenate(packed)
        self.candidate = np.concatenate((self.candidate, np.array(candidates, dtype=object)))
        self.row = np.append(self.row, np.array(numbers, dtype=np.intp))
        self.key, self.kind = np.append(self.key, added).astype(np.intp), np.append(self.kind, kind)

    def _rows(self, source: Source, read: Read, last: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Row, candidate, kind and packed figures of the rows after `last`, some thousand at once: what was read is
        packed away before more is."""
        table, columns = ("figures", "row, candidate, kind, packed") if self.stored else ("evaluations", "row, data")
        query = f"select {columns} from {table} where row > :last order by row limit {AT_ONCE}"  # noqa: S608 - constants
        while rows := source.rows(query, last=last):
            last = rows[-1][0]
            yield rows if self.stored else [tuple(figures_of(row, read(text)).values()) for row, text in rows]

    def of_kind(self, each: Callable[[Kind], object], places: Places, dtype: type = object) -> NDArray[Any]:
        """What all of a kind share, for some places."""
        return np.array([each(kind) for kind in self.kinds], dtype=dtype)[self.kind[places]]

    def counting(self) -> Places:
        """The place that counts of each key: of the highest rank the newest."""
        rank = np.array([_RANK[kind.status, kind.fidelity] for kind in self.kinds], dtype=np.intp)[self.kind]
        order = np.argsort(rank, kind="stable")
        found = np.zeros(len(self.keys), dtype=np.intp)
        found[self.key[order]] = order  # of several assignments to one place the last stays
        return found

    def as_of(self, mark: int, places: Places) -> Places:
        """For each place that of the row whose costs counted when `mark` was the last row, or the first since.

        Rows of the same status alone: figures before training and after export are of different files.
        """
        status = np.array([_STATUSES.index(kind.status) for kind in self.kinds], dtype=np.intp)[self.kind]
        alike = np.flatnonzero(status == status[places][self.key])
        found = places.copy()
        found[self.key[alike[::-1]]] = alike[::-1]
        early = alike[self.row[alike] <= mark]
        found[self.key[early]] = early
        return found


def view_of(source: Source, stock: Stock, load: Callable[[View, Sequence[int]], list[Evaluation]],
            mark: tuple[int, int] | None = None, *, calibrated: bool = True) -> View:  # fmt: skip
    """The row that counts of every candidate on every target: the highest fidelity that worked, newest of those.

    `load` reads whole evaluations by place. `mark`: id of a calibration and the last row of `evaluations` then; figures
    of CALIBRATED are those of that moment, or the first known since. `calibrated`: there are rows of `rescored`.
    """
    places = stock.counting()
    costs = places if mark is None else stock.as_of(mark[1], places)
    rescored = np.zeros(len(places), dtype=np.intp)
    at, change = rescored[:0], unpacked([], MOVING)
    found = _latest(source, stock, mark[0] if mark else None) if calibrated and len(places) else []
    if found:
        evaluations, rows, blobs = zip(*found, strict=True)
        place = np.full(int(stock.row[-1]) + 1, -1)
        place[stock.row[costs]] = np.arange(len(costs))
        every = place[np.array(evaluations, dtype=np.intp)]
        mine = np.flatnonzero(every >= 0)
        at = every[mine]
        rescored[at] = np.array(rows, dtype=np.intp)[mine]
        change = unpacked(blobs, MOVING)[mine]
    packed = stock.figures  # as it is now: the stock grows

    def figures(name: str) -> Figures:
        """A metric of all: that of the row whose costs count, as the newest calibration changed it."""
        parts, sources = parts_of(packed, name)
        counting = costs if name in MOVING else places
        parts, sources = parts[counting], sources[counting]
        if name in MOVING and len(at):
            changed, codes = parts_of(change, name, MOVING)
            named = codes != MISSING
            parts[at[named]], sources[at[named]] = changed[named], codes[named]
        return Figures.of(parts, sources)

    known: dict[int, Evaluation] = {}

    def loaded(chosen: Sequence[int]) -> list[Evaluation]:
        """Each is read once, however many fronts are made of the same columns."""
        new = [place for place in chosen if place not in known]
        known.update(zip(new, load(view, new), strict=True))
        return [known[place] for place in chosen]

    failed = np.flatnonzero(stock.of_kind(lambda kind: kind.status == "failed", places, bool)).tolist()
    columns = Columns(
        stock.candidate[places].tolist(),
        stock.of_kind(lambda kind: kind.target, places).tolist(),
        stock.of_kind(lambda kind: kind.status, places).tolist(),
        stock.of_kind(lambda kind: kind.tested, places, bool),
        {i: stock.kinds[stock.kind[places[i]]].reason for i in failed},
        figures,
        loaded,
    )
    view = View(stock.row[places], stock.row[costs], rescored, columns)
    return view


def _latest(source: Source, stock: Stock, at: int | None) -> list[tuple[int, int, bytes]]:
    """(row of an evaluation, row of its newest re-scoring by calibrations up to `at`, its figures)."""
    if at == 0:
        return []
    until = "" if at is None else "where calibration <= :at "
    last = f"select max(row) from rescored {until}group by evaluation"  # noqa: S608 - constants
    binds = {} if at is None else {"at": at}
    rows = source.rows(f"select evaluation, row, packed from rescored where row in ({last})", **binds)  # noqa: S608
    if stock.stored:
        return rows
    documents = texts(source, "rescored", [row for _, row, _ in rows])
    return [(number, row, pack(metrics_of(documents[row]), MOVING)) for number, row, _ in rows]
