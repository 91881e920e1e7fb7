"""`feasibility`: the answer before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.commands.common import Parsers, add_json, print_json, write_text
from specs.spec import load_spec


def add(parsers: Parsers) -> None:
    parser = parsers.add_parser(
        "feasibility", help="can it be done, on which chip, what is in the way; nothing trained"
    )
    parser.add_argument("spec", type=Path)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from advisor.feasibility.assess import assess
    from advisor.report.feasibility import as_html, as_markdown, as_text, feasibility_info
    from advisor.tasks.peek import peek

    spec = load_spec(args.spec)
    report = assess(spec, peek(spec))
    info = feasibility_info(report)
    for path, render in ((args.html, as_html), (args.markdown, as_markdown)):
        if path:
            write_text(path, render(info), source=args.spec)
    if args.json:
        print_json(info)
    else:
        print(as_text(info))
    return report.exit_status
