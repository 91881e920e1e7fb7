"""From sums of kernels, or from a prior, to networks: a few rates that measured networks tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.kernel_model import KernelModel
from cost_models.kernel_terms import MULTIPLYING
from cost_models.kernels import COLUMN, Kernels
from cost_models.workload import Workload

Array = NDArray[np.float64]
Prior = Callable[[Sequence[Workload]], Array]
FEW = 8
"""Networks needed before more than one number is fitted to a prior."""
CACHE_BYTES = 1 << 20
"""Second-level cache of a core: half to two MiB on current ones."""
CLASSES = (("conv1",), ("conv",), ("first",), ("depthwise",), ("dense", "matmul"), ("grouped",),
           ("reorder-in", "reorder-out", "turn", "quantize", "dequantize"))  # fmt: skip
"""Kernels, by the first word of their kind, whose sums networks correct by a factor each; all others share one."""
TRENDS = 3
HOLD = 1.5
"""How firmly these factors are held to 1: as if so many networks squared said so."""


def columns_of(model: KernelModel | None, lowered: Kernels, workloads: Sequence[Workload],
             prior: Prior | None) -> tuple[Array, Array]:  # fmt: skip
    """(n, k): what the rates multiply, in ms a unit rate; and (n,) the share of time outside what was measured."""
    n, owner = len(workloads), np.array(lowered.owner, dtype=np.intp)
    rows = lowered.rows
    ones = np.ones(n)
    many = np.isin(np.array(lowered.kind), MULTIPLYING)

    def total(values: Array, where: NDArray[np.bool_]) -> Array:
        return np.bincount(owner[where], values[where], n) / 1e3

    if model is not None:
        us, outside = model.predict(lowered.kind, rows)
        whole = np.maximum(total(us, many) + total(us, ~many), 1e-9)
        share = np.bincount(owner, us * outside, n) / 1e3 / whole
        counts = [np.bincount(owner[some], minlength=n) / 1e3 for some in (many, ~many)]
        cold, spilled = _cache_misses(rows, owner, n)
        words = np.array([kind.partition(":")[0] for kind in lowered.kind])
        sums = [total(us, np.isin(words, some)) for some in CLASSES]
        rest = total(us, ~np.isin(words, [word for some in CLASSES for word in some]))
        return np.stack([*sums, rest, *counts, ones / 1e3, cold, spilled], axis=1), share
    if prior is not None:
        return np.stack([prior(workloads), ones / 1e3], axis=1), np.zeros(n)
    macs, size = rows[:, COLUMN["macs"]], rows[:, COLUMN["bits"]] / 8
    moved = (rows[:, COLUMN["inputs"]] + rows[:, COLUMN["others"]] + rows[:, COLUMN["outputs"]]) * size
    narrow = np.isin(np.array(lowered.kind), ("depthwise", "grouped", "first"))
    weights = rows[:, COLUMN["weight_bytes"]]
    every = np.ones(len(rows), dtype=bool)
    columns = np.stack([total(macs, many & ~narrow) / 1e4, total(macs, narrow) / 1e3, total(moved, every) / 1e3,
                     total(weights, every) / 1e3, np.bincount(owner, minlength=n) / 1e3,
                        ones / 1e3], axis=1)  # fmt: skip
    return columns, np.zeros(n)


def _cache_misses(rows: Array, owner: NDArray[np.intp], n: int) -> tuple[Array, Array]:
    """What a kernel timed alone does not meet, (n,) in 10 MB each: weights that other kernels pushed out of the cache
    since the last inference, and activations too large to be found there by their reader."""
    size = rows[:, COLUMN["bits"]] / 8
    weights = rows[:, COLUMN["weight_bytes"]]
    largest = np.zeros(n)
    moved = (rows[:, COLUMN["inputs"]] + rows[:, COLUMN["others"]] + rows[:, COLUMN["outputs"]]) * size
    np.maximum.at(largest, owner, moved)
    held = np.bincount(owner, weights, n) + largest
    pushed = np.clip(held / CACHE_BYTES - 0.5, 0, 1)[owner]
    spilled = np.maximum(0, moved - CACHE_BYTES / 4)
    return np.bincount(owner, weights * pushed, n) / 1e7, np.bincount(owner, spilled, n) / 1e7


def rates_of(columns: Array, ms: Array, kernels: bool, prior: bool) -> Array:
    """Rates that fit best in relative terms, held near what they mean."""
    from scipy.optimize import lsq_linear, nnls

    relative = columns / ms[:, None]
    if kernels:
        # sums of kernels are nearly right: their factors stay near 1 unless many networks say otherwise
        many = len(CLASSES) + 1
        hold = np.diag([HOLD] * many + [0.02, 0.02, 0.001, 0.01, 0.01])
        wanted = np.concatenate([_ones_of(relative), hold @ np.array([1.0] * many + [0.0, 0.0, 5.0, 0.0, 0.0])])
        bounds = ([0.4] * many + [-4.0, -4.0, 0.0, 0.0, 0.0], [2.0] * many + [5.0, 5.0, 100.0, 5.0, 5.0])
        found = lsq_linear(np.vstack([relative, hold]), wanted, bounds=bounds)
        again = _robust(np.vstack([relative, hold]), wanted, found.x, bounds)
        return np.asarray(again)
    if prior:
        factor = float(np.exp(np.median(-np.log(np.maximum(relative[:, 0], 1e-12)))))
        if len(ms) < FEW:
            return np.array([factor, 0.0])
        hold = np.array([[0.3 / factor, 0.0], [0.0, 1e-3]])
        wanted = np.concatenate([_ones_of(relative), [0.3, 0.0]])
        found = lsq_linear(np.vstack([relative, hold]), wanted, bounds=([0, 0], [np.inf, np.inf]))
        return np.asarray(_robust(np.vstack([relative, hold]), wanted, found.x, ([0, 0], [np.inf, np.inf])))
    scale = np.maximum(relative.max(axis=0), 1e-12)
    ridge = 1e-2 * np.eye(columns.shape[1])
    rates, _ = nnls(np.vstack([relative / scale, ridge]), np.concatenate([_ones_of(relative), np.zeros(len(ridge))]))
    return np.asarray(rates / scale)


def _ones_of(relative: Array) -> Array:
    return np.ones(len(relative))


def _robust(a: Array, b: Array, start: Array, bounds: Any) -> Array:
    """Two rounds of reweighting by Huber's weights: one wrong measurement must not bend the rest."""
    from scipy.optimize import lsq_linear

    found = start
    for _ in range(3):
        error = np.abs(a @ found - b)
        limit = max(0.05, 1.5 * float(np.median(error)))
        weight = np.sqrt(np.minimum(1.0, limit / np.maximum(error, 1e-12)))
        found = lsq_linear(a * weight[:, None], b * weight, bounds=bounds).x
    return np.asarray(found)


def trends_of(lowered: Kernels, n: int) -> Array:
    """(n, TRENDS): a constant, and how far a network's weights and activations go beyond a cache."""
    rows, owner = lowered.rows, np.array(lowered.owner, dtype=np.intp)
    size = rows[:, COLUMN["bits"]] / 8
    weights = np.bincount(owner, rows[:, COLUMN["weight_bytes"]], n)
    moved = (rows[:, COLUMN["inputs"]] + rows[:, COLUMN["others"]] + rows[:, COLUMN["outputs"]]) * size
    return np.stack(
        [np.ones(n), np.log1p(4 * weights / CACHE_BYTES), np.log1p(np.bincount(owner, moved, n) / CACHE_BYTES)], axis=1
    )


def trend_of(sizes: Array, ratio: Array) -> Array:
    """How the logarithm of measured over summed latency grows with these sizes, robustly and held near nothing."""
    hold = np.diag([1.0, 1.0, 1.0])
    trust = np.ones(len(ratio))
    found = np.zeros(TRENDS)
    for _ in range(3):
        a, b = np.vstack([sizes * trust[:, None], hold]), np.concatenate([ratio * trust, np.zeros(TRENDS)])
        found = np.linalg.lstsq(a, b, rcond=None)[0]
        error = np.abs(sizes @ found - ratio)
        trust = np.sqrt(np.minimum(1.0, max(0.05, 1.5 * float(np.median(error))) / np.maximum(error, 1e-12)))
    return np.asarray(found)
