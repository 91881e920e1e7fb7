"""What the sampler is told of a target's candidates before any is trained: costs, limits, features, ids."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from advisor.candidate import Candidate
from advisor.evaluation import OBJECTIVE_METRIC
from advisor.network.description import WEIGHTED, Network
from advisor.score import Metrics, figure
from advisor.search.costing import Pricer
from advisor.space.search_space import SearchSpace, deployed_network
from cost_models.estimate import Estimate

Params = Mapping[str, Any]
Told = TypeVar("Told")
Normal = tuple[float, float]
TWO_SIDED_90 = 2 * 1.6449
TRAINED = ("accuracy", "accuracy_drop", "robust_accuracy")
"""Limits that no cost model knows: trials set their margins, the sampler learns them."""
SMALL = 1e-9
"""Figures are not taken for smaller: they have a logarithm."""


@dataclass
class Prospects:
    """One target's space as the sampler asks about it. What was priced is kept until `recalibrated`."""

    space: SearchSpace
    pricer: Pricer
    _candidates: dict[Hashable, Candidate] = field(default_factory=dict)
    _metrics: dict[str, Metrics | None] = field(default_factory=dict)
    _exported: dict[str, Metrics] = field(default_factory=dict)

    def candidate(self, params: Params) -> Candidate:
        key = tuple(sorted(params.items()))
        if key not in self._candidates:
            self._candidates[key] = self.space.candidate(params)
        return self._candidates[key]

    def ids(self, rows: Sequence[Params]) -> list[str]:
        return [self.candidate(row).id for row in rows]

    def metrics(self, rows: Sequence[Params]) -> list[Metrics | None]:
        """Predicted cost metrics of each; None for opaque networks that were not exported yet."""
        candidates = [self.candidate(row) for row in rows]
        fresh = list({c.id: c for c in candidates if c.id not in self._metrics}.values())
        if fresh:
            told = self.pricer.before_training_many(fresh, self.space.target)
            self._metrics.update({c.id: m for c, m in zip(fresh, told, strict=True)})
        return [self._exported.get(c.id) or self._metrics[c.id] for c in candidates]

    def exported(self, candidate: Candidate, metrics: Metrics) -> None:
        """The figures of an exported file take the place of an absent prediction."""
        if self._metrics.get(candidate.id) is None:
            self._exported[candidate.id] = metrics

    def recalibrated(self, pricer: Pricer) -> None:
        """Price everything anew, with another cost model."""
        self.pricer = pricer
        self._metrics.clear()
        self._exported.clear()

    def costs(self, rows: Sequence[Params], objective: str) -> list[float]:
        """Natural logarithm of an objective's figure; of what only an exported file tells, the middle of the others."""
        found = [None if m is None else log_normal(m.get(OBJECTIVE_METRIC[objective])) for m in self.metrics(rows)]
        told = [pair[0] for pair in found if pair is not None]
        middle = float(np.median(told)) if told else 0.0
        return [middle if pair is None else pair[0] for pair in found]

    def limits(self, rows: Sequence[Params]) -> list[dict[str, Normal]]:
        """By hard limit on a cost: logarithm of the figure over the bound (≤ 0 is met) and its standard deviation."""
        return [{} if metrics is None else self._limits(metrics) for metrics in self.metrics(rows)]

    def _limits(self, metrics: Metrics) -> dict[str, Normal]:
        spec, found = self.pricer.spec, {}
        for limit in spec.limits:
            pair = log_normal(figure(limit, spec, metrics))
            if limit.soft or limit.name in TRAINED or pair is None:
                continue
            bound = math.log(max(limit.bound, SMALL))
            sign = 1.0 if limit.metric.sense == "max" else -1.0
            found[limit.name] = (sign * (pair[0] - bound), pair[1])
        for name, limit_name in (("chip_ram", "peak_ram"), ("chip_flash", "flash")):
            size = metrics.get(f"{name}_size_bytes")
            if size is not None and size.value:
                own = spec.limit(limit_name)
                pair = log_normal(metrics[f"{name}_bytes"].plus(own.reserved_bytes if own else 0))
                if pair is not None:
                    found[name] = (pair[0] - math.log(size.value), pair[1])
        return found

    def features(self, rows: Sequence[Params]) -> list[Mapping[str, Sequence[float]] | None]:
        """Numbers that accuracy depends on, in groups; None for opaque networks."""
        return [self._features(row) for row in rows]

    def _features(self, row: Params) -> Mapping[str, Sequence[float]] | None:
        candidate = self.candidate(row)
        network = deployed_network(candidate, self.space.classes)
        if network is None:
            return None
        return {
            "size": size_features(network),
            "shape": shape_features(network),
            "architecture": [float(candidate.architecture == name) for name in self.space.architectures],
            "compression": [*(float(candidate.quantization == name) for name in self.space.quantization),
                            float(np.mean(candidate.pruning)) if candidate.pruning else 0.0],
        }  # fmt: skip


@dataclass(frozen=True)
class Ask(Generic[Told]):
    """A function of one candidate that answers for many at once, as the sampler asks."""

    many: Callable[[Sequence[Params]], Sequence[Told]]

    def __call__(self, params: Params) -> Told:
        return self.many([params])[0]


def log_normal(estimate: Estimate | None) -> Normal | None:
    """Mean and standard deviation of the logarithm of a figure, from its 90 % interval; None where it is absent."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    value = math.log(max(estimate.value, SMALL))
    if estimate.source in ("measured", "computed") or estimate.low <= 0 or estimate.high <= estimate.low:
        return value, 0.0
    return value, math.log(estimate.high / estimate.low) / TWO_SIDED_90


def size_features(network: Network) -> list[float]:
    """Logarithms of weights, of multiplications, of the final channels; the number of weighted layers."""
    weights = macs = 0.0
    for layer in network.layers:
        if layer.kind in WEIGHTED:
            size = float(np.prod(network.kernel_shape(layer)))
            height, width, _ = network.shapes[layer.name]
            weights += size
            macs += size * height * width
    last = max((network.shapes[la.name][2] for la in network.layers if la.kind in ("conv", "dwconv")), default=1)
    count = sum(layer.kind in WEIGHTED for layer in network.layers)
    return [math.log(weights + 1), math.log(macs + 1), math.log(last), math.log(count + 1)]


def shape_features(network: Network) -> list[float]:
    """Over four stretches of the depth: mean logarithm of channels and of positions, mean kernel extent."""
    layers = [layer for layer in network.layers if layer.kind in ("conv", "dwconv")]
    found = []
    for part in np.array_split(np.arange(len(layers)), 4):
        some = [layers[i] for i in part]
        shapes = [network.shapes[layer.name] for layer in some] or [(1, 1, 1)]
        found += [
            float(np.mean([math.log(s[2]) for s in shapes])),
            float(np.mean([math.log(s[0] * s[1]) for s in shapes])),
            float(np.mean([math.prod(layer.kernel) ** 0.5 for layer in some])) if some else 1.0,
        ]
    return found
