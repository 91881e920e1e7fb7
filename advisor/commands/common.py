"""What verbs share: JSON output, writing files, arguments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specs.errors import SpecError

if TYPE_CHECKING:
    from advisor.columns import Columns
    from advisor.run import Run

    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:  # the class cannot be subscripted when run
    Parsers = argparse._SubParsersAction
PICKS = "knee, accuracy, latency, smallest, energy, cheapest, safest or an id"
MOST_WORKERS = 256


def print_json(document: Mapping[str, Any]) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def add_workers(parser: argparse.ArgumentParser) -> None:
    what = "processes that evaluate (default: one a core, up to 4)"
    parser.add_argument("--workers", type=_count, metavar="N", help=what)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_WORKERS} is needed, seen {text!r}")
    return int(text)


def write_text(path: Path, text: str, *, source: Path | None = None) -> None:
    """Write a file the user named; never over `source`, which it was made from.

    Raises:
        SpecError: it cannot be written.
    """
    try:
        if source is not None and path.exists() and path.samefile(source):
            raise SpecError("this would overwrite the spec itself", where=str(path), next="name another file")
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SpecError("cannot write", where=str(path), seen=error.strerror, next="name another file") from None


def run_columns(run: Run, target: str | None) -> Columns:
    """A run's evaluations as arrays, of one target where it is named.

    Raises:
        SpecError: the run has no such target.
    """
    columns = run.ledger.columns()
    if target is None:
        return columns
    known = dict.fromkeys(columns.targets)
    if target not in known:
        raise SpecError("this run has no such target", seen=target, allowed=", ".join(known))
    return columns.of_target(target)
