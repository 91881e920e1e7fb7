"""Candidates as tables: who they are, what models read of them, what is known of them beforehand."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from advisor.search.points import Params, encode
from advisor.search.told import Margins, Oracle

Array = NDArray[np.float64]
Index = NDArray[np.intp]

PARAMETERS = "parameters"
"""The group that holds the parameters' own encoding."""


@dataclass(frozen=True)
class Table:
    """Parameter sets with their canonical ids and feature groups, NaN in rows without the group's features."""

    rows: Sequence[Params]
    ids: Sequence[Hashable]
    groups: Mapping[str, Array]
    alike: Index | None = None
    """(n,) numbers equal for rows of equal features, where worth the while: predictions are then made once each."""
    kinds: Index | None = None
    """(n,) numbers equal for equal ids, where worth the while."""

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: Index) -> Table:
        rows, ids = [self.rows[i] for i in index], [self.ids[i] for i in index]
        return Table(rows, ids, {name: block[index] for name, block in self.groups.items()})

    def indexed(self) -> Table:
        """The table with equal rows numbered."""
        alike = None
        if self.groups and not any(np.isnan(block).any() for block in self.groups.values()):
            _, alike = np.unique(np.hstack(list(self.groups.values())), axis=0, return_inverse=True)
        numbers: dict[Hashable, int] = {}
        kinds = np.array([numbers.setdefault(one, len(numbers)) for one in self.ids], np.intp)
        return Table(self.rows, self.ids, self.groups, alike, kinds)


@dataclass(frozen=True)
class Judged:
    """A table of candidates and what is known of them beforehand; known objectives minimised, in ascending order."""

    table: Table
    cost: Array
    cost_sd: Array
    margins: Margins
    probability: Array
    """(n,) of meeting all limits that are predicted."""


@dataclass
class Describer:
    """Asks the user's callables. `encoded` from the first candidate on that has no features: such are told apart by
    their parameters, in the scales of `space`."""

    oracle: Oracle
    space: dict[str, BaseDistribution] = field(default_factory=dict)
    encoded: bool = False

    def __post_init__(self) -> None:
        self.encoded = self.oracle.features is None

    def table(self, rows: Sequence[Params]) -> Table:
        groups = self.oracle.groups(rows)
        if len(rows) and (not groups or any(np.isnan(block).any() for block in groups.values())):
            self.encoded = True
        if self.encoded:
            groups[PARAMETERS] = encode(rows, self.space)
        return Table(rows, self.oracle.ids(rows), groups)

    def judged(self, table: Table, signs: Array) -> Judged:
        mean, sd = self.oracle.costs(table.rows)
        margins = self.oracle.margins(table.rows)
        return Judged(table, mean * signs[sorted(self.oracle.known)], sd, margins, margins.probability())


def joined(parts: Sequence[Judged]) -> Judged:
    """All candidates in one table."""
    if len(parts) == 1:
        return parts[0]
    names = tuple(dict.fromkeys(name for part in parts for name in part.margins.names))
    mean = np.concatenate([_aligned(part.margins.names, part.margins.mean, names, -np.inf) for part in parts])
    sd = np.concatenate([_aligned(part.margins.names, part.margins.sd, names, 0.0) for part in parts])
    return Judged(
        Table(
            [row for part in parts for row in part.table.rows],
            [one for part in parts for one in part.table.ids],
            stacked([part.table for part in parts]),
        ),
        np.concatenate([part.cost for part in parts]),
        np.concatenate([part.cost_sd for part in parts]),
        Margins(names, mean, sd),
        np.concatenate([part.probability for part in parts]),
    )


def stacked(tables: Sequence[Table]) -> dict[str, Array]:
    """The tables' groups one below the other; rows of a table without a group hold NaN."""
    widths = {name: block.shape[1] for table in tables for name, block in table.groups.items()}
    return {
        name: np.concatenate([table.groups.get(name, np.full((len(table), width), np.nan)) for table in tables])
        for name, width in widths.items()
    }


def _aligned(names: Sequence[str], block: Array, wanted: Sequence[str], absent: float) -> Array:
    if tuple(names) == tuple(wanted):
        return block
    found = np.full((len(block), len(wanted)), absent)
    for k, name in enumerate(names):
        found[:, wanted.index(name)] = block[:, k]
    return found


@dataclass(frozen=True)
class Layout:
    """How rows become blocks of numbers, alike in all tables of a proposal: groups by width; with gaps, a column
    says whether a row has the group."""

    widths: Mapping[str, int]
    gaps: bool

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Layout:
        tables = [table for table in tables if len(table)]
        widths = {name: block.shape[1] for table in tables for name, block in table.groups.items()}
        absent = (name not in t.groups or np.isnan(t.groups[name]).any() for t in tables for name in widths)
        return cls(widths, any(absent))

    def inputs(self, table: Table) -> list[Array]:
        """One (n, columns) block a group."""
        blocks = []
        for name, width in self.widths.items():
            block = table.groups.get(name, np.full((len(table), width), np.nan))
            if self.gaps:
                block = np.column_stack([np.nan_to_num(block), np.isnan(block).any(1)])
            blocks.append(block)
        # a kernel needs a column: without any parameter all rows are the same
        return [block for block in blocks if block.shape[1]] or [np.zeros((len(table), 1))]
