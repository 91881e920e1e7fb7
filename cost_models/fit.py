"""Refits every cost model from published tables: `python -m cost_models.fit [--measurements DIR] [--out DIR]`.

`--measurements` is a folder of published tables and `--networks` one with the files they name (by default `models`
beside it, where that exists). What a folder does not have, or no folder at all, leaves the facts the package carries.
Writes the facts taken and the parameters, as CSV and JSON with a schema version and the SHA-256 of the facts.
Deterministic; two minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cost_models import fit_efficiency, fit_energy, fit_learned, fit_memory
from specs.errors import AdvisorError, DataError

HERE = Path(__file__).parent / "data"
Refit = Callable[[Path | None, Path | None, Path], list[str]]
MODELS: dict[str, Refit] = {
    "efficiency": fit_efficiency.refit,
    "learned": fit_learned.refit,
    "memory": fit_memory.refit,
    "energy": fit_energy.refit,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 after a line saying what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m cost_models.fit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measurements", type=Path, help="folder of published tables (default: the facts carried)")
    parser.add_argument("--networks", type=Path, help="folder of the networks they name")
    parser.add_argument("--out", type=Path, default=HERE, help="where facts and parameters go (default: the package)")
    parser.add_argument("--only", choices=tuple(MODELS), action="append", help="this model alone")
    args = parser.parse_args(argv)
    networks = args.networks
    try:
        for folder in (args.measurements, networks):
            if folder is not None and not folder.is_dir():
                raise DataError("no such folder", where=str(folder))
        if networks is None and args.measurements is not None:
            beside = args.measurements.resolve().parent / "models"
            networks = beside if beside.is_dir() else None
        args.out.mkdir(parents=True, exist_ok=True)
        for name in args.only or MODELS:
            print(f"{name}: fitting", file=sys.stderr, flush=True)
            for line in MODELS[name](args.measurements, networks, args.out):
                print(f"{name}: {line}", flush=True)
    except (AdvisorError, OSError) as error:
        print(f"cost_models.fit: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
