"""A run's directory: `spec.yaml`, `ledger.db`, `artifacts/`, `report/`; made, opened and locked here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.evaluation import Evaluation
from advisor.front import Front, front
from advisor.ledger import Ledger
from specs.errors import AdvisorError, SpecError
from specs.spec import Spec, parse_spec

LEFT_OUT = "left_out:"
"""Facts of the ledger, one a target: what was not tried there, and why."""
SPENT = "spent_s"
"""Fact of a finished run's ledger: seconds of workers and device on every rung, by its name, as JSON."""


@dataclass(frozen=True)
class Run:
    """An existing run: its folder, the spec as resolved, its ledger."""

    folder: Path
    spec: Spec
    ledger: Ledger

    def evaluations(self) -> list[Evaluation]:
        return self.ledger.evaluations()

    def front(self, spec: Spec | None = None) -> Front:
        """The front, judged by the run's spec or by the same spec with other limits."""
        return front(spec or self.spec, self.ledger.columns())


class RunBusyError(AdvisorError):
    """Another process is searching in this run."""

    exit_status = 2


def create_run(spec: Spec, folder: Path | None, facts: dict[str, str]) -> Run:
    """A new run in `folder`, or in `runs/NAME` (numbered when taken).

    Raises:
        SpecError: the folder holds something already or cannot be made.
    """
    folder = folder or free_path(Path("runs") / spec.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SpecError(
                "the run directory is not empty", seen=str(folder), next="`advisor resume` it, or name another"
            )
        (folder / "spec.yaml").write_text(spec.to_yaml(), "utf-8")
    except OSError as error:
        raise SpecError("cannot make the run directory", seen=str(folder), allowed=error.strerror or "") from None
    every = {"spec": spec.to_yaml(), "spec_id": spec.id, "spec_folder": str(spec.folder.absolute()), **facts}
    ledger = Ledger.create(folder / "ledger.db", every)
    return Run(folder, spec, ledger)


def open_run(folder: Path, *, read_only: bool = False) -> Run:
    """An existing run, its spec as it was searched with.

    Raises:
        SpecError: no run there, or a damaged one.
    """
    ledger = Ledger.open(folder / "ledger.db", read_only=read_only)
    facts = ledger.facts()
    if "spec" not in facts:
        raise SpecError("the ledger holds no spec", where=str(folder / "ledger.db"), next="start a new run")
    spec = parse_spec(facts["spec"], recorded=True, where=f"{folder}: spec", folder=Path(facts.get("spec_folder", ".")))
    return Run(folder, spec, ledger)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run: one coordinator writes at a time. The lock goes with the process, however it ends.

    Raises:
        RunBusyError: another process holds it.
    """
    with (folder / "lock").open("a+") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # no such locks on this system: two coordinators are then the user's to avoid
        except OSError:
            file.seek(0)
            raise RunBusyError("another process is searching in this run", seen=f"process {file.read().strip()}",
                               where=str(folder), next="wait for it, or stop it") from None  # fmt: skip
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def free_path(base: Path) -> Path:
    """`base`, or the first of `base-2`, `base-3`, … that does not exist."""
    candidate, number = base, 2
    while candidate.exists():
        candidate, number = base.with_name(f"{base.name}-{number}"), number + 1
    return candidate


def left_out(facts: Mapping[str, str]) -> list[dict[str, str]]:
    """Recipes that a run did not try, by target, each with the reason.

    Raises:
        SpecError: a damaged fact.
    """
    return [
        {"target": name.removeprefix(LEFT_OUT), "quantization": quantization, "reason": reason}
        for name in sorted(facts)
        if name.startswith(LEFT_OUT)
        for quantization, reason in _document(facts, name).items()
    ]


def spent_s(facts: Mapping[str, str]) -> dict[str, float]:
    """Seconds of workers and device that a finished run took on every rung; empty while it is not finished.

    Raises:
        SpecError: a damaged fact.
    """
    found = _document(facts, SPENT)
    return {name: seconds for name, seconds in found.items() if isinstance(seconds, int | float)}


def _document(facts: Mapping[str, str], name: str) -> dict[str, Any]:
    """A fact that holds a JSON object; empty where there is none."""
    try:
        found = json.loads(facts.get(name, "{}"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SpecError("damaged fact in the ledger", where=name, seen=facts[name][:80], next="start a new run")
    return found
