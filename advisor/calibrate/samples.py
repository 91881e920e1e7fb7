"""The timings of a calibration as they come, one JSON line each: an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from advisor.measure.many import Timing

MAX_FILE_BYTES = 64 << 20
DISAGREE = 0.08


@dataclass(frozen=True, slots=True)
class Sample:
    """One timing of one item. `round`: which of the spaced passes; `cpu` and `version` tell what it was taken on."""

    item: str
    round: int
    cpu: str
    timing: Timing


class SampleFile:
    """Samples on disk; lines that cannot be read (a torn last one, another version's) are passed over."""

    def __init__(self, path: Path, cpu: str, version: str) -> None:
        self.path, self.cpu, self.version = path, cpu, version
        self.samples: dict[tuple[str, int], Sample] = {}
        for line in _lines(path):
            sample = _parsed(line)
            if sample is not None and sample.cpu == cpu and (sample.timing.version == version or sample.timing.error):
                self.samples[(sample.item, sample.round)] = sample

    def append(self, timing: Timing, round: int) -> None:
        sample = Sample(timing.id, round, self.cpu, timing)
        self.samples[(timing.id, round)] = sample
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sample), separators=(",", ":")) + "\n")

    def calm_ns(self, precision: str) -> float | None:
        """What the reference takes on the undisturbed machine: the quicker of what it took so far."""
        found = sorted(s.timing.reference_ns for s in self.samples.values()
                       if f"-{precision}" in s.item and not s.timing.error)  # fmt: skip
        return found[len(found) // 10] if found else None

    def clear(self) -> None:
        self.samples.clear()
        self.path.unlink(missing_ok=True)

    def of(self, item: str) -> list[Timing]:
        """The valid timings of an item, one a round."""
        found = sorted((s for s in self.samples.values() if s.item == item), key=lambda s: s.round)
        return [s.timing for s in found if not s.timing.error]

    def disagree(self, item: str) -> bool:
        """Whether an item's rounds differ so much that another one has to decide."""
        ratios = sorted(t.ratio for t in self.of(item))
        return len(ratios) > 1 and ratios[-1] / ratios[0] > 1 + DISAGREE


def _lines(path: Path) -> Iterable[str]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return []
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _parsed(line: str) -> Sample | None:
    try:
        data: dict[str, Any] = json.loads(line)
        timing = data["timing"]
        timing["nodes"] = tuple(tuple(node) for node in timing["nodes"])
        return Sample(data["item"], int(data["round"]), data["cpu"], Timing(**timing))
    except (ValueError, KeyError, TypeError):
        return None
