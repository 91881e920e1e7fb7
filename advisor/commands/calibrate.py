"""`calibrate`: corrects a target's cost model by measurements on it."""

from __future__ import annotations

import argparse

from advisor.commands.common import Parsers, add_json, print_json
from specs import catalog
from specs.errors import SpecError

MAX_NETWORKS = 60


def add(parsers: Parsers) -> None:
    parser = parsers.add_parser("calibrate", help="measure this machine and correct its latency figures")
    parser.add_argument("target", metavar="TARGET", help="host:onnxruntime or host:litert")
    parser.add_argument("--networks", type=int, default=MAX_NETWORKS, help="networks to measure (8 to 60, default: 60)")
    parser.add_argument("--minutes", type=float, help="stop measuring after this long and fit what there is")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="keep what was measured before (this is the default)")
    again.add_argument("--fresh", action="store_true", help="measure everything again")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not 8 <= args.networks <= MAX_NETWORKS:
        raise SpecError("unusable number of networks", where="--networks", seen=args.networks,
                        allowed=f"8 to {MAX_NETWORKS}")  # fmt: skip
    if args.minutes is not None and not 0.1 <= args.minutes <= 600:
        raise SpecError("unusable time", where="--minutes", seen=args.minutes, allowed="0.1 to 600")
    target = catalog.target(args.target)
    from advisor.calibrate.run import calibrate, check_target, outcome_info
    from advisor.calibrate.summary import calibration_lines
    from advisor.progress import StatusLine

    check_target(target)
    status = StatusLine()
    try:
        outcome = calibrate(target, networks=args.networks, minutes=args.minutes, fresh=args.fresh, listener=status)
    finally:
        status.close()
    if args.json:
        print_json(outcome_info(outcome))
        return 0
    print(f"{target.id} calibrated in {outcome.measured_s / 60:.1f} min of measuring")
    for line in calibration_lines(outcome.calibration):
        print(f"  {line}")
    if not outcome.complete:
        print(f"  stopped before everything was measured: `advisor calibrate {target.id}` goes on")
    print(f"  stored in {outcome.path}")
    return 0
