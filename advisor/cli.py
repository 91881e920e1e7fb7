"""The command line: parse, run a verb, turn errors into one line and the documented exit status.

0 feasible/done · 1 unexpected fault · 2 usage or spec error · 3 proven infeasible · 4 none found within budget ·
5 toolchain or device failed · 6 verification failed · 130 interrupted, resumable
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from advisor.commands import calibrate, catalog, dashboard, feasibility, figures, relax, runs
from specs.errors import AdvisorError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    # converters read these when they are first imported, in this process or in a worker
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except AdvisorError as error:
        return _failed(error, error.exit_status, arguments.debug)
    except KeyboardInterrupt as error:
        folder = getattr(arguments, "folder", None)
        next_step = ""
        if arguments.verb in ("search", "resume"):
            begun = folder is not None and (folder / "ledger.db").is_file()
            next_step = f"; continue with `advisor resume {folder}`" if begun else " before anything was started"
        elif arguments.verb == "calibrate":
            next_step = f"; continue with `advisor calibrate {arguments.target}`"
        return _failed(error, 130, arguments.debug, f"interrupted{next_step}")
    except BrokenPipeError:
        # the reader (head, a pager) has seen enough; standard output must not be flushed again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a path of the user's that nothing more specific explained
        return _failed(error, 2, arguments.debug, f"{error.filename or 'input/output'}: {error.strerror or error}")
    except Exception as error:  # our own bug: still one line, the traceback on request
        text = " ".join(str(error).split())[:300]
        return _failed(error, 1, arguments.debug, f"unexpected fault: {type(error).__name__}: {text}; see --debug")


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    top = argparse.ArgumentParser(
        prog="advisor",
        description="Tells whether an edge-AI idea fits its device, then finds the best model that does.",
    )
    top.add_argument("--debug", action="store_true", help="tracebacks instead of one line")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for group in (catalog, feasibility, figures, calibrate, runs, relax, dashboard):
        group.add(verbs)
    for verb in verbs.choices.values():
        verb.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def _failed(error: BaseException, status: int, debug: bool, text: str = "") -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"advisor: {text or error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
