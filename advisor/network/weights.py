"""Weights of a network by layer name, in numpy: folding of the normalisation, and a safe file format.

Keys while training: `LAYER.kernel`, `LAYER.gamma/.beta/.mean/.var` with normalisation, `LAYER.bias` without.
Folded: `LAYER.kernel` and `LAYER.bias` for every weighted layer. Kernels are in torch's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.network.description import WEIGHTED, Network

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
NORM_EPSILON = 1e-3
"""Larger than torch's 1e-5: folded scales of nearly dead channels stay small, which int8 ranges thank us for."""


def fold(network: Network, weights: Weights) -> dict[str, Array]:
    """Kernels and biases as deployed: normalisation folded in."""
    folded: dict[str, Array] = {}
    for layer in network.layers:
        if layer.kind not in WEIGHTED:
            continue
        kernel = np.asarray(weights[f"{layer.name}.kernel"], np.float32)
        if layer.norm:
            gamma, beta, mean, var = (weights[f"{layer.name}.{part}"] for part in ("gamma", "beta", "mean", "var"))
            scale = gamma / np.sqrt(var + NORM_EPSILON)
            kernel = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
            bias = beta - mean * scale
        else:
            bias = weights[f"{layer.name}.bias"]
        folded[f"{layer.name}.kernel"] = np.ascontiguousarray(kernel, np.float32)
        folded[f"{layer.name}.bias"] = np.ascontiguousarray(bias, np.float32)
    return folded


def save_weights(path: Path, weights: Weights) -> None:
    """Write atomically, so that an interrupted run never leaves half a file."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **weights)  # type: ignore[arg-type]  # numpy's stub wants a bool among the keywords
    part.replace(path)


def load_weights(path: Path) -> dict[str, Array]:
    """Read what `save_weights` wrote; never unpickles."""
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
