"""The ledger: the only truth of a run. Append-only rows in SQLite (or PostgreSQL by URL) through SQLAlchemy.

One coordinator writes; readers (dashboard, `front`) open it read-only and never block it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, create_engine, event, insert, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from advisor.evaluation import FIDELITIES, Evaluation
from specs.errors import AdvisorError, SpecError

SCHEMA = 1
_tables = MetaData()
_run = Table("run", _tables, Column("key", String, primary_key=True), Column("value", Text, nullable=False))
_evaluations = Table(
    "evaluations",
    _tables,
    Column("row", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("candidate", String, nullable=False, index=True),
    Column("target", String, nullable=False),
    Column("fidelity", String, nullable=False),
    Column("status", String, nullable=False),
    Column("data", Text, nullable=False),
)
_measurements = Table(
    "measurements",
    _tables,
    Column("row", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("candidate", String, nullable=False, index=True),
    Column("target", String, nullable=False),
    Column("data", Text, nullable=False),
)
_trials = Table(
    "trials",
    _tables,
    Column("row", Integer, primary_key=True),
    Column("target", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("params", Text, nullable=False),
    Column("data", Text, nullable=False),
)


class Ledger:
    """Evaluations, measurements and told trials of one run."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine, self._where = engine, where

    @classmethod
    def create(cls, url: str | URL, facts: Mapping[str, str]) -> Ledger:
        """A new ledger with the run's facts (`spec`, `spec_id`, `seed`, `versions`).

        Raises:
            SpecError: the place already holds another run.
        """
        ledger = cls(_engine(url), str(url))
        with ledger._safely():
            _tables.create_all(ledger._engine)
            if ledger.facts():
                raise SpecError("this ledger already holds a run", seen=str(url), next="use `advisor resume`")
            with ledger._engine.begin() as connection:
                rows = [{"key": key, "value": value} for key, value in {"schema": str(SCHEMA), **facts}.items()]
                connection.execute(insert(_run), rows)
        return ledger

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Ledger:
        """The ledger of an existing run.

        Raises:
            SpecError: missing, damaged, or of another schema.
        """
        if not path.is_file():
            raise SpecError("no run here", seen=str(path.parent), next="start one with `advisor search SPEC`")
        ledger = cls(_engine(file_url(path, read_only=read_only), read_only=read_only), str(path))
        with ledger._safely():
            schema = ledger.facts().get("schema")
        if schema != str(SCHEMA):
            raise SpecError("ledger of another version", where=str(path), seen=schema, allowed=str(SCHEMA))
        return ledger

    def facts(self) -> dict[str, str]:
        """What was recorded when the run was made."""
        with self._safely(), self._engine.connect() as connection:
            return {row.key: row.value for row in connection.execute(select(_run))}

    def set_fact(self, key: str, value: str) -> None:
        with self._safely(), self._engine.begin() as connection:
            connection.execute(_run.delete().where(_run.c.key == key))
            connection.execute(insert(_run), {"key": key, "value": value})

    def add(self, evaluation: Evaluation) -> None:
        row = {
            "time": time.time(),
            "candidate": evaluation.id,
            "target": evaluation.target,
            "fidelity": evaluation.fidelity,
            "status": evaluation.status,
            "data": _dump(evaluation.to_dict()),
        }
        with self._safely(), self._engine.begin() as connection:
            connection.execute(insert(_evaluations), row)

    def history(self) -> list[Evaluation]:
        """Every row ever written, oldest first."""
        with self._safely(), self._engine.connect() as connection:
            rows = connection.execute(select(_evaluations.c.data).order_by(_evaluations.c.row)).scalars().all()
        return [self._read(text) for text in rows]

    def evaluations(self) -> list[Evaluation]:
        """The current row of every candidate on every target: the highest fidelity that worked, newest of those."""
        best: dict[tuple[str, str], Evaluation] = {}
        for evaluation in self.history():
            key = (evaluation.id, evaluation.target)
            old = best.get(key)
            if old is None or _rank(evaluation) >= _rank(old):
                best[key] = evaluation
        return list(best.values())

    def add_measurement(self, candidate: str, target: str, data: Mapping[str, Any]) -> None:
        row = {"time": time.time(), "candidate": candidate, "target": target, "data": _dump(data)}
        with self._safely(), self._engine.begin() as connection:
            connection.execute(insert(_measurements), row)

    def measurements(self, candidate: str | None = None) -> list[tuple[str, str, dict[str, Any]]]:
        """(candidate, target, measurement) in the order they were taken."""
        query = select(_measurements).order_by(_measurements.c.row)
        if candidate:
            query = query.where(_measurements.c.candidate == candidate)
        with self._safely(), self._engine.connect() as connection:
            return [(row.candidate, row.target, self._json(row.data)) for row in connection.execute(query)]

    def add_trials(self, rows: list[dict[str, Any]]) -> None:
        """Trials told to the study: `target`, `number`, `params` and `data` (values and constraints)."""
        packed = [{**row, "params": _dump(row["params"]), "data": _dump(row["data"])} for row in rows]
        with self._safely(), self._engine.begin() as connection:
            if packed:
                connection.execute(insert(_trials), packed)

    def trials(self, target: str) -> list[dict[str, Any]]:
        """What `add_trials` recorded for a target, by number."""
        query = select(_trials).where(_trials.c.target == target).order_by(_trials.c.number, _trials.c.row)
        with self._safely(), self._engine.connect() as connection:
            return [
                {"number": row.number, "params": self._json(row.params), "data": self._json(row.data)}
                for row in connection.execute(query)
            ]

    def close(self) -> None:
        self._engine.dispose()

    def _read(self, text: str) -> Evaluation:
        try:
            return Evaluation.from_dict(json.loads(text))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SpecError("damaged row in the ledger", where=self._where, seen=text[:60]) from error

    def _json(self, text: str) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads(text)
            return data
        except ValueError as error:
            raise SpecError("damaged row in the ledger", where=self._where, seen=text[:60]) from error

    @contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError("the ledger cannot be read", where=self._where, seen=str(cause),
                              next="restore it from a copy, or start a new run") from error  # fmt: skip


class LedgerError(AdvisorError):
    """The ledger's file is damaged, locked or gone."""

    exit_status = 2


def file_url(path: Path, *, read_only: bool = False) -> URL:
    """The URL of a ledger's file, whatever its path holds (`?`, `#` and `%` mean something in a URL)."""
    place = str(path.absolute())
    if not read_only:
        return URL.create("sqlite", database=place)
    query = {"mode": "ro", "uri": "true"}
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        query["immutable"] = "1"  # nobody writes here, and SQLite could not make the files it reads beside a writer
    return URL.create("sqlite", database=f"file:{quote(place)}", query=query)


def _engine(url: str | URL, *, read_only: bool = False) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite" and not read_only:

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _: Any) -> None:
            # write-ahead logging lets readers look while the search writes, and survives kill -9
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=10000")

    return engine


def _rank(evaluation: Evaluation) -> tuple[bool, int]:
    return (evaluation.status == "done", FIDELITIES.index(evaluation.fidelity))


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
