"""`dashboard`: the front to explore in a browser on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.commands.common import Parsers


def add(parsers: Parsers) -> None:
    parser = parsers.add_parser("dashboard", help="explore specs, fronts and candidates in a browser (loopback only)")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="of the runs (default: here)"
    )
    parser.add_argument("--port", type=int, help="TCP port (default: the first free one from 8501)")
    parser.add_argument("--headless", action="store_true", help="do not open a browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from advisor.dashboard.launch import launch

    return launch(args.folder, args.port, headless=args.headless)
