"""NAS-Bench-201 cells as numbers: which edges run, what they cost a device that pays for one thing only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
OPERATORS = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
_TAIL, _HEAD = (0, 0, 1, 0, 1, 2), (1, 2, 2, 3, 3, 3)
_MFLOPS = {"skeleton": 7.8, "nor_conv_1x1": 4.1, "nor_conv_3x3": 35.4}
"""Of the whole network an edge (all 15 cells) and without any: from the benchmark's own FLOPs column."""
_SKELETON_OPS = 3.0

Codes = NDArray[np.int64]
Array = NDArray[np.float64]


def codes(table: Any) -> Codes:
    """(n, 6) operator numbers of a frame with `arch_str`; ValueError names a cell that cannot be read."""
    number = {name: i for i, name in enumerate(OPERATORS)}
    rows = []
    for text in table["arch_str"]:
        try:
            # |op~0|+|op~0|op~1|+|op~0|op~1|op~2| lists the edges into nodes 1, 2, 3 in the order of EDGES
            names = [word.split("~")[0] for word in text.replace("+", "").split("|") if word]
            row = [number[name] for name in names]
        except (AttributeError, KeyError):
            raise ValueError(f"not a NAS-Bench-201 cell: {text!r}") from None
        if len(row) != len(EDGES):
            raise ValueError(f"not a NAS-Bench-201 cell: {text!r}")
        rows.append(row)
    return np.array(rows, int).reshape(-1, len(EDGES))


def pruned(cells: Codes) -> tuple[Codes, Codes, Codes]:
    """Cells with edges the input does not reach, that do not reach the output, and both, set to `none`.

    Runtimes differ: compiled graphs drop what does not reach the output, eager ones run every edge.
    """
    alive = cells != 0
    fed = np.zeros((len(cells), 4), bool)
    used = np.zeros((len(cells), 4), bool)
    fed[:, 0] = used[:, 3] = True
    for edge in range(6):
        fed[:, _HEAD[edge]] |= fed[:, _TAIL[edge]] & alive[:, edge]
    for edge in reversed(range(6)):
        used[:, _TAIL[edge]] |= used[:, _HEAD[edge]] & alive[:, edge]
    is_fed, is_used = fed[:, _TAIL], used[:, _HEAD]
    return np.where(is_fed, cells, 0), np.where(is_used, cells, 0), np.where(is_fed & is_used, cells, 0)


def counts(cells: Codes) -> Array:
    """(n, 5) edges of each operator."""
    return np.stack([(cells == k).sum(1) for k in range(len(OPERATORS))], 1).astype(float)


def structure(cells: Codes) -> Array:
    """(n, 39) every edge as written and as pruned, and counts: what a tree model of one device reads."""
    fed, used, live = pruned(cells)
    return np.column_stack([cells, fed, used, live, counts(cells), counts(used), counts(live)]).astype(float)


def features(cells: Codes) -> Array:
    """(n, 21) operator counts, and log cost to a device bound by arithmetic or by operator calls, as pruned."""
    _, used, live = pruned(cells)
    columns = []
    for variant in (cells, used, live):
        n = counts(variant)
        arithmetic = _MFLOPS["skeleton"] + _MFLOPS["nor_conv_1x1"] * n[:, 3] + _MFLOPS["nor_conv_3x3"] * n[:, 4]
        calls = _SKELETON_OPS + n[:, 2:].sum(1)
        columns += [n, np.log(arithmetic), np.log(calls)]
    return np.column_stack(columns)


def shared(name: str) -> Path:
    """A file of the published tables that lie beside the repository."""
    return Path(__file__).parents[1].parent / "shared" / name
