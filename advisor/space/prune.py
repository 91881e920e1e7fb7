"""Structured pruning as a map from a `Network` to a smaller one, and of its weights to theirs.

Channels that an addition or a gate ties together are pruned together (one group, found by union-find); the kept
channels are those with the largest L1 norm summed over the group's kernels (Li et al. 2017, "Pruning Filters for
Efficient ConvNets").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from advisor.network.description import Layer, Network

Weights = Mapping[str, NDArray[np.float32]]
"""`LAYER.kernel`, `LAYER.bias`, and while training `LAYER.gamma/.beta/.mean/.var` of the normalisation."""


def prune(network: Network, ratios: Sequence[float]) -> Network:
    """The network with the share `ratios[stage]` of every prunable group's channels removed.

    Groups keep at least 4 channels and a multiple of 4 where they had one; the input and the classes stay.
    """
    if not any(ratios):
        return network
    owner = _owners(network)
    keep = {root: _kept(size, ratio) for root, size, ratio in _groups(network, owner, ratios)}
    layers = []
    for layer in network.layers:
        out = keep.get(owner[layer.name], layer.out) if layer.kind in ("conv", "dwconv") else layer.out
        layers.append(layer if out == layer.out else replace(layer, out=out))
    return replace(network, layers=tuple(layers))


def prune_weights(network: Network, weights: Weights, smaller: Network) -> dict[str, NDArray[np.float32]]:
    """The weights of `smaller` (made by `prune` from `network`), inherited from those of `network`."""
    owner = _owners(network)
    chosen: dict[str, NDArray[np.intp]] = {}
    for layer in network.layers:
        if layer.kind != "conv":
            continue
        root = owner[layer.name]
        members = [la for la in network.layers if la.kind in ("conv", "dwconv") and owner[la.name] == root]
        kept = smaller.layer(layer.name).out
        if root not in chosen:
            norms = np.sum([_norms(weights, la) for la in members], axis=0)
            chosen[root] = np.sort(np.argsort(-norms, kind="stable")[:kept])
    result: dict[str, NDArray[np.float32]] = {}
    for layer in network.layers:
        if layer.kind not in ("conv", "dwconv", "dense"):
            continue
        outs = chosen.get(owner[layer.name]) if layer.kind != "dense" else None
        ins = _input_channels(network, layer, owner, chosen)
        for key, value in weights.items():
            name, _, part = key.rpartition(".")
            if name != layer.name:
                continue
            if outs is not None:
                value = value[outs]
            if part == "kernel" and ins is not None and layer.kind != "dwconv":
                value = value[:, ins]
            result[key] = np.ascontiguousarray(value)
    return result


def _norms(weights: Weights, layer: Layer) -> NDArray[np.float64]:
    kernel = weights[f"{layer.name}.kernel"]
    norm = np.abs(kernel).reshape(len(kernel), -1).mean(axis=1)
    gamma = weights.get(f"{layer.name}.gamma")
    return np.asarray(norm if gamma is None else norm * np.abs(gamma), np.float64)


def _input_channels(
    network: Network, layer: Layer, owner: dict[str, str], chosen: dict[str, NDArray[np.intp]]
) -> NDArray[np.intp] | None:
    source = layer.inputs[0]
    kept = chosen.get(owner[source])
    if kept is None:
        return None
    channels = network.shapes[source][2]
    before = _channels_of(network, source)
    # flatten after a map larger than 1×1 repeats the channels, position by position
    return np.concatenate([kept + before * i for i in range(channels // before)])


def _channels_of(network: Network, name: str) -> int:
    while name != "input" and network.layer(name).kind == "flatten":
        name = network.layer(name).inputs[0]
    return network.shapes[name][2]


def _owners(network: Network) -> dict[str, str]:
    """For every layer the representative of the channels it puts out; `input` for those of the input."""
    parent: dict[str, str] = {"input": "input"}
    order = {"input": -1} | {layer.name: i for i, layer in enumerate(network.layers)}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for layer in network.layers:
        parent[layer.name] = layer.name
        if layer.kind in ("conv", "dense"):
            continue
        for source in layer.inputs:
            # the earlier one represents: `input` before all, then in order of execution
            first, second = sorted((find(layer.name), find(source)), key=order.__getitem__)
            parent[second] = first
    return {name: find(name) for name in parent}


def _groups(network: Network, owner: Mapping[str, str], ratios: Sequence[float]) -> list[tuple[str, int, float]]:
    found = {}
    for layer in network.layers:
        if layer.kind == "conv" and owner[layer.name] not in found and owner[layer.name] != "input":
            found[owner[layer.name]] = (owner[layer.name], layer.out, ratios[min(layer.stage, len(ratios) - 1)])
    return list(found.values())


def _kept(size: int, ratio: float) -> int:
    step = 4 if size % 4 == 0 else 1
    return min(size, max(4, round(size * (1 - ratio) / step) * step))
