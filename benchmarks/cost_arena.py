"""TFLM's arena by our planner against the real interpreter: `python benchmarks/cost_arena.py [--models DIR --json]`.

Every int8 TFLite file of the folder, and own candidates with random parameters, sizes and weights, exported as the
product exports them. The interpreter's "head" (planned, non-persistent bytes) is the truth. Beside it the two bounds
people use: the largest input and output of one operator, and the most bytes alive at once.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cost_models.memory import live_bytes, plan_arena
from cost_models.read import read_workload
from cost_models.workload import Workload

SHARED = Path(__file__).parents[2] / "shared"
SHAPES = ((32, 32, 3), (28, 28, 1), (64, 64, 3), (96, 96, 1), (49, 10, 1), (40, 40, 1))
SERIES = ((128, 9), (64, 6), (96, 3))
FAMILIES = ("dscnn", "mobilenet", "resnet", "tcn")
ARENA_BYTES = 64 << 20
ASKED = "within 1 % on at least 95 %, never more than 5 % low"


def own_candidates(count: int, folder: Path, seed: int) -> Iterator[tuple[str, Path, Workload]]:
    """Name, exported file and the workload before export of random members of the product's families."""
    from advisor.network.to_workload import to_workload
    from advisor.runtimes.tflm import Tflm
    from advisor.space.search_space import load_family
    from advisor.testing import built_model

    rng = random.Random(seed)
    for index in range(count):
        family = load_family(FAMILIES[index % len(FAMILIES)])
        shape = rng.choice(SERIES if family.name == "tcn" else SHAPES)
        params = {dimension.name: rng.choice(dimension.grid()) for dimension in family.dimensions(shape)}
        network = family.build(params, shape, rng.randrange(2, 60))
        name = f"own {index:02} {family.name} {'x'.join(map(str, shape))}"
        path = Tflm().export(built_model(network, "int8"), folder / str(index)).path
        yield name, path, to_workload(network, "int8", "tflite")


def real_head(path: Path) -> int:
    """What the interpreter planned; it prints on the file descriptor.

    Raises:
        RuntimeError: it has no kernel for the file.
    """
    from tflite_micro.python.tflite_micro import runtime

    from advisor.runtimes.quiet import captured

    with captured() as sink:
        # the wheel's own guess, ten times the file, is too little for small files of large activations
        interpreter = runtime.Interpreter.from_file(str(path), arena_size=ARENA_BYTES)
        interpreter.print_allocations()
        sink.seek(0)
        found = re.search(rb"Arena allocation head (\d+) bytes", sink.read())
    if found is None:
        raise RuntimeError("the interpreter told no allocations")
    return int(found[1])


def row(name: str, path: Path, described: Workload | None = None) -> dict[str, Any] | None:
    workload = read_workload(path)
    if workload.precision != "int8":
        return None
    try:
        head = real_head(path)
    except (RuntimeError, ValueError) as error:
        print(f"{name}: not run by the interpreter, {str(error)[:80]}", file=sys.stderr)
        return None
    sizes = workload.tensor_bytes
    widest = max(sum(sizes[i] for i in {*op.inputs, *op.outputs}) for op in workload.operators)
    planned = plan_arena(workload, "tflm").bytes
    return {
        "network": name, "real": head, "ours": planned, "largest pair": widest, "live": live_bytes(workload),
        "before export": plan_arena(described, "tflm").bytes if described is not None else None,
    }  # fmt: skip


def summary(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float | int]:
    errors = [r[key] / r["real"] - 1 for r in rows if r[key] is not None]
    return {
        "n": len(errors),
        "within 1 %": sum(abs(e) <= 0.01 for e in errors) / len(errors),
        "lowest": min(errors),
        "highest": max(errors),
        "median error": statistics.median(abs(e) for e in errors),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.models.is_dir():
        print(f"cost_arena: no published networks: {options.models} is missing; pass --models DIR", file=sys.stderr)
        return 2
    rows = [found for path in sorted(options.models.rglob("*.tflite"))
            if (found := row(path.stem.split("__")[-1], path)) is not None]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, path, described in own_candidates(options.candidates, Path(folder), options.seed):
            found = row(name, path, described)
            if found is not None:
                rows.append(found)
            if sys.stderr.isatty():
                print(f"\r{name:60}", end="", file=sys.stderr)
    keys = ("ours", "before export", "live", "largest pair")
    table = {key: summary(rows, key) for key in keys if any(r[key] is not None for r in rows)}
    if options.json:
        print(json.dumps({"schema": 1, "asked": ASKED, "figures": table, "rows": rows}, indent=1))
        return 0
    print(f"{'figure':16}{'n':>4}{'within 1 %':>12}{'median error':>14}{'lowest':>9}{'highest':>9}")
    for key, s in table.items():
        print(f"{key:16}{s['n']:4}{s['within 1 %']:12.0%}{s['median error']:14.2%}{s['lowest']:+9.1%}"
              f"{s['highest']:+9.1%}")  # fmt: skip
    print(f"asked of ours: {ASKED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
