"""The microcontroller benchmark: its figures on the facts carried, and what it says of folders it cannot use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cost_mcu.py"


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *args], capture_output=True, text=True, check=False)


def test_unseen_networks_and_chips_come_closer_than_by_macs() -> None:
    found = json.loads(run("--json").stdout)
    for name in ("unseen_network", "unseen_chip"):
        row = found[name]
        assert row["median_error"] <= row["asked"]
        assert row["median_error"] < row["baseline"]
        assert 0.86 <= row["coverage"] <= 0.96


def test_folders_that_are_missing_are_one_line(tmp_path: Path) -> None:
    done = run("--measurements", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
