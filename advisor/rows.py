"""Reading a ledger's rows in plain SQL, from whatever connection: a read-only SQLite file needs nothing but Python.

A front of a large run is answered in the time it takes to start; the engine that writes is loaded by who writes.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from advisor.columns import PACKED, pack
from advisor.evaluation import Evaluation
from cost_models.estimate import Estimate

SCHEMA = 2
OLDER = ("1",)
"""Schemas that are upgraded in place when a run is continued, and read as they are otherwise."""
MARKS = {"schema": str(SCHEMA), "figures": ",".join(PACKED)}
"""Facts that say how rows are stored."""
CALIBRATED = (
    "latency_ms",
    "latency_p50_ms",
    "predicted_latency_ms",
    "frontend_ms",
    "energy_mj",
    "power_mw",
    "battery_d",
)
"""Metrics that follow from a target's cost model of time: what calibrations change."""
CHUNK = 500
"""Rows read or written by one statement."""

Item = TypeVar("Item")


class Source(Protocol):
    """A connection that is read from. Binds are named: `where target = :target`."""

    def rows(self, sql: str, **binds: object) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class FileSource:
    """A SQLite connection."""

    connection: sqlite3.Connection

    def rows(self, sql: str, **binds: object) -> list[tuple[Any, ...]]:
        with no_collection():
            return self.connection.execute(sql, binds).fetchall()


@contextmanager
def no_collection() -> Iterator[None]:
    """For a short work among a hundred thousand rows: to look for garbage among them would cost as much as the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def reading(path: Path) -> Iterator[Source]:
    """A ledger's file opened so that nothing can be written."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        yield FileSource(connection)


def read_only_uri(path: Path) -> str:
    """SQLite's URI of a ledger's file, whatever its path holds (`?`, `#` and `%` mean something in a URI)."""
    place = f"file:{quote(str(path.absolute()))}?mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        # nobody writes here, and SQLite could not make the files it reads beside a writer
        return f"{place}&immutable=1"
    return place


@dataclass(frozen=True, slots=True)
class Calibration:
    """One correction of a target's cost model while a run went on.

    `measurements`: how many the correction rests on; `measured`: ids of the candidates measured for it. Errors are
    medians of |predicted / measured - 1| over `compared` of the run's measured candidates, before and after the
    correction; None where there was nothing to compare. Recorded ones have an `id` (1, 2, …) and a `time`; `mark` is
    the last row of `evaluations` then.
    """

    target: str
    measurements: int
    error_before: float | None
    error_after: float | None
    compared: int = 0
    measured: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    mark: int = 0
    id: int = 0
    time: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """What users see."""
        data = self.data()
        del data["mark"]
        return {"id": self.id, "time": self.time, "target": self.target, **data}

    def data(self) -> dict[str, Any]:
        """What has no column of its own."""
        return {"measurements": self.measurements, "error_before": self.error_before, "error_after": self.error_after,
                "compared": self.compared, "measured": list(self.measured), "versions": dict(self.versions),
                "mark": self.mark}  # fmt: skip

    @classmethod
    def from_data(cls, id: int, time: float, target: str, data: Mapping[str, Any]) -> Calibration:
        return cls(target, **{**data, "measured": tuple(data["measured"])}, id=id, time=time)


class Kind(NamedTuple):
    """What many evaluations share; stored as JSON, so that each distinct one is read once. `reason`: of a failure."""

    target: str
    fidelity: str
    status: str
    tested: bool
    reason: str


Read = Callable[[str], Evaluation]
"""A document of `evaluations` as the evaluation it is."""


def figures_of(row: int, evaluation: Evaluation) -> dict[str, Any]:
    """The row of `figures` beside an evaluation's."""
    reason = evaluation.reason if evaluation.status == "failed" else ""
    kind = Kind(
        evaluation.target, evaluation.fidelity, evaluation.status, "test_accuracy" in evaluation.details, reason
    )
    return {"row": row, "candidate": evaluation.id, "kind": json.dumps(kind), "packed": pack(evaluation.metrics)}


def metrics_of(text: str) -> dict[str, Estimate]:
    """The document of a re-scoring."""
    return {name: Estimate.from_dict(value) for name, value in json.loads(text).items()}


def texts(source: Source, table: str, rows: Sequence[int]) -> dict[int, str]:
    """The documents of some rows of `evaluations` or `rescored`."""
    found: dict[int, str] = {}
    for chunk in chunks(rows):
        listed = ", ".join(str(int(row)) for row in chunk)
        found |= dict(source.rows(f"select row, data from {table} where row in ({listed})"))  # noqa: S608 - whole numbers
    return found


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
