"""A ledger's tables, and writing them: SQLite (or PostgreSQL by URL) through SQLAlchemy.

Truth, appended only: `evaluations`, `measurements`, `trials`, `calibrations`, `rescored`. Derived: `figures`, one
narrow row beside each evaluation, from which fronts of large runs are judged without reading any document.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    text,
    update,
)
from sqlalchemy.engine import URL, Engine

from advisor.columns import pack
from advisor.evaluation import Evaluation
from advisor.rows import MARKS, Calibration, Read, chunks, figures_of, metrics_of, texts
from advisor.stock import MOVING, Stock
from cost_models.estimate import Estimate

METADATA = MetaData()
RUN = Table("run", METADATA, Column("key", String, primary_key=True), Column("value", Text, nullable=False))
EVALUATIONS = Table(
    "evaluations",
    METADATA,
    Column("row", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("candidate", String, nullable=False, index=True),
    Column("target", String, nullable=False),
    Column("fidelity", String, nullable=False),
    Column("status", String, nullable=False),
    Column("data", Text, nullable=False),
)
FIGURES = Table(
    "figures",
    METADATA,
    Column("row", Integer, primary_key=True, autoincrement=False),  # of `evaluations`
    Column("candidate", String, nullable=False),
    Column("kind", Text, nullable=False),  # `advisor.rows.Kind`
    Column("packed", LargeBinary, nullable=False),  # `advisor.columns.pack`; the fact `figures` names its metrics
)
MEASUREMENTS = Table(
    "measurements",
    METADATA,
    Column("row", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("candidate", String, nullable=False, index=True),
    Column("target", String, nullable=False),
    Column("data", Text, nullable=False),
)
TRIALS = Table(
    "trials",
    METADATA,
    Column("row", Integer, primary_key=True),
    Column("target", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("params", Text, nullable=False),
    Column("data", Text, nullable=False),
)
CALIBRATIONS = Table(
    "calibrations",
    METADATA,
    Column("row", Integer, primary_key=True),  # 1, 2, …: the calibration's id
    Column("time", Float, nullable=False),
    Column("target", String, nullable=False),
    Column("data", Text, nullable=False),
)
RESCORED = Table(
    "rescored",
    METADATA,
    Column("row", Integer, primary_key=True),
    Column("calibration", Integer, nullable=False),
    Column("evaluation", Integer, nullable=False),  # row of `evaluations`
    Column("packed", LargeBinary, nullable=False),
    Column("data", Text, nullable=False),
)
Index("ix_rescored_latest", RESCORED.c.evaluation, RESCORED.c.calibration, RESCORED.c.row)


@dataclass(frozen=True)
class EngineSource:
    """A SQLAlchemy connection to read from."""

    connection: Connection

    def rows(self, sql: str, **binds: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(text(sql), binds)]


def engine_of(place: str | Path) -> Engine:
    """The engine of a ledger's file or URL."""
    engine = create_engine(URL.create("sqlite", database=str(place.absolute())) if isinstance(place, Path) else place)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _: Any) -> None:
            # write-ahead logging lets readers look while the search writes, and survives kill -9
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=10000")

    return engine


def append(connection: Connection, evaluations: Sequence[Evaluation], dump: Callable[[Any], str]) -> None:
    """Write evaluations and their figures."""
    now = time.time()
    for chunk in chunks(evaluations):
        rows = [
            {"time": now, "candidate": e.id, "target": e.target, "fidelity": e.fidelity, "status": e.status,
             "data": dump(e.to_dict())} for e in chunk
        ]  # fmt: skip
        statement = insert(EVALUATIONS).returning(EVALUATIONS.c.row, sort_by_parameter_order=True)
        ids = connection.execute(statement, rows).scalars().all()
        connection.execute(insert(FIGURES), [figures_of(row, e) for row, e in zip(ids, chunk, strict=True)])


def upgrade(connection: Connection, read: Read) -> None:
    """Derive every packed figure anew from the documents, as this version packs them."""
    source = EngineSource(connection)
    connection.execute(FIGURES.delete())
    for chunk in chunks([row for (row,) in source.rows("select row from evaluations order by row")]):
        found = texts(source, "evaluations", chunk)
        connection.execute(insert(FIGURES), [figures_of(row, read(found[row])) for row in chunk])
    for chunk in chunks([row for (row,) in source.rows("select row from rescored order by row")]):
        for row, document in texts(source, "rescored", chunk).items():
            again = pack(metrics_of(document), MOVING)
            connection.execute(update(RESCORED).where(RESCORED.c.row == row).values(packed=again))
    for key, value in MARKS.items():
        put(connection, key, value)


def add_calibration(connection: Connection, made: Calibration, rescored: Mapping[str, Mapping[str, Estimate]],
                    stock: Stock, dump: Callable[[Any], str]) -> Calibration:  # fmt: skip
    """Write a calibration and what it gives candidates anew, beside the rows that count in `stock`.

    Raises:
        ValueError: a candidate that is not in it.
    """
    unknown = [name for name in rescored if (name, made.target) not in stock.keys]
    if unknown:
        raise ValueError(f"re-scored before it was evaluated: {', '.join(unknown[:3])} on {made.target}")
    mark = EngineSource(connection).rows("select max(row) from evaluations")[0][0] or 0
    made = replace(made, time=time.time(), mark=mark)
    row = {"time": made.time, "target": made.target, "data": dump(made.data())}
    made = replace(made, id=connection.execute(insert(CALIBRATIONS).returning(CALIBRATIONS.c.row), row).scalar_one())
    counting = stock.counting()
    places = {name: int(counting[stock.keys[name, made.target]]) for name in rescored}
    for chunk in chunks(list(rescored)):
        entries = [
            {"calibration": made.id, "evaluation": int(stock.row[places[name]]),
             "packed": pack(rescored[name], MOVING),
             "data": dump({key: value.to_dict() for key, value in rescored[name].items()})} for name in chunk
        ]  # fmt: skip
        connection.execute(insert(RESCORED), entries)
    return made


def put(connection: Connection, key: str, value: str) -> None:
    """Set a fact of the run."""
    connection.execute(RUN.delete().where(RUN.c.key == key))
    connection.execute(insert(RUN), {"key": key, "value": value})
