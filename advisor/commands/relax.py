"""`relax`: the same question with other limits, answered from the ledger."""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.commands.common import Parsers, add_json, briefly, print_json, run_columns


def add(parsers: Parsers) -> None:
    relax = parsers.add_parser("relax", help="the front under other limits, from what was evaluated; writes nothing")
    relax.add_argument("folder", type=Path, metavar="RUN")
    relax.add_argument("--limit", action="append", required=True, metavar="NAME.KEY=VALUE", dest="limits",
                       help="latency.max=60ms, accuracy.min=0.9, flash.soft=true; repeat for several")  # fmt: skip
    relax.add_argument("--target", help="one target alone")
    add_json(relax)
    relax.set_defaults(run=run_relax)


def run_relax(args: argparse.Namespace) -> int:
    from advisor.relax import relax
    from advisor.report.answers import relaxed_info
    from advisor.report.relax import relaxed_text
    from advisor.run import open_run

    run = open_run(args.folder, read_only=True)
    with briefly():
        relaxed = relax(run.spec, run_columns(run, args.target), args.limits)
        info = relaxed_info(run, relaxed)
        print_json(info) if args.json else print(relaxed_text(relaxed.spec, info, str(args.folder)))
    return relaxed.after.exit_status
