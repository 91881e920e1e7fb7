"""What verbs share: JSON output, writing files, arguments."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    """One document on standard output: a line a key, and a line an item of what is listed under it.

    Laid out like this because the standard library's indentation takes ten times as long as the encoding itself.
    """
    encode = json.JSONEncoder(allow_nan=False).encode
    lines = []
    for key, value in document.items():
        listed = isinstance(value, list) and value
        shown = "[\n  " + ",\n  ".join(map(encode, value)) + "\n ]" if listed else encode(value)
        lines.append(f" {encode(key)}: {shown}")
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


@contextmanager
def briefly() -> Iterator[None]:
    """For a command that answers and ends: nothing looks for garbage among all it read, neither meanwhile nor at its
    end."""
    from advisor.rows import no_collection

    with no_collection():
        yield
        gc.freeze()


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
