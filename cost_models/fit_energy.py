"""Fits active power to published energies.

Power of a run is energy by time. Its logarithm, per MHz of clock, is a sum of a chip family's, a chip's, a runtime's on
the chip and a submission's effect (board revision, supply, firmware) and the network's own noise: a Gaussian process
whose kernel is those five variances, found by likelihood on a grid. So a network new to a board has the board's power,
and a board new to a chip the chip's.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HERE = Path(__file__).parent / "data"
TABLE = "mlperf_tiny.csv"
LEVELS = ("family", "chip", "runtime", "board")
GRID = {"family": (0.5, 0.8, 1.2), "chip": (0.3,), "runtime": (0.05, 0.1, 0.2), "board": (0.05, 0.1, 0.2, 0.3),
        "noise": (0.03, 0.05, 0.08, 0.12)}  # fmt: skip
"""Standard deviations of natural logs tried for each level. Chips of one family differ by some third per MHz (their
datasheets); energies of two such chips were never published side by side."""
PRIOR = 1.5
"""How little is known of a chip's power per MHz before any was measured, in natural logs."""
COVERED = 0.90
CHIPS = {"l4r5": ("stm32l4r5", "stm32l4", 120.0), "u385": ("stm32u385", "stm32u3", 96.0),
         "efr32mg24": ("efr32mg24", "efr32mg", 78.0), "ndp9120": ("ndp9120", "ndp", 0.0)}  # fmt: skip
"""Catalogue id, family and clock (MHz; 0: as the submission says) by what a submission's device or chip contains."""
RUNTIMES = (("x-cube-ai", "stm32cube-ai"), ("krai", "stm32cube-ai"), ("stmicro", "stm32cube-ai"),
            ("microtvm", "microtvm"), ("onnc", "onnc"), ("silicon_labs", "silabs-mvp"), ("syntiant", "syntiant"),
            ("reference", "tflm"))  # fmt: skip
"""Catalogue id of the runtime by what a submission says of itself, first match."""
STREAMS = ("1d-ds-cnn",)
"""Networks whose published energy is of a stream, not of an inference."""


@dataclass(frozen=True)
class Energy:
    """One published energy. `board` is the submission: the same hardware, firmware and supply."""

    family: str
    chip: str
    runtime: str
    board: str
    network: str
    clock_mhz: float
    latency_ms: float
    energy_mj: float
    source: str

    @property
    def log_power(self) -> float:
        """Natural logarithm of milliwatts a MHz."""
        return float(np.log(1e3 * self.energy_mj / self.latency_ms / self.clock_mhz))


def extract(measurements: Path) -> list[Energy]:
    """MLPerf Tiny's rows of microcontrollers, repeats of one run in later releases once.

    Raises:
        FileNotFoundError: no `mlperf_tiny.csv` in the folder.
    """
    found: dict[tuple[str, str, float, float], Energy] = {}
    with (measurements / TABLE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            fact = _fact(row)
            if fact is not None:
                system = fact.board.split("/", 1)[1]
                found.setdefault((system, fact.network, fact.latency_ms, fact.energy_mj), fact)
    return sorted(found.values(), key=astuple)


def _fact(row: dict[str, str]) -> Energy | None:
    notes = dict(part.split("=", 1) for part in row["notes"].split(";") if "=" in part)
    if not row["energy_mj"] or not row["latency_ms"] or row["model"] in STREAMS:
        return None
    about = f"{row['device']} {row['chip']} {notes.get('system', '')}".lower()
    chip = next((CHIPS[key] for key in CHIPS if key in about), None)
    said = f"{row['runtime']} {notes.get('submitter', '')} {notes.get('system', '')}".lower()
    runtime = next((name for key, name in RUNTIMES if key in said), "")
    if chip is None or not runtime:
        return None
    number = re.match(r"[\d.]+", notes.get("freq", ""))
    clock = chip[2] or (float(number[0]) if number else 0.0)
    if not clock:
        return None
    release = row["source"].rsplit("_", 1)[-1]
    name = chip[0] if chip[2] else f"{chip[0]}@{clock:g}"  # voltage follows the clock there: another operating point
    board, source = f"{release}/{notes['system']}", f"{row['source']} {row['source_path']}"
    return Energy(chip[1], name, runtime, board, row["model"], clock, float(row["latency_ms"]), float(row["energy_mj"]),
                  source)  # fmt: skip


class PowerModel:
    """The process, conditioned on facts: log milliwatts a MHz of anything with a family, chip, runtime and board."""

    def __init__(self, facts: Sequence[Energy], spread: dict[str, float]) -> None:
        self.facts, self.spread = facts, spread
        self.keys = [_keys(f) for f in facts]
        self.center = float(np.median([f.log_power for f in facts])) if facts else 0.0
        covariance = self._kernel(self.keys, self.keys) + np.eye(len(facts)) * spread["noise"] ** 2
        self.inverse: Array = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        self.rest: Array = np.array([f.log_power for f in facts], dtype=np.float64) - self.center
        sign, logarithm = np.linalg.slogdet(covariance)
        self.likelihood = float(-0.5 * (self.rest @ self.inverse @ self.rest + logarithm)) if sign > 0 else -np.inf

    def _kernel(self, left: Sequence[dict[str, str]], right: Sequence[dict[str, str]]) -> Array:
        total = np.full((len(left), len(right)), PRIOR**2)
        for level in LEVELS:
            same = np.array([[bool(a[level]) and a[level] == b[level] for b in right] for a in left])
            total = total + self.spread[level] ** 2 * same.reshape(total.shape)
        return total

    def predict(self, family: str = "", chip: str = "", runtime: str = "", board: str = "") -> tuple[float, float]:
        """Mean and standard deviation of the log power of a run there, the network's noise included."""
        key = {"family": family, "chip": chip, "runtime": f"{chip}:{runtime}" if runtime else "",
               "board": f"{chip}:{board}" if board else ""}  # fmt: skip
        own = PRIOR**2 + sum(self.spread[level] ** 2 for level in LEVELS) + self.spread["noise"] ** 2
        if not self.facts:
            return self.center, own**0.5
        cross = self._kernel([key], self.keys)[0]
        mean = self.center + float(cross @ self.inverse @ self.rest)
        return mean, max(0.0, own - float(cross @ self.inverse @ cross)) ** 0.5


def _keys(fact: Energy) -> dict[str, str]:
    return {"family": fact.family, "chip": fact.chip, "runtime": f"{fact.chip}:{fact.runtime}",
            "board": f"{fact.chip}:{fact.board}"}  # fmt: skip


def best_spread(facts: Sequence[Energy]) -> dict[str, float]:
    """The standard deviations of greatest likelihood."""
    names = (*LEVELS, "noise")
    trials = [dict(zip(names, values, strict=True)) for values in product(*(GRID[name] for name in names))]
    return max(trials, key=lambda spread: PowerModel(facts, spread).likelihood)


def calibration(facts: Sequence[Energy], spread: dict[str, float], level: str) -> float:
    """How many standard deviations hold nine in ten of what is left out: networks of boards, or whole boards."""
    scores = [abs(left_out(facts, spread, fact, level)[2]) for fact in facts]
    rank = min(1.0, COVERED * (1 + 1 / len(scores)))
    return round(max(1.0, float(np.quantile(scores, rank))), 4)


def left_out(facts: Sequence[Energy], spread: dict[str, float], fact: Energy, level: str) -> tuple[float, float, float]:
    """Mean, deviation and standard score of a fact whose network on the board, board or chip is left out."""
    if level == "network":
        rest = [f for f in facts if not (f.chip == fact.chip and f.network == fact.network)]
    else:
        rest = [f for f in facts if getattr(f, level) != getattr(fact, level)]
    known = {"board": ("", ""), "network": (fact.runtime, fact.board)}.get(level, ("", ""))
    runtime = fact.runtime if level == "board" else known[0]
    model = PowerModel(rest, spread)
    chip = fact.chip if level != "chip" else ""
    mean, deviation = model.predict(fact.family, chip, runtime if chip else "", known[1])
    return mean, deviation, (fact.log_power - mean) / deviation


def fit_energy(facts: Sequence[Energy]) -> dict[str, Any]:
    """Parameters of cost_models.energy: what each chip, and runtime on it, draws while it infers."""
    spread = best_spread(facts)
    width = calibration(facts, spread, "board")
    model = PowerModel(facts, spread)
    groups: dict[str, dict[str, Any]] = {}
    for fact in facts:
        for name in (f"{fact.chip}:{fact.runtime}", fact.chip, f"{fact.family}*"):
            if name in groups:
                continue
            whole = {"family": fact.family} if name.endswith("*") else {"family": fact.family, "chip": fact.chip}
            mean, deviation = model.predict(**whole, runtime=fact.runtime if ":" in name else "")
            ends = width * deviation
            members = [f for f in facts if name in (f"{f.chip}:{f.runtime}", f.chip, f"{f.family}*")]
            per_mhz = [round(float(np.exp(mean + shift)), 6) for shift in (0.0, -ends, ends)]
            groups[name] = {"mw_per_mhz": per_mhz, "clock_mhz": fact.clock_mhz, "n": len(members)}
    return {
        "schema": 1,
        "fitted_on": hashlib.sha256(repr([asdict(f) for f in facts]).encode()).hexdigest(),
        "n": len(facts),
        "spread": spread,
        "width": width,
        "groups": dict(sorted(groups.items())),
    }


def read_facts(path: Path) -> list[Energy]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Energy(row["family"], row["chip"], row["runtime"], row["board"], row["network"], float(row["clock_mhz"]),
                   float(row["latency_ms"]), float(row["energy_mj"]), row["source"])
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write_facts(facts: Sequence[Energy], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(facts[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(f) for f in facts)


def refit(measurements: Path | None, networks: Path | None, out: Path) -> list[str]:
    """Write `energy_facts.csv` and `energy.json` below `out`; returns the lines of a report.

    From MLPerf Tiny's table where `measurements` has it, else from the facts carried; networks tell nothing more.
    """
    there = measurements is not None and (measurements / TABLE).is_file()
    facts = extract(measurements) if measurements and there else read_facts(HERE / "energy_facts.csv")
    write_facts(facts, out / "energy_facts.csv")
    (out / "energy.json").write_text(json.dumps(fit_energy(facts), indent=1) + "\n", encoding="utf-8")
    return [f"{len(facts)} published energies of {len({f.chip for f in facts})} chips"]
