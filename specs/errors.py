"""The error tree of the product: one root, one line for the user, one exit status each.

AdvisorError                 1  unexpected fault
├── SpecError (ValueError)   2  the spec, an option or a data set is wrong
│   └── DataError            2  a data set cannot be used
├── ModelFileError           2  a model file cannot be read
├── ToolchainError           5  a converter, runtime or device failed
└── VerificationError        6  a bundle is not what its manifest says
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AdvisorError(Exception):
    """Something the user can act on: what was wrong, what was seen, what is allowed, what to do next."""

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", seen: object = None, allowed: str = "", next: str = "") -> None:
        self.what, self.where, self.seen, self.allowed, self.next = what, where, seen, allowed, next
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message on one line."""
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.seen is not None:
            text = " ".join(repr(self.seen).split())
            parts.append(f"seen {text[:120]}{'…' if len(text) > 120 else ''}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.next:
            parts.append(f"next: {self.next}")
        return " ".join("; ".join(parts).split())

    def at(self, where: str) -> AdvisorError:
        """The same error, told to have happened at `where` (a file, or file and key path)."""
        place = f"{where}: {self.where}" if self.where else where
        return type(self)(self.what, where=place, seen=self.seen, allowed=self.allowed, next=self.next)


class SpecError(AdvisorError, ValueError):
    """The spec, a catalogue file or a command-line value is wrong."""

    exit_status = 2


class DataError(SpecError):
    """A data set is missing, unreadable or unfit for the task."""


class ModelFileError(AdvisorError, ValueError):
    """A model file is truncated, hostile, of no known format or beyond the limits."""

    exit_status = 2


class ToolchainError(AdvisorError, RuntimeError):
    """A converter, a runtime or a device failed at its work."""

    exit_status = 5


class VerificationError(AdvisorError):
    """A bundle differs from its manifest or its parity vectors."""

    exit_status = 6


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known word nearest to `word`, or the empty string."""
    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""
