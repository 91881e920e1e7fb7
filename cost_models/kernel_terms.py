"""What a kernel's time is made of: physical terms, and the logarithms their correction is smooth in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cost_models.kernel_rows import COLUMN

Array = NDArray[np.float64]
MULTIPLYING = ("conv", "conv1", "first", "grouped", "depthwise", "depthwise:25", "depthwise:49", "dense", "matmul",
               "conv:plain", "conv1:plain", "first:plain", "grouped:plain", "depthwise:plain", "depthwise:25:plain",
               "depthwise:49:plain", "recurrent")  # fmt: skip
AROUND = 1 << 15
"""Bytes a network passes through the caches below which it stays in the nearest."""
CACHE_BYTES = 1 << 18, 1 << 20
"""Sizes where a core's caches end on what is sold today (256 KiB to 1 MiB of second level)."""


def terms_of(kind: str, rows: Array) -> Array:
    """(n, terms): what a kernel's time is made of, by kernels that multiply and those that move."""
    column = {name: rows[:, i] for name, i in COLUMN.items()}
    size = column["bits"] / 8
    act = (column["inputs"] + column["others"] + column["outputs"]) * size
    beyond = [np.maximum(0.0, act - limit) / 1e4 for limit in CACHE_BYTES]
    one = np.ones(len(rows))
    if kind not in MULTIPLYING:
        window = column["height"] * column["width"]
        cold = np.clip(np.log2(np.maximum(column["around"], 1) / CACHE_BYTES[0]) / 4, 0, 1)
        return np.stack([one, column["inputs"] / 1e4, column["outputs"] / 1e4, column["others"] / 1e4,
                         column["outputs"] * (window - 1) / 1e4, cold, *beyond], axis=1)  # fmt: skip
    outer, inner, window = column["outer"], column["inner"], column["height"] * column["width"]
    padded = np.ceil(outer / 16) * 16 / np.maximum(1, outer)
    rows_padded = np.ceil(column["positions"] / 7) * 7 / np.maximum(1, column["positions"])
    patches = column["positions"] * inner * window * np.where(column["groups"] > 1, column["groups"], 1)
    # each tap of each position is copied by itself, however few channels it has
    taps = column["positions"] * window * (window > 1)
    weights = column["weight_bytes"]
    # channels that do not fill a vector are computed one by one, or make the runtime take a plainer path for all;
    # every row of the output is a call of its own
    uneven = (outer % 16 > 0).astype(float)
    ragged = column["macs"] * (outer % 16) / np.maximum(1, outer)
    calls = column["positions"] / np.maximum(1, column["columns"]) * np.ceil(outer / 64)
    # what the rest of the network pushed out of the second-level cache
    cold = np.clip(np.log2(np.maximum(column["around"], 1) / CACHE_BYTES[0]) / 4, 0, 1)
    return np.stack([
        one, column["macs"] / 1e6, column["macs"] * padded * rows_padded / 1e6, column["inputs"] / 1e4,
        column["outputs"] * padded / 1e4, column["others"] / 1e4, patches * (window > 1) / 1e5, weights / 1e4,
        np.maximum(0.0, weights - CACHE_BYTES[0]) / 1e4, column["groups"] / 10, ragged / 1e5,
        uneven * column["macs"] / 1e6, uneven * column["outputs"] / 1e4, calls / 1e2, taps / 1e4,
        column["passed"] / 1e4,
        cold, cold * weights / 1e4, *beyond,
    ], axis=1)  # fmt: skip


def features_of(rows: Array) -> Array:
    """(n, 13) logarithms that the correction is smooth in."""
    c = {name: rows[:, i] for name, i in COLUMN.items()}

    def log(name: str) -> Array:
        return np.asarray(np.log(np.maximum(1, c[name])))

    def waste(values: Array, tile: int) -> Array:
        return np.asarray(np.log(np.ceil(values / tile) * tile / np.maximum(1, values)))

    outer = np.maximum(1, c["outer"])
    return np.stack([
        log("positions"), log("inner"), log("outer"), 1.5 * np.log(np.maximum(1, c["height"] * c["width"])),
        2 * log("stride"), 0.7 * log("groups"), 4 * waste(outer, 16), 2 * (c["others"] > 0).astype(float),
        0.5 * log("inputs"), 2 * waste(c["inner"], 4), 0.7 * log("columns"),
        1.5 * (outer % 16 > 0).astype(float), 0.35 * np.log(np.maximum(AROUND, c["around"])),
    ], axis=1)  # fmt: skip
