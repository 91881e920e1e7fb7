"""Keeping converters' chatter out of the user's terminal, and their words at hand when they fail."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO

from specs.errors import AdvisorError, ToolchainError


@contextlib.contextmanager
def captured() -> Iterator[IO[bytes]]:
    """Send file descriptors 1 and 2 to a temporary file: native libraries print past Python's streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield sink
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)


@contextlib.contextmanager
def toolchain(what: str) -> Iterator[None]:
    """Run a converter silently; whatever it raises becomes one ToolchainError line."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with captured(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AdvisorError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ToolchainError(f"{what} failed", seen=f"{type(error).__name__}: {first}", next="see --debug") from error
    finally:
        logging.disable(level)
