"""The whole question in one call: can this spec be met, what is in the way, what is the cheapest way out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from advisor.feasibility.checks import CHECKS
from advisor.feasibility.checks.base import Evidence, Finding
from advisor.feasibility.chips import ChipOption, passing
from advisor.feasibility.predict import with_predictions
from advisor.feasibility.relax import Relaxation, relaxations
from advisor.feasibility.verdict import TargetReport, Verdict, judge
from advisor.tasks.peek import Peek, least
from specs.chip import Target
from specs.spec import Spec

INFEASIBLE_STATUS = 3


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The answer. `impossible`: no target can, for the input looked at; `verdict`: whether that is proven for any data.

    `relaxations` are there when it is impossible, `chips` always: the catalogue's other targets that pass, by price.
    """

    spec: Spec
    peek: Peek
    verdict: Verdict
    impossible: bool
    targets: tuple[TargetReport, ...]
    relaxations: tuple[Relaxation, ...]
    chips: tuple[ChipOption, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        return INFEASIBLE_STATUS if self.verdict == "proven infeasible" else 0


def assess(spec: Spec, peek: Peek) -> Feasibility:
    """Judges every target of `spec`, and the whole catalogue, for the data `peek` saw; trains nothing."""
    targets = tuple(_target(spec, target, peek) for target in spec.targets)
    impossible = all(report.impossible for report in targets)
    by_id = {target.id: target for target in spec.targets}

    def ask(changed: Spec, target: str) -> TargetReport:
        return judge(changed, by_id[target], peek, describe=False)

    ways = relaxations(spec, targets, ask) if impossible else ()
    proven = all(report.verdict == "proven infeasible" for report in targets)
    evidence = Evidence(peek, targets)
    findings = tuple(found for check in CHECKS if (found := check.check(spec, evidence)) is not None)
    verdict: Verdict = "proven infeasible" if proven else "possible"
    return Feasibility(spec, peek, verdict, impossible, targets, ways, passing(spec, peek), findings)


def _target(spec: Spec, target: Target, peek: Peek) -> TargetReport:
    report = with_predictions(judge(spec, target, peek), spec, target, peek)
    if peek.assumed and report.impossible:
        # without data only what holds for every data set is proven
        proven = judge(spec, target, least(spec.task.kind), describe=False).impossible
        return replace(report, verdict="proven infeasible" if proven else "possible")
    return report
