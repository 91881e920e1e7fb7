"""The whole question in one call: can this spec be met, what is in the way, what is the cheapest way out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from advisor.feasibility.checks import CHECKS
from advisor.feasibility.checks.base import Evidence, Finding
from advisor.feasibility.chips import ChipOption, passing
from advisor.feasibility.corners import Corner
from advisor.feasibility.given import check_given
from advisor.feasibility.predict import Predicted, finalists, predict, with_predictions, without_trained
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
    """Judges every target of `spec`, and the whole catalogue, for the data `peek` saw; trains nothing.

    Raises:
        ModelFileError, SpecError: a model that the spec names is unfit, as a search would say.
    """
    check_given(spec, peek)
    targets = tuple(_target(spec, target, peek) for target in spec.targets)
    impossible = all(report.impossible for report in targets)
    ways = relaxations(spec, targets, _Asker(spec, peek)) if impossible else ()
    proven = all(report.verdict == "proven infeasible" for report in targets)
    evidence = Evidence(peek, targets)
    findings = tuple(found for check in CHECKS if (found := check.check(spec, evidence)) is not None)
    verdict: Verdict = "proven infeasible" if proven else "possible"
    return Feasibility(spec, peek, verdict, impossible, targets, ways, passing(spec, peek), findings)


class _Asker:
    """Bounds and predictions for changed limits."""

    def __init__(self, spec: Spec, peek: Peek) -> None:
        self._targets = {target.id: target for target in spec.targets}
        self._peek = peek

    def bounds(self, spec: Spec, target: str) -> TargetReport:
        return judge(spec, self._targets[target], self._peek, describe=False)

    def predictions(self, spec: Spec, target: str, only: Corner | None = None) -> list[Predicted]:
        chosen = self._targets[target]
        candidates = finalists(spec, chosen, self._peek) if only is None else [only]
        return predict(without_trained(spec), chosen, candidates, self._peek.frontend_macs) if candidates else []

    def words(self, corner: Corner) -> str:
        return corner.describe(self._peek.classes)


def _target(spec: Spec, target: Target, peek: Peek) -> TargetReport:
    report = with_predictions(judge(spec, target, peek), spec, target, peek)
    if peek.assumed and report.impossible:
        # without data only what holds for every data set is proven
        proven = judge(spec, target, least(spec.task.kind), describe=False).impossible
        return replace(report, verdict="proven infeasible" if proven else "possible")
    return report
