"""What int8 costs each layer, and which layers to keep in float where the budget allows: mixed precision.

Simulated on the float network (`fake_quant`), without labels: noise is what differs from the float network's logits.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from advisor.build.fake_quant import FakeQuant, Scheme, points, rounded_points, same_grid, without_norms
from advisor.build.train import logits
from advisor.network.description import FUSED, WEIGHTED, Layer, Network
from advisor.network.to_torch import to_torch
from advisor.network.weights import Array, Weights

FLOAT_MACS = 0.75
"""Share of the multiply-accumulates that may stay in float: with more it is a float network with int8 tails."""
MIN_GAIN = 0.2
"""Of the noise: a group that takes less away does not stand out, and is not worth its conversions."""
MAX_STEPS = 8
"""Groups of layers kept at most: each costs two conversions of a tensor at its borders."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What quantizing this layer alone does to the logits (weights, and what it writes; `input`: the input tensor)."""

    layer: str
    sqnr_db: float
    """10·log10(Σ logits² / Σ noise²); 200 without noise."""
    divergence: float
    """Mean KL divergence of the class probabilities from the float network's, in nats: the loss it adds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What mixed precision may cost beyond int8."""

    flash_bytes: float = math.inf
    ram_bytes: float = math.inf
    float_macs: float = FLOAT_MACS


@dataclass(frozen=True, slots=True)
class Mixed:
    """The layers kept in float, with what that costs beyond int8 and gains on the samples."""

    floating: tuple[str, ...]
    flash_bytes: int
    ram_bytes: int
    float_macs: float
    disagreement: float
    """Share of samples whose class differs from the float network's."""
    int8_disagreement: float


def sensitivities(network: Network, folded: Weights, samples: Array, scheme: Scheme) -> list[Sensitivity]:
    """One entry a layer with a grid of its own, and one for the input, the most sensitive first.

    What a pooling loses on the grid of its source counts as the source's.
    """
    probe = _Probe(network, folded, samples, scheme)
    found = [probe.alone("input", (), ("input",))]
    for layer in network.layers:
        if not same_grid(layer, scheme):
            weights = [layer.name] if layer.kind in WEIGHTED else []
            found.append(probe.alone(layer.name, weights, _written(layer)))
    return sorted(found, key=lambda s: (-s.divergence, s.sqnr_db))


def choose_float(
    network: Network, folded: Weights, samples: Array, scheme: Scheme, allowed: float, budget: Budget | None = None
) -> Mixed:
    """The layers to keep in float: group by group the one that takes most noise away, until at most the share
    `allowed` of the samples changes class, the budget is used or none stands out. Where int8 changes hardly a class,
    still the first group that stands out.
    """
    budget = budget or Budget()
    probe = _Probe(network, folded, samples, scheme)
    floating: frozenset[str] = frozenset()
    noise, before = probe.noise(floating)
    changed = before
    for _ in range(MAX_STEPS):
        steps = []
        for group in _groups(network, scheme):
            grown = floating | group
            if grown == floating or not _fits(network, scheme, grown, budget):
                continue
            left, share = probe.noise(grown)
            steps.append((left, len(grown), sorted(grown), share))
        if not steps:
            break
        left, _, names, share = min(steps)
        if left > (1 - MIN_GAIN) * noise:
            break
        floating, noise, changed = frozenset(names), left, share
        if changed <= allowed:
            break
    flash, ram, macs = _extra(network, scheme, floating)
    rounded = rounded_points(network, scheme, floating)
    grid = points(network, scheme)
    kept = tuple(
        la.name
        for la in network.layers
        if la.name in floating or (floating and same_grid(la, scheme) and grid[la.name] not in rounded)
    )
    return Mixed(kept, flash, ram, macs, changed, before)


class _Probe:
    """The float network's logits on some samples, and how far a partly rounded network is from them."""

    def __init__(self, network: Network, folded: Weights, samples: Array, scheme: Scheme) -> None:
        self._network, self._scheme = network, scheme
        self._wanted = logits(to_torch(without_norms(network), folded), samples).astype(np.float64)
        self._module = FakeQuant(network, folded, samples, scheme)

    def alone(self, name: str, weights: Collection[str], tensors: Collection[str]) -> Sensitivity:
        noise, found = self._with(frozenset(weights), frozenset(tensors))
        sqnr = 200.0 if noise == 0 else 10 * math.log10(max(float(np.sum(self._wanted**2)), 1e-30) / noise)
        wanted, other = (F.log_softmax(torch.from_numpy(v), 1) for v in (self._wanted, found))
        return Sensitivity(name, sqnr, float(F.kl_div(other, wanted, reduction="batchmean", log_target=True)))

    def noise(self, floating: Collection[str]) -> tuple[float, float]:
        """Squared noise of the logits, and the share of samples whose class changes, with these layers in float."""
        weighted = {layer.name for layer in self._network.layers if layer.kind in WEIGHTED}
        kept = rounded_points(self._network, self._scheme, floating)
        noise, found = self._with(frozenset(weighted - set(floating)), kept)
        return noise, float((found.argmax(1) != self._wanted.argmax(1)).mean())

    def _with(self, weights: frozenset[str], tensors: frozenset[str]) -> tuple[float, NDArray[np.float64]]:
        self._module.rounded_weights, self._module.rounded_points = weights, tensors
        with torch.no_grad():
            found = self._module(self._module.samples).numpy().astype(np.float64)
        return float(np.sum((found - self._wanted) ** 2)), found


def _groups(network: Network, scheme: Scheme) -> list[frozenset[str]]:
    """Layers worth keeping in float together: each alone (its weights), and each with all readers of what it writes,
    because a tensor stays in 8 bits as long as one int8 layer reads or writes it."""
    grid = points(network, scheme)
    found: dict[frozenset[str], None] = {}
    for name in ("input", *(la.name for la in network.layers if not same_grid(la, scheme))):
        readers = {
            la.name for la in network.layers if not same_grid(la, scheme) and name in {grid[n] for n in la.inputs}
        }
        own = set() if name == "input" else {name}
        for group in (own, own | readers):
            if group:
                found[frozenset(group)] = None
    return list(found)


def _fits(network: Network, scheme: Scheme, floating: Collection[str], budget: Budget) -> bool:
    flash, ram, macs = _extra(network, scheme, floating)
    return flash <= budget.flash_bytes and ram <= budget.ram_bytes and macs <= budget.float_macs


def _extra(network: Network, scheme: Scheme, floating: Collection[str]) -> tuple[int, int, float]:
    """Bytes of flash and of RAM beyond int8, and the share of multiply-accumulates in float."""
    macs = dict.fromkeys((True, False), 0)
    flash = 0
    for layer in network.layers:
        if layer.kind in WEIGHTED:
            elements = math.prod(network.kernel_shape(layer))
            height, width, _ = network.shapes[layer.name]
            macs[layer.name in floating] += elements * height * width
            flash += 3 * elements * (layer.name in floating)
    ram = _peak(network, scheme, floating) - _peak(network, scheme, ())
    return flash, ram, macs[True] / max(1, sum(macs.values()))


def _peak(network: Network, scheme: Scheme, floating: Collection[str]) -> int:
    """Bytes of the largest step: what a layer reads and writes, in float where it computes in float."""
    grid, rounded = points(network, scheme), rounded_points(network, scheme, floating)
    return max(
        sum(
            math.prod(network.shapes[name]) * (4 if layer.name in floating or grid[name] not in rounded else 1)
            for name in (*layer.inputs, layer.name)
        )
        for layer in network.layers
    )


def _written(layer: Layer) -> tuple[str, ...]:
    return (layer.name,) if layer.activation in FUSED else (layer.name, f"{layer.name}.linear")
