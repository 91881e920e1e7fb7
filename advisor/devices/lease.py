"""A device is leased to one measurement at a time, whoever asks: processes of one run wait for each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def leased(folder: Path, target: str) -> Iterator[None]:
    """Hold the device of a target, waiting for whoever holds it; `folder` is the run's. Ends with the process."""
    name = re.sub(r"[^a-z0-9.-]+", "-", target.lower())
    with (folder / f"device-{name}.lock").open("a+") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:
            pass  # no such locks on this system: two measurements at once are then the user's to avoid
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
