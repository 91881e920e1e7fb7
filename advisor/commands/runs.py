"""`search`, `resume`, `front`, `export`, `verify`: a run from its start to the bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.common import PICKS, Parsers, add_json, add_workers, briefly, print_json, run_columns
from specs.errors import AdvisorError
from specs.spec import load_spec

if TYPE_CHECKING:
    from advisor.pipeline import Searched


def add(parsers: Parsers) -> None:
    search = parsers.add_parser("search", help="search architecture × pruning × quantization within the spec's budget")
    search.add_argument("spec", type=Path)
    search.add_argument("--run", type=Path, metavar="DIR", dest="folder", help="run directory (default: runs/NAME)")
    search.add_argument("--anyway", action="store_true", help="search although feasibility proves it in vain")
    add_workers(search)
    add_json(search)
    search.set_defaults(run=run_search)

    resume = parsers.add_parser("resume", help="continue an interrupted run")
    resume.add_argument("folder", type=Path, metavar="RUN")
    add_workers(resume)
    add_json(resume)
    resume.set_defaults(run=run_resume)

    front = parsers.add_parser("front", help="the Pareto front of a run")
    front.add_argument("folder", type=Path, metavar="RUN")
    front.add_argument("--target", help="the front of one target alone")
    front.add_argument("--all", action="store_true", help="every trained candidate, not only the front")
    front.add_argument(
        "--since", type=int, default=0, metavar="ID", help="what changed since calibration ID (default: all)"
    )
    add_json(front)
    front.set_defaults(run=run_front)

    export = parsers.add_parser("export", help="write the bundle of one candidate")
    export.add_argument("folder", type=Path, metavar="RUN")
    export.add_argument("--pick", default="knee", help=f"{PICKS} (default: knee)")
    export.add_argument("--target", help="which target's, where the run has several")
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (default: bundles/NAME-ID)")
    add_json(export)
    export.set_defaults(run=run_export)

    verify = parsers.add_parser("verify", help="prove that a bundle is what its manifest says")
    verify.add_argument("bundle", type=Path)
    add_json(verify)
    verify.set_defaults(run=run_verify)


def run_search(args: argparse.Namespace) -> int:
    from advisor.feasibility.assess import assess
    from advisor.pipeline import search
    from advisor.progress import Event, StatusLine
    from advisor.report.feasibility import as_text, feasibility_info
    from advisor.tasks.peek import peek

    spec = load_spec(args.spec)
    report = assess(spec, peek(spec))
    if report.exit_status and not args.anyway:
        info = feasibility_info(report)
        print_json(info) if args.json else print(as_text(info))
        return int(report.exit_status)
    for finding in report.findings:
        if finding.code == "EA016":
            print(f"{finding.title}: {finding.text}", file=sys.stderr)
    status = StatusLine()

    def listen(event: Event) -> None:
        if event.stage == "run":
            args.folder = Path(event.text)  # what an interruption names as resumable
        status(event)

    try:
        return _ended(args, search(spec, args.folder, listen, args.workers))
    finally:
        status.close()


def run_resume(args: argparse.Namespace) -> int:
    from advisor.pipeline import resume
    from advisor.progress import StatusLine

    status = StatusLine()
    try:
        return _ended(args, resume(args.folder, status, args.workers))
    finally:
        status.close()


def _ended(args: argparse.Namespace, searched: Searched) -> int:
    from advisor.report.answers import answer_info
    from advisor.report.front import front_text

    info = answer_info(searched.run, searched.front)
    if args.json:
        print_json({**info, "run": str(searched.run.folder)})
    else:
        print(front_text(searched.run.spec, info, folder=str(searched.run.folder)))
        facts = searched.run.ledger.facts()
        for note in filter(None, facts.get("data_notes", "").split("\n")):
            print(f"data: {note}")
        seconds = float(facts.get("elapsed_s", "0"))
        print(f"\nsearched for {seconds:.0f} s of {searched.run.spec.search.time_s:g} s; new candidates ended by: "
              f"{facts.get('ended_by', '?')}")  # fmt: skip
        print(f"run: {searched.run.folder}")
        if searched.front.members:
            print(f"next: advisor export {searched.run.folder} --pick knee")
    return searched.exit_status


def run_front(args: argparse.Namespace) -> int:
    from advisor.front import front
    from advisor.report.answers import answer_info
    from advisor.report.front import front_text
    from advisor.run import open_run

    run = open_run(args.folder, read_only=True)
    with briefly():
        found = front(run.spec, run_columns(run, args.target))
        info = answer_info(run, found, every=args.all, since=args.since)
        if args.json:
            print_json(info)
        else:
            print(front_text(run.spec, info, every=args.all, folder=str(args.folder)))
    return found.exit_status


def run_export(args: argparse.Namespace) -> int:
    from advisor.bundle import export_bundle
    from advisor.front import pick
    from advisor.run import open_run
    from advisor.verify import verify_bundle

    run = open_run(args.folder, read_only=True)
    row = pick(run.front(), args.pick, args.target)
    out = args.out or Path("bundles") / f"{run.spec.name}-{row.evaluation.id}"
    export_bundle(run, row, out)
    verified = verify_bundle(out)
    if args.json:
        print_json({"schema": 1, "bundle": str(out), "evaluation": row.evaluation.id, "checks": list(verified.checks)})
    else:
        print(f"{out}: {row.evaluation.candidate.describe()} for {row.evaluation.target}")
        print("\n".join(f"  verified: {check}" for check in verified.checks))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from advisor.verify import verify_bundle

    try:
        verified = verify_bundle(args.bundle)
    except AdvisorError as error:
        if args.json:
            print_json({"schema": 1, "bundle": str(args.bundle), "ok": False, "error": str(error)})
        raise
    if args.json:
        print_json({"schema": 1, "bundle": str(args.bundle), "ok": True, "checks": list(verified.checks),
                    "test": verified.test.to_dict()})  # fmt: skip
    else:
        print(f"{args.bundle}: verified")
        print("\n".join(f"  {check}" for check in verified.checks))
    return 0
