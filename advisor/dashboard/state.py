"""Finding runs under a folder and reading one without ever writing to it or waiting for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from advisor.evaluation import Evaluation
from advisor.front import Front
from advisor.ledger import Calibration
from advisor.run import open_run, spent_s
from specs.errors import AdvisorError, SpecError
from specs.spec import Spec

RunState = Literal["running", "interrupted", "done", "damaged"]
Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Content:
    """What a ledger held when it was read. `problem` is one line where it cannot be read; the rest is then empty."""

    spec: Spec | None = None
    evaluations: tuple[Evaluation, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    front: Front | None = None
    problem: str = ""
    calibrations: tuple[Calibration, ...] = ()
    spent_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """One run at one moment."""

    name: str
    folder: Path
    state: RunState
    content: Content


def run_folders(folder: Path) -> dict[str, Path]:
    """Runs by name, latest first: those in `folder/runs`, or in `folder` itself, or `folder` where it is a run.

    Only names from this listing are ever opened, so that no name leads out of the folder.
    """
    if (folder / "ledger.db").is_file():
        return {folder.resolve().name: folder}
    root = folder / "runs" if (folder / "runs").is_dir() else folder
    try:
        children = [path for path in root.iterdir() if _is_run(path, root)]
    except OSError:
        return {}
    return {path.name: path for path in sorted(children, key=_changed, reverse=True)}


def stamp(folder: Path) -> Stamp:
    """Changes whenever the ledger does: size and time of its files."""
    found = []
    for name in ("ledger.db", "ledger.db-wal"):
        try:
            info = (folder / name).stat()
            found.append((info.st_mtime_ns, info.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)


def read(folder: Path) -> Content:
    """The run's content, judged by its own spec; a damaged run is content too."""
    try:
        run = open_run(folder, read_only=True)
        try:
            facts, evaluations, made = run.ledger.facts(), run.evaluations(), run.ledger.calibrations()
        finally:
            run.ledger.close()
        from advisor.front import front

        found = front(run.spec, evaluations)
        return Content(run.spec, tuple(evaluations), facts, found, calibrations=tuple(made), spent_s=spent_s(facts))
    except AdvisorError as error:
        return Content(problem=error.line())
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        # rows of the right form may still hold what no figure can be: a foreign file, an edited row
        return Content(problem=f"{folder / 'ledger.db'}: damaged ledger; seen {type(error).__name__}: {error}")


def state_of(folder: Path, content: Content) -> RunState:
    if content.problem:
        return "damaged"
    if is_running(folder):
        return "running"
    return "done" if is_finished(content) else "interrupted"


def is_running(folder: Path) -> bool:
    """Whether a process searches in the run.

    The lock is probed only when the process it names is alive: a search that starts at this moment is not disturbed.
    """
    import psutil

    try:
        with (folder / "lock").open() as file:
            text = file.read(20).strip()
            if not text.isascii() or not text.isdigit() or not psutil.pid_exists(int(text)):
                return False
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except ImportError:
                return True
            except OSError:
                return True
            return False
    except (OSError, OverflowError, ValueError):
        return False


def is_finished(content: Content) -> bool:
    """Whether the search came to its end and said so."""
    return "finished" in content.facts


def artifact_path(folder: Path, evaluation: Evaluation) -> Path:
    """The evaluation's model file.

    Raises:
        SpecError: it has none, it is gone, or the ledger points outside the run.
    """
    if not evaluation.artifact:
        raise SpecError("this candidate has no model file", seen=evaluation.status, next="pick one that was trained")
    path = folder / evaluation.artifact
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        there = inside and path.is_file()
    except (OSError, ValueError):
        inside = there = False
    if not inside:
        raise SpecError("the model file is not inside the run", seen=evaluation.artifact, next="start a new run")
    if not there:
        raise SpecError("the model file is gone", where=str(path), next="restore the run's `artifacts` folder")
    return path


def _is_run(path: Path, root: Path) -> bool:
    """A folder under `root` that is or was meant to be a run; links that lead out are not."""
    try:
        is_run = path.is_dir() and any((path / name).is_file() for name in ("ledger.db", "spec.yaml"))
        return is_run and path.resolve().is_relative_to(root.resolve())
    except OSError:
        return False


def _changed(path: Path) -> tuple[int, str]:
    return max(time for time, _ in stamp(path)), path.name
