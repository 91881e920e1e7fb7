"""What is known of one candidate on one target: the row of the ledger that fronts and reports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from advisor.candidate import Candidate
from cost_models.estimate import Estimate

Fidelity = Literal["none", "cheap", "short", "full"]
Status = Literal["skipped", "ranked", "done", "failed", "given"]
OBJECTIVE_METRIC = {
    "accuracy": "accuracy",
    "latency": "latency_ms",
    "energy": "energy_mj",
    "peak_ram": "peak_ram_bytes",
    "flash": "flash_bytes",
}
"""A spec's objective to the metric it optimises."""
FIDELITIES: tuple[Fidelity, ...] = ("none", "cheap", "short", "full")


@dataclass(frozen=True)
class Evaluation:
    """`skipped`: a hard limit could not be met, so nothing was trained. `failed`: `reason` says how. `ranked`: trained
    to be compared with others on its rung, without an artifact; never on a front. `given`: the user's
    baseline, shown beside the front.

    `metrics` are named as in `specs.limits.METRICS`, plus `macs`, `params`, `model_bytes`, `arena_bytes`.
    `accuracy` is the task's metric of the exported artifact on the validation split; `test_accuracy` appears once the
    candidate was reported. `artifact` is relative to the run directory.
    """

    candidate: Candidate
    target: str
    fidelity: Fidelity
    status: Status
    metrics: Mapping[str, Estimate]
    reason: str = ""
    trial: int | None = None
    artifact: str = ""
    artifact_sha256: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Float accuracy before compression, seconds trained, SQNR against the float parent, notes."""

    @property
    def id(self) -> str:
        return self.candidate.id

    def metric(self, name: str) -> Estimate:
        return self.metrics.get(name) or Estimate.absent("not evaluated")

    def to_dict(self) -> dict[str, Any]:
        return {
            "candidate": self.candidate.to_dict(),
            "target": self.target,
            "fidelity": self.fidelity,
            "status": self.status,
            "metrics": {name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "reason": self.reason,
            "trial": self.trial,
            "artifact": self.artifact,
            "artifact_sha256": self.artifact_sha256,
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """What `to_dict` gave; raises KeyError, TypeError, ValueError or SpecError for anything else."""
        return cls(
            Candidate.from_dict(data["candidate"]),
            data["target"],
            data["fidelity"],
            data["status"],
            {name: Estimate.from_dict(value) for name, value in data["metrics"].items()},
            data["reason"],
            data["trial"],
            data["artifact"],
            data["artifact_sha256"],
            data["details"],
        )
