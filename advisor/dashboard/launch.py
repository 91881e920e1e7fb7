"""Starts the dashboard's server, bound to this machine; imports Streamlit in the server's process only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from specs.errors import SpecError

ADDRESS = "127.0.0.1"
ENTRY = Path(__file__).with_name("main.py")


def launch(folder: Path, port: int | None, *, headless: bool) -> int:
    """Serve the runs under `folder` until interrupted; the server's exit status (0 when interrupted).

    `headless`: do not open a browser.

    Raises:
        SpecError: no such folder, or no port.
    """
    try:
        return subprocess.run(command(folder, port, headless=headless), check=False).returncode
    except KeyboardInterrupt:
        return 0


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
    }
    if port is not None:
        options["server.port"] = str(port)
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(ENTRY), *flags, "--", str(folder.absolute())]
