"""Starts the dashboard's server, bound to this machine; imports Streamlit in the server's process only."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from specs.errors import SpecError

ADDRESS = "127.0.0.1"
SERVER_FAILED = 5
"""Exit status: a tool failed."""
ENTRY = Path(__file__).with_name("main.py")


def launch(folder: Path, port: int | None, *, headless: bool) -> int:
    """Serve the runs under `folder` until stopped: 0 then, 5 where the server could not serve (a taken port).

    `headless`: do not open a browser.

    Raises:
        SpecError: no such folder, or no port.
    """
    arguments = command(folder, port, headless=headless)
    if port is not None:
        _check_free(port)
    server = subprocess.Popen(arguments)
    # whoever stops this process means the server
    before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return SERVER_FAILED if server.wait() not in (0, -signal.SIGTERM) else 0
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise SpecError("the port cannot be used", where="--port", seen=f"{port}: {error.strerror}",
                            next="name another, or none") from None  # fmt: skip


def command(folder: Path, port: int | None, *, headless: bool) -> list[str]:
    """The command line of the server."""
    if not folder.is_dir():
        raise SpecError("no such folder", seen=str(folder), next="name the folder that holds `runs`")
    if port is not None and not 1 <= port <= 65535:
        raise SpecError("not a port", seen=port, allowed="1 to 65535")
    options = {
        "server.address": ADDRESS,
        "server.headless": "true" if headless else "false",
        "server.showEmailPrompt": "false",
        # the code does not change while it is served, and watching would walk every imported library
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "theme.primaryColor": "#0072b2",
    }
    if port is not None:
        options["server.port"] = str(port)
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(ENTRY), *flags, "--", str(folder.absolute())]
