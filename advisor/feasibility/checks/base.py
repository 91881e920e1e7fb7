"""What a check is: one coded remark on a spec and its bounds, or None where it does not apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from advisor.feasibility.verdict import LimitReport, TargetReport
from advisor.tasks.peek import Peek
from specs.chip import Target
from specs.spec import Spec

Severity = Literal["info", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`info`: good to know; `warning`: probably not what was meant; `problem`: in the way."""

    code: str
    severity: Severity
    title: str
    text: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out before the checks run."""

    peek: Peek
    targets: tuple[TargetReport, ...]

    def limits(self, name: str) -> list[tuple[TargetReport, LimitReport]]:
        """The limit of that name on every target."""
        return [(report, limit) for report in self.targets for limit in report.limits if limit.name == name]


class Check(Protocol):
    code: str
    title: str

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None: ...


def on(targets: list[Target]) -> tuple[str, ...]:
    return tuple(target.id for target in targets)
