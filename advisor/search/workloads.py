"""Workloads of one target's evaluations, each read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from advisor.evaluation import Evaluation
from advisor.space.search_space import workload_of
from cost_models.read import read_workload
from cost_models.workload import Workload
from specs.errors import AdvisorError
from specs.spec import Spec


@dataclass
class Workloads:
    """`folder` is the run's; `runtime` what its target's files are for."""

    spec: Spec
    classes: int
    runtime: str
    folder: Path
    _read: dict[tuple[str, str], Workload | None] = field(default_factory=dict)

    def of(self, row: Evaluation) -> Workload | None:
        """Of the exported file, or as the converter will write it; None where neither tells."""
        key = row.id, row.artifact
        if key not in self._read:
            self._read[key] = self._found(row)
        return self._read[key]

    def known(self, rows: Iterable[Evaluation]) -> tuple[list[Evaluation], list[Workload]]:
        """Those of the rows that have one, and theirs."""
        pairs = [(row, self.of(row)) for row in rows]
        some = [(row, workload) for row, workload in pairs if workload is not None]
        return [row for row, _ in some], [workload for _, workload in some]

    def _found(self, row: Evaluation) -> Workload | None:
        try:
            if row.artifact:
                return read_workload(self.folder / row.artifact)
            return workload_of(row.candidate, self.classes, self.runtime, self.spec.folder)
        except (AdvisorError, OSError):
            return None  # a file that is gone or damaged: its figures stay as they were
