"""What NAS-Bench-201 cells are as graphs: paths, depth, and which cells are one network written differently."""

from __future__ import annotations

from collections import Counter

import cells as cell_tools
import numpy as np

Array = cell_tools.Array
Codes = cell_tools.Codes

_NONE, _SKIP, _POOL, _CONV1, _CONV3 = range(5)
# edges of the four ways from the input to the output, as positions in cells.EDGES
_WAYS = ((3,), (0, 4), (1, 5), (0, 2, 5))
_INTO = {1: ((0, 0),), 2: ((1, 0), (2, 1)), 3: ((3, 0), (4, 1), (5, 2))}
"""By node: the edges into it (position, node it comes from)."""


def classes(cells: Codes) -> list[str]:
    """The cell's isomorphism class: nodes as sorted sums of what flows into them, skips written through.

    The rule of the benchmark itself (`to_unique_str`, zeros considered): an edge that carries nothing stays as a term.
    """
    return [_class(cell) for cell in cells]


def _class(cell: Array) -> str:
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for edge, source in _INTO[node]:
            operator = int(cell[edge])
            if operator == _NONE or nodes[source] == "#":
                terms.append("#")
            elif operator == _SKIP:
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operator}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def features(cells: Codes) -> dict[str, Array]:
    """Per group (n, columns): `summary` (operators that run, arithmetic, depth of the ways through) and `paths` (how
    often each sequence of operators leads from input to output, skips left out)."""
    live = cell_tools.pruned(cells)[2]
    ways = [_ways(cell) for cell in live]
    sequences = sorted({way for cell in ways for way in cell}, key=lambda way: (len(way), way))
    column = {way: i for i, way in enumerate(sequences)}
    paths = np.zeros((len(cells), len(sequences)))
    for row, cell in zip(paths, ways, strict=True):
        for way, count in Counter(cell).items():
            row[column[way]] = count
    counts = cell_tools.counts(live)
    arithmetic = np.log(
        cell_tools._MFLOPS["skeleton"]
        + cell_tools._MFLOPS["nor_conv_1x1"] * counts[:, _CONV1]
        + cell_tools._MFLOPS["nor_conv_3x3"] * counts[:, _CONV3]
    )
    summary = np.column_stack([counts[:, 1:], arithmetic, np.array([_depth(cell) for cell in ways])])
    return {"summary": summary, "paths": paths}


def _ways(cell: Array) -> list[tuple[int, ...]]:
    """The operators of every way from input to output, skips left out."""
    taken = [tuple(int(cell[edge]) for edge in way) for way in _WAYS]
    return [tuple(o for o in way if o != _SKIP) for way in taken if _NONE not in way]


def _depth(ways: list[tuple[int, ...]]) -> list[float]:
    """Of the ways through: how many, how many different, how many plain skips; convolutions on the deepest, the
    shallowest and the average one; 3×3 convolutions on the deepest; poolings on the most and the least pooled."""
    if not ways:
        return [0, 0, 0, -1, -1, 0, -1, -1, -1]
    convolutions = [sum(o >= _CONV1 for o in way) for way in ways]
    large = [way.count(_CONV3) for way in ways]
    pools = [way.count(_POOL) for way in ways]
    mean = sum(convolutions) / len(ways)
    return [len(ways), len(set(ways)), ways.count(()), max(convolutions), min(convolutions), mean, max(large),
            max(pools), min(pools)]  # fmt: skip
