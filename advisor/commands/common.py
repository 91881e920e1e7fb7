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
    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:  # the class cannot be subscripted when run
    Parsers = argparse._SubParsersAction
PICKS = "knee, accuracy, latency, smallest or an id"


def print_json(document: Mapping[str, Any]) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


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
