"""Remarks on limits: what is unlimited, tight, or cannot be told apart from overhead."""

from __future__ import annotations

from advisor.feasibility.bounds import format_of
from advisor.feasibility.checks.base import Evidence, Finding
from advisor.feasibility.corners import corners
from advisor.space.search_space import search_space
from cost_models.layered import LayeredModel
from cost_models.workload import Operator, Tensor, Workload
from specs.chip import Precision, Target
from specs.errors import ModelFileError, SpecError
from specs.limits import LIMIT_METRIC, METRICS
from specs.spec import Spec
from specs.units import human

MOST_RESERVED = 0.8
"""Share of a memory limit that may be reserved without a remark."""
_NEEDS_BASELINE = "accuracy_drop"


class Unlimited:
    code, title = "EA003", "not limited"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        absent = [name for name in LIMIT_METRIC if spec.limit(name) is None]
        absent = [name for name in absent if name != _NEEDS_BASELINE or spec.baseline]
        if not absent:
            return None
        names = ", ".join(METRICS[LIMIT_METRIC[name]].label for name in absent)
        return Finding(self.code, "info", self.title, f"the spec leaves these free: {names}")


class Reserved:
    code, title = "EA004", "most of a memory limit is reserved"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        texts = [
            f"{limit.metric.label}: {human(limit.reserved_bytes, 'B')} of {human(limit.bound, 'B')} are reserved, "
            f"{human(limit.bound - limit.reserved_bytes, 'B')} are left for the model"
            for limit in spec.limits
            if limit.reserved_bytes > MOST_RESERVED * limit.bound
        ]
        return Finding(self.code, "warning", self.title, "; ".join(texts)) if texts else None


class CallOverhead:
    code, title = "EA005", "latency limit below the runtime's overhead"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        limit = spec.limit("latency")
        if limit is None:
            return None
        texts, names = [], []
        for target in spec.targets:
            overhead = overhead_ms(spec, target, evidence)
            if overhead is not None and overhead > limit.bound:
                texts.append(f"{target.id}: calling the operators of the shortest network takes some "
                             f"{human(overhead, 'ms')} (predicted) before any arithmetic")  # fmt: skip
                names.append(target.id)
        if not texts:
            return None
        return Finding(self.code, "problem", self.title, "; ".join(texts), tuple(names))


class Tight:
    code, title = "EA006", "possible, but predicted to miss"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        texts, names = [], []
        for report in evidence.targets:
            missed = [x.label for x in report.limits if not x.soft and x.met is not False and x.likely is False]
            if missed and not report.impossible:
                texts.append(f"{report.target}: no bound rules it out, but even the best small candidates are "
                             f"predicted to miss {', '.join(missed)}")  # fmt: skip
                names.append(report.target)
        return Finding(self.code, "warning", self.title, "; ".join(texts), tuple(names)) if texts else None


class Together:
    code, title = "EA007", "each limit alone, but not together"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        texts, names = [], []
        for report in evidence.targets:
            joint = report.joint
            if report.impossible or joint is None or joint.feasible is not False:
                continue
            if any(x.likely is False and not x.soft for x in report.limits):
                continue  # one limit alone is missed already
            texts.append(f"{report.target}: of {joint.tried} small candidates none is predicted to meet all limits at "
                         f"once; the nearest misses {', '.join(joint.missed)}. Not a proof")  # fmt: skip
            names.append(report.target)
        return Finding(self.code, "warning", self.title, "; ".join(texts), tuple(names)) if texts else None


def overhead_ms(spec: Spec, target: Target, evidence: Evidence) -> float | None:
    """What the runtime predictably takes to call the operators of the shortest network, their arithmetic left out."""
    try:
        space = search_space(spec, target, evidence.peek.shapes, evidence.peek.classes)
    except (SpecError, ModelFileError):
        return None
    found = [corner.workload for corner in corners(space, format_of(target)) if corner.workload is not None]
    if not found:
        return None
    shortest = min(found, key=lambda workload: len(workload.operators))
    chains = [_calls(count, shortest.precision) for count in (1, 2)]
    one, two = (costs.metrics["latency_ms"].value for costs in LayeredModel().predict(chains, target))
    return None if one is None or two is None else one + (two - one) * (len(shortest.operators) - 1)


def _calls(count: int, precision: Precision) -> Workload:
    """A chain of operators on one element, which cost their calls and nothing else worth a figure."""
    tensors = tuple(Tensor((1,), 8) for _ in range(count + 1))
    chain = tuple(Operator("activation", f"call{i}", (i,), (i + 1,)) for i in range(count))
    return Workload("calls", tensors, chain, (0,), (count,), precision)
