"""How long the commands people wait for take from a cold start: median of five runs, beside what is required."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
SPEC = """
schema: 1
name: speed
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
limits:
  latency: {max: 1 ns}
  peak_ram: {max: 320 KiB, reserved: 96 KiB}
  flash: {max: 1 MiB}
  accuracy: {min: 0.92}
  unit_cost: {max: 12 USD, volume: 1000}
"""


def wall_s(*arguments: str) -> float:
    """Seconds of one run of the command line; infeasible is an answer, anything else but success is not."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "advisor.cli", *arguments], capture_output=True, text=True)
    elapsed = time.perf_counter() - start
    if done.returncode not in (0, 3):
        raise SystemExit(f"advisor {' '.join(arguments)}: status {done.returncode}\n{done.stderr}")
    return elapsed


def commands(folder: Path, run: Path | None) -> list[tuple[str, float, tuple[str, ...]]]:
    """Name, seconds allowed, arguments."""
    spec = folder / "spec.yaml"
    spec.write_text(SPEC)
    found: list[tuple[str, float, tuple[str, ...]]] = [
        ("--help", 0.5, ("--help",)),
        ("targets", 0.6, ("targets",)),
        ("feasibility", 3.0, ("feasibility", str(spec))),
    ]
    if run is not None:
        found.append(("front", 1.0, ("front", str(run))))
    return found


def main() -> int:
    run = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if run is None:
        runs = [path.parent for path in Path("runs").glob("*/ledger.db")]
        run = max(runs, key=lambda path: path.stat().st_mtime, default=None)
    late = 0
    print(f"{'command':12}  {'median':>8}  {'slowest':>8}  required")
    with tempfile.TemporaryDirectory() as folder:
        for name, allowed_s, arguments in commands(Path(folder), run):
            times = [wall_s(*arguments) for _ in range(RUNS)]
            median = statistics.median(times)
            late += median > allowed_s
            mark = "" if median <= allowed_s else "  TOO SLOW"
            print(f"{name:12}  {median:6.2f} s  {max(times):6.2f} s  {allowed_s:.1f} s{mark}")
    if run is None:
        print("front         not timed: no run in runs/; pass one: python benchmarks/feasibility_speed.py RUN")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
