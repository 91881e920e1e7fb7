"""What long work tells its user: events in, one status line out (none when standard error is no terminal)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Event:
    """`stage`: what is being done; `share`: 0…1 of the whole, or None where unknown; `text`: the state in words.

    `lasting` events are worth a line of their own in a log.
    """

    stage: str
    text: str
    share: float | None = None
    lasting: bool = False


Listener = Callable[[Event], None]


def silent(_: Event) -> None:
    """The listener that says nothing."""


class StatusLine:
    """One line on a terminal, rewritten in place; lasting events scroll above it. Elsewhere nothing."""

    WIDTH = 24

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._shown = 0.0
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        if not self._live:
            return
        if event.lasting:
            self._clear()
            self._stream.write(f"{event.text}\n")
        now = time.monotonic()
        if event.lasting or now - self._shown > 0.1:
            self._shown = now
            self._stream.write("\r\x1b[2K" + self._line(event))
            self._stream.flush()

    def close(self) -> None:
        if self._live:
            self._clear()
            self._stream.flush()

    def _line(self, event: Event) -> str:
        elapsed = int(time.monotonic() - self._started)
        clock = f"{elapsed // 60}:{elapsed % 60:02d}"
        if event.share is None:
            return f"{clock} {event.stage}: {event.text}"[:110]
        done = round(min(1.0, max(0.0, event.share)) * self.WIDTH)
        bar = "█" * done + "░" * (self.WIDTH - done)
        return f"{clock} {bar} {event.share * 100:3.0f} %  {event.stage}: {event.text}"[:110]

    def _clear(self) -> None:
        self._stream.write("\r\x1b[2K")
