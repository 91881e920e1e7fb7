"""Compression that pays: which quantization recipes a target gains nothing from, and why.

A recipe stays when, against fp32 at the same network, it makes better what the spec asks for: an objective, or a limit
that fp32 breaks somewhere. Slower but needed for the flash stays; smaller where nobody asked for it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist, median

from advisor.candidate import PRECISION, Candidate
from advisor.evaluation import OBJECTIVE_METRIC, Evaluation
from advisor.score import Margin, margins
from cost_models.estimate import Estimate
from specs.chip import Target
from specs.limits import METRICS
from specs.spec import Spec

MIN_GAIN = 0.02
"""A gain below this share is none: nobody trades accuracy for it."""
DOUBT = 0.2
"""A recipe is dropped only where a gain is less likely than this: a wrong drop costs more than a few trials."""
SHARED_ERROR = 0.75
"""Correlation assumed between the errors of one model on two precisions of one network: same operators, same memory,
other kernels."""
MIN_PAIRS = 3
"""Measured pairs from which measurements decide."""
REFERENCE = "fp32"

Figures = Mapping[str, Estimate]
Price = Callable[[Candidate, Target], Figures | None]
"""Such as `Pricer.before_training`: the metrics of a candidate before it is trained, None where unknown."""
_NOT_OF_COST = ("accuracy", "accuracy_drop", "robust_accuracy", "unit_cost")


def unprofitable(
    spec: Spec, target: Target, candidates: Iterable[Candidate], quantizations: Sequence[str], price: Price
) -> dict[str, str]:
    """Of `quantizations` those without profit on `target`, each with its reason, by what they are priced at.

    `candidates` are networks of the space, whatever their quantization: its anchors and its largest. Nothing is
    dropped where fp32 is not among the choices or no price is known.
    """
    if REFERENCE not in quantizations:
        return {}
    networks = {candidate.structure: candidate for candidate in candidates}.values()
    dropped = {}
    for quantization in quantizations:
        if quantization == REFERENCE:
            continue
        pairs = []
        for candidate in networks:
            plain = price(replace(candidate, quantization=REFERENCE), target)
            found = price(replace(candidate, quantization=quantization), target)
            if plain is not None and found is not None:
                pairs.append((plain, found))
        reason = _no_profit(spec, pairs)
        if reason:
            dropped[quantization] = reason
    return dropped


def unprofitable_measured(spec: Spec, target: Target, evaluations: Iterable[Evaluation]) -> dict[str, str]:
    """The same from the run itself: candidates measured on the target in a recipe and in fp32."""
    by_structure: dict[str, dict[str, Figures]] = {}
    for evaluation in evaluations:
        if evaluation.target == target.id and evaluation.metric("latency_ms").source == "measured":
            candidate = evaluation.candidate
            by_structure.setdefault(candidate.structure, {})[candidate.quantization] = evaluation.metrics
    dropped = {}
    for quantization in PRECISION:
        pairs = [
            (found[REFERENCE], found[quantization])
            for found in by_structure.values()
            if REFERENCE in found and quantization in found
        ]
        if quantization == REFERENCE or len(pairs) < MIN_PAIRS:
            continue
        reason = _no_profit(spec, pairs)
        if reason:
            dropped[quantization] = reason
    return dropped


def headroom(spec: Spec, int8: Figures) -> tuple[float, float]:
    """Bytes of flash and of RAM the hard limits leave beyond the int8 metrics of a candidate; infinite without limit.

    What mixed precision may cost (`advisor.evaluate.Request.headroom`).
    """
    left = {"flash": math.inf, "chip_flash": math.inf, "peak_ram": math.inf, "chip_ram": math.inf}
    for margin in margins(spec, int8):
        if margin.limit in left and not margin.soft and margin.estimate.value is not None:
            left[margin.limit] = max(0.0, margin.bound - margin.estimate.value)
    return min(left["flash"], left["chip_flash"]), min(left["peak_ram"], left["chip_ram"])


def _no_profit(spec: Spec, pairs: Sequence[tuple[Figures, Figures]]) -> str:
    """Why nothing the spec asks for becomes better from the first to the second of each pair; empty where it does."""
    if not pairs:
        return ""
    for plain, found in pairs:
        if _needed(spec, plain, found):
            return ""
    said = []
    for name in _asked(spec):
        chances = [_chance(name, plain, found) for plain, found in pairs]
        known = [chance for chance in chances if chance is not None]
        if not known:
            continue
        if sum(known) / len(known) >= DOUBT:
            return ""
        said.append(_said(name, pairs))
    limits = [name for name in ("latency", "energy", "peak_ram", "flash") if spec.limit(name)]
    kept = f"fp32 meets the limits on {', '.join(limits)}" if limits else "no limit asks for it"
    gain = "; ".join(said) if said else "no cost is an objective"
    return f"{gain}; {kept} ({len(pairs)} networks)"


def _asked(spec: Spec) -> list[str]:
    """Metrics of cost the spec wants low or high, by its objectives."""
    return [OBJECTIVE_METRIC[name] for name in spec.objectives if name not in _NOT_OF_COST]


def _needed(spec: Spec, plain: Figures, found: Figures) -> bool:
    """Whether a limit of cost that fp32 breaks, or is not known to meet, is met or less broken by the other."""
    better = {margin.limit: margin for margin in _cost_margins(spec, found)}
    for margin in _cost_margins(spec, plain):
        other = better.get(margin.limit)
        if margin.value is None or other is None or other.value is None:
            continue
        if margin.value > 0 and other.value < margin.value - MIN_GAIN:
            return True
    return False


def _cost_margins(spec: Spec, metrics: Figures) -> list[Margin]:
    return [margin for margin in margins(spec, metrics) if margin.limit not in _NOT_OF_COST]


def _chance(name: str, plain: Figures, found: Figures) -> float | None:
    """Probability that `found` is better by at least MIN_GAIN, from both intervals; None where one is absent."""
    first, second = plain.get(name), found.get(name)
    if first is None or second is None or not first.value or not second.value:
        return None
    if (first.low, first.value, first.high) == (second.low, second.value, second.high):
        return 0.0  # computed alike, such as half precision on CPUs: not two figures in doubt, but one
    sign = 1 if METRICS[name].sense == "max" else -1
    gain = sign * math.log(first.value / second.value) - MIN_GAIN
    a, b = _spread(first), _spread(second)
    spread = math.sqrt(max(0.0, a * a + b * b - 2 * _shared(first, second) * a * b))
    return float(gain > 0) if spread < 1e-9 else NormalDist().cdf(gain / spread)


def _shared(first: Estimate, second: Estimate) -> float:
    return 0.0 if "measured" in (first.source, second.source) else SHARED_ERROR


def _spread(estimate: Estimate) -> float:
    """Standard deviation of the logarithm, from the 90 % interval."""
    if not estimate.low or not estimate.high or estimate.high <= estimate.low:
        return 0.0
    return math.log(estimate.high / estimate.low) / (2 * NormalDist().inv_cdf(0.95))


def _said(name: str, pairs: Sequence[tuple[Figures, Figures]]) -> str:
    ratios = []
    sources = set()
    for plain, found in pairs:
        first, second = plain.get(name), found.get(name)
        if first is not None and second is not None and first.value and second.value:
            ratios.append(second.value / first.value)
            sources.add(second.source)
    return f"{METRICS[name].label} {median(ratios):.2f} times that of fp32 ({', '.join(sorted(sources))})"
