"""The ledger: the only truth of a run, appended to and never rewritten.

One coordinator writes; readers (dashboard, `front`) open it read-only and never block it. A calibration re-scores by
rows of its own: what an evaluation was before it stays readable.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from advisor.columns import Columns
from advisor.evaluation import Evaluation
from advisor.rows import CALIBRATED, MARKS, OLDER, SCHEMA, Calibration, Source, metrics_of, reading, texts
from advisor.stock import Stock, View, merged, view_of
from cost_models.estimate import Estimate
from specs.errors import AdvisorError, SpecError

if TYPE_CHECKING:  # loaded by those who write
    from sqlalchemy import Connection, Engine

__all__ = ["Calibration", "Ledger", "LedgerError"]
T = TypeVar("T")


class Ledger:
    """Evaluations, measurements, calibrations and told trials of one run.

    A place is a file or a database's URL; opened read-only it has no `_engine`. `_calibrated`: there are tables of
    calibrations, as there are but in older ledgers that are only read.
    """

    def __init__(self, place: Path | str, *, read_only: bool = False) -> None:
        self._place = place
        self._engine: Engine | None = None
        self._errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        self._calibrated = True
        self._stock = Stock()
        if not read_only:
            from sqlalchemy.exc import SQLAlchemyError

            from advisor.tables import engine_of

            self._engine, self._errors = engine_of(place), (sqlite3.Error, SQLAlchemyError)

    @classmethod
    def create(cls, place: Path | str, facts: Mapping[str, str]) -> Ledger:
        """A new ledger, in a file or at a URL, with the run's facts (`spec`, `spec_id`, `seed`, `versions`).

        Raises:
            SpecError: the place already holds another run.
        """
        from advisor import tables

        ledger = cls(place)
        with ledger._writing() as connection:
            tables.METADATA.create_all(connection)
            if tables.EngineSource(connection).rows("select 1 from run"):
                raise SpecError("this ledger already holds a run", seen=str(place), next="use `advisor resume`")
            for key, value in {**MARKS, **facts}.items():
                tables.put(connection, key, value)
        return ledger

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Ledger:
        """The ledger of an existing run; one of an older version is upgraded, or read as it is.

        Raises:
            SpecError: missing, or of a newer version.
            LedgerError: damaged.
        """
        if not path.is_file():
            raise SpecError("no run here", seen=str(path.parent), next="start one with `advisor search SPEC`")
        ledger = cls(path, read_only=read_only)
        facts = ledger.facts()
        schema = facts.get("schema")
        if schema not in (str(SCHEMA), *OLDER):
            raise SpecError("ledger of another version", where=str(path), seen=schema, allowed=str(SCHEMA),
                            next="use the newer version, or start a new run")  # fmt: skip
        ledger._calibrated = schema == str(SCHEMA)
        ledger._stock.stored = all(facts.get(key) == value for key, value in MARKS.items())
        if not read_only and not ledger._stock.stored:
            ledger._upgrade()
        return ledger

    def facts(self) -> dict[str, str]:
        """What was recorded of the run."""
        with self._reading() as source:
            return dict(source.rows("select key, value from run"))

    def set_fact(self, key: str, value: str) -> None:
        from advisor.tables import put

        with self._writing() as connection:
            put(connection, key, value)

    def add(self, evaluation: Evaluation) -> None:
        self.add_all([evaluation])

    def add_all(self, evaluations: Sequence[Evaluation]) -> None:
        """All of them or none; much quicker than one by one."""
        from advisor.tables import append

        with self._writing() as connection:
            append(connection, evaluations, _dump)

    def history(self) -> list[Evaluation]:
        """Every row ever written, oldest first, as it was written."""
        with self._reading() as source:
            documents = source.rows("select data from evaluations order by row")
        return [self._read(text) for (text,) in documents]

    def evaluations(self, at: int | None = None) -> list[Evaluation]:
        """The current row of every candidate on every target: the highest fidelity that worked, newest of those, with
        the figures of the newest calibration, or those it had `at` an earlier one (0: before the first).

        Raises:
            SpecError: no calibration `at`, or a damaged row.
        """
        view = self._view(at)
        return self._loaded(view, range(len(view.row)))

    def columns(self, at: int | None = None) -> Columns:
        """The same as arrays, without reading a document.

        Raises:
            SpecError: no calibration `at`, or a damaged row.
        """
        return self._view(at).columns

    def add_measurement(self, candidate: str, target: str, data: Mapping[str, Any]) -> None:
        from advisor.tables import MEASUREMENTS

        row = {"time": time.time(), "candidate": candidate, "target": target, "data": _dump(data)}
        with self._writing() as connection:
            connection.execute(MEASUREMENTS.insert(), row)

    def measurements(self, candidate: str | None = None) -> list[tuple[str, str, dict[str, Any]]]:
        """(candidate, target, measurement) in the order they were taken."""
        chosen = "where candidate = :candidate " if candidate else ""
        query = f"select candidate, target, data from measurements {chosen}order by row"  # noqa: S608 - constants
        with self._reading() as source:
            found = source.rows(query, **({"candidate": candidate} if candidate else {}))
        return [(name, target, self._json(text)) for name, target, text in found]

    def add_trials(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Trials told to the study: `target`, `number`, `params` and `data` (values and constraints)."""
        from advisor.tables import TRIALS

        packed = [{**row, "params": _dump(row["params"]), "data": _dump(row["data"])} for row in rows]
        if packed:
            with self._writing() as connection:
                connection.execute(TRIALS.insert(), packed)

    def trials(self, target: str) -> list[dict[str, Any]]:
        """What `add_trials` recorded for a target, by number."""
        query = "select number, params, data from trials where target = :target order by number, row"
        with self._reading() as source:
            found = source.rows(query, target=target)
        return [{"number": n, "params": self._json(params), "data": self._json(data)} for n, params, data in found]

    def record_calibration(self, made: Calibration, rescored: Mapping[str, Mapping[str, Estimate]]) -> Calibration:
        """One calibration of a target's cost model, and what it gives the target's candidates anew: by id, metrics of
        CALIBRATED; what is not named stays as evaluated. Stored together or not at all. Returns it with its id.

        Raises:
            ValueError: another metric, or a candidate that was not evaluated on the target.
        """
        from advisor import tables

        wrong = {name for metrics in rescored.values() for name in metrics} - set(CALIBRATED)
        if wrong:
            raise ValueError(f"no calibration changes {', '.join(sorted(wrong))}")
        with self._writing() as connection:
            source = tables.EngineSource(connection)
            self._stock.grow(source, self._read)
            return tables.add_calibration(connection, made, rescored, self._stock, _dump)

    def calibrations(self) -> list[Calibration]:
        """Every calibration in the order they were made; their ids count from 1."""
        if not self._calibrated:
            return []
        with self._reading() as source:
            found = source.rows("select row, time, target, data from calibrations order by row")
        with self._undamaged():
            return [Calibration.from_data(row, at, name, self._json(text)) for row, at, name, text in found]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _view(self, at: int | None) -> View:
        mark = None
        if at is not None:
            marks = {0: 0} | {made.id: made.mark for made in self.calibrations()}
            if at not in marks:
                raise SpecError("no such calibration", where=str(self._place), seen=at,
                                allowed=", ".join(map(str, marks)))  # fmt: skip
            mark = (at, marks[at])
        with self._reading() as source, self._undamaged():
            self._stock.grow(source, self._read)
            return view_of(source, self._stock, self._loaded, mark, calibrated=self._calibrated)

    def _loaded(self, view: View, places: Sequence[int]) -> list[Evaluation]:
        """Whole evaluations, with the figures that count in the view."""
        chosen = np.asarray(places, dtype=np.intp)
        rows, costs, again = (column[chosen].tolist() for column in (view.row, view.costs, view.rescored))
        with self._reading() as source:
            documents = texts(source, "evaluations", list({*rows, *costs}))
            changes = texts(source, "rescored", [row for row in again if row])
        with self._undamaged():
            found = [self._read(documents[row]) for row in rows]
            earlier = [
                self._read(documents[cost]) if cost != row else None for cost, row in zip(costs, rows, strict=True)
            ]
            change = [self._parsed(metrics_of, changes[row]) if row else {} for row in again]
            return [merged(*three) for three in zip(found, earlier, change, strict=True)]

    def _upgrade(self) -> None:
        """Make a ledger of an older version, or with figures packed by another one, this version's."""
        from advisor import tables

        with self._writing() as connection:
            tables.METADATA.create_all(connection)
            tables.upgrade(connection, self._read)
        self._calibrated = self._stock.stored = True

    def _read(self, text: str) -> Evaluation:
        return self._parsed(lambda text: Evaluation.from_dict(json.loads(text)), text)

    def _json(self, text: str) -> dict[str, Any]:
        return self._parsed(lambda text: dict(json.loads(text)), text)

    def _parsed(self, parse: Callable[[str], T], text: str) -> T:
        with self._undamaged(text):
            return parse(text)

    @contextmanager
    def _undamaged(self, text: str = "") -> Iterator[None]:
        try:
            yield
        except DamagedRowError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DamagedRowError("damaged row in the ledger", where=str(self._place),
                                  seen=text[:60] or str(error)) from error  # fmt: skip

    @contextmanager
    def _reading(self) -> Iterator[Source]:
        with self._safely():
            if self._engine is None:
                with reading(Path(self._place)) as source:
                    yield source
            else:
                from advisor.tables import EngineSource

                with self._engine.connect() as connection:
                    yield EngineSource(connection)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction.

        Raises:
            LedgerError: opened read-only, or the database refuses.
        """
        if self._engine is None:
            raise LedgerError("this ledger was opened to be read", where=str(self._place))
        with self._safely(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError("the ledger cannot be read", where=str(self._place), seen=str(cause),
                              next="restore it from a copy, or start a new run") from error  # fmt: skip


class DamagedRowError(SpecError):
    """A row of the ledger is not what was written."""


class LedgerError(AdvisorError):
    """The ledger's file is damaged, locked or gone."""

    exit_status = 2


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
