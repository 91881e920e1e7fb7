"""Judging one target: every limit against its best case, what binds, and whether that proves anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advisor.feasibility.bounds import Best, best_cases, figures
from advisor.score import figure
from advisor.space.search_space import SearchSpace, is_opaque, search_space
from advisor.tasks.peek import Peek
from cost_models.estimate import Estimate
from specs.chip import MemoryKind, Target
from specs.errors import ModelFileError, SpecError
from specs.limits import Limit
from specs.spec import Spec

Verdict = Literal["proven infeasible", "possible"]
TRAINED = ("accuracy", "accuracy_drop", "robust_accuracy")
"""Limits that only training can answer."""


@dataclass(frozen=True, slots=True)
class LimitReport:
    """One limit on one target. `best` is the sound best case over the whole search space, never a prediction.

    `expected` is what the cost model predicts for the candidate that does best on this limit; `likely` whether that
    meets the limit at the spec's risk. `scope` tells the spec's limits from what the chip itself has.
    """

    name: str
    label: str
    scope: Literal["spec", "chip"]
    sense: Literal["max", "min"]
    unit: str
    bound: float
    soft: bool
    best: Estimate
    margin: float | None
    candidate: str = ""
    basis: str = ""
    expected: Estimate | None = None
    likely: bool | None = None

    @property
    def met(self) -> bool | None:
        """Whether the best case meets the limit; None where it is not known."""
        return None if self.margin is None else self.margin <= 0

    @property
    def binds(self) -> bool:
        """Hard, and beyond reach of every candidate."""
        return self.met is False and not self.soft


@dataclass(frozen=True, slots=True)
class Joint:
    """The one candidate that comes closest to all cost limits at once, by prediction."""

    candidate: str
    feasible: bool | None
    missed: tuple[str, ...]
    tried: int


@dataclass(frozen=True, slots=True)
class TargetReport:
    """`unsupported` says why nothing runs at all; `unknown` lists what no bound tells, one sentence each.

    `impossible` tells whether some limit is beyond reach for the input looked at; `verdict` whether that is proven for
    any data.
    """

    target: str
    chip: str
    verdict: Verdict
    impossible: bool
    limits: tuple[LimitReport, ...]
    unsupported: str = ""
    unknown: tuple[str, ...] = ()
    joint: Joint | None = None

    @property
    def binding(self) -> tuple[LimitReport, ...]:
        return tuple(limit for limit in self.limits if limit.binds)


def judge(spec: Spec, target: Target, peek: Peek, *, describe: bool = True) -> TargetReport:
    """The bounds of one target, without predictions; `describe=False` leaves the candidates' words out, for speed."""
    try:
        space = search_space(spec, target, peek.shapes, peek.classes)
    except (SpecError, ModelFileError) as error:  # the latter of chips beside the spec's own targets
        why = f"{error.what} (it runs {error.allowed or 'none'})"
        return TargetReport(target.id, target.chip.name, "proven infeasible", True, (), unsupported=why)
    best = best_cases(spec, space)
    metrics = figures(best)
    limits = [_spec_limit(limit, spec, best, figure(limit, spec, metrics), peek, describe) for limit in spec.limits]
    limits += _chip_limits(spec, target, best, peek, describe)
    impossible = any(limit.binds for limit in limits)
    verdict: Verdict = "proven infeasible" if impossible else "possible"
    unknown = tuple(unknowns(spec, space, limits)) if describe else ()
    return TargetReport(target.id, target.chip.name, verdict, impossible, tuple(limits), unknown=unknown)


def unknowns(spec: Spec, space: SearchSpace, limits: list[LimitReport]) -> list[str]:
    """What stays open however good the bounds are."""
    trained = [limit.label for limit in limits if limit.name in TRAINED]
    found = [f"{', '.join(trained)}: not known before training"] if trained else []
    found += [f"{x.label}: {x.best.reason}" for x in limits if x.best.value is None and x.name not in TRAINED]
    opaque = [name for name in space.architectures if is_opaque(name)]
    if opaque:
        found.append(
            f"{', '.join(opaque)}: known after export only, so memory and latency have no bound but the runtime"
        )
    latency = spec.limit("latency")
    if latency and (latency.sustained_ms or latency.ambient_c is not None):
        found.append("latency: whether it holds when the chip is hot is known after measuring on the device")
    if spec.baseline:
        found.append("baseline: run and measured when a search starts; nothing that it dominates is recommended")
    return found


def _spec_limit(
    limit: Limit, spec: Spec, best: dict[str, Best], estimate: Estimate, peek: Peek, describe: bool
) -> LimitReport:
    metric = limit.metric
    if limit.name in TRAINED:
        estimate = Estimate.absent("not known before training")
    case = best.get(metric.name, Best(estimate))
    value = estimate.value
    basis = case.basis
    if value is not None and limit.reserved_bytes:
        basis += ", the memory reserved"
    if value is not None and limit.name == "latency" and limit.scope == "pipeline" and spec.pipeline_ms:
        basis += ", the pipeline's stages"
    return LimitReport(
        limit.name, metric.label, "spec", metric.sense, metric.unit, limit.bound, limit.soft, estimate,
        None if value is None else limit.margin(value),
        case.corner.describe(peek.classes) if describe and case.corner and value is not None else "",
        basis,
    )  # fmt: skip


def _chip_limits(spec: Spec, target: Target, best: dict[str, Best], peek: Peek, describe: bool) -> list[LimitReport]:
    """What the chip has, which no spec can lift: every candidate's need with what the spec reserves."""
    kinds: tuple[tuple[str, str, str, tuple[MemoryKind, MemoryKind]], ...] = (
        ("chip_ram", "peak_ram", "RAM of the chip", ("ram", "dram")),
        ("chip_flash", "flash", "flash of the chip", ("flash", "storage")),
    )
    found = []
    for name, limit_name, label, memories in kinds:
        size = target.chip.memory_bytes(*memories)
        if not size:
            continue  # an external part of any size
        limit = spec.limit(limit_name)
        case = best[f"{name}_bytes"]
        estimate = case.estimate.plus(limit.reserved_bytes if limit else 0)
        margin = None if estimate.value is None else (estimate.value - size) / size
        candidate = case.corner.describe(peek.classes) if describe and case.corner else ""
        found.append(LimitReport(name, label, "chip", "max", "B", float(size), False, estimate, margin, candidate,
                                 case.basis))  # fmt: skip
    return found
