"""Which samples validate and which test, drawn with a fixed seed where the data set does not say.

`RandomState` and not `default_rng`: its stream is frozen, so that a data set splits alike under every numpy version.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEST_SHARE = 0.2
VAL_SHARE = 0.18
_SEED = 20_240_607
_DRAWS = 400


def stratified(y: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """True for the held-out samples: `share` of every class, at least one and never all. Classes have two or more."""
    rng = np.random.RandomState(_SEED)
    held = np.zeros(len(y), np.bool_)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        count = min(max(1, round(len(members) * share)), len(members) - 1)
        held[rng.permutation(members)[:count]] = True
    return held


def grouped(y: NDArray[np.int64], groups: NDArray[Any], share: float) -> NDArray[np.bool_] | None:
    """True for the held-out samples: whole groups, near `share` of every class; None where no choice leaves every
    class two samples and gives every class one held out.

    The best of a few hundred seeded draws, by the summed distance of each class's held-out share from `share`.
    """
    rng = np.random.RandomState(_SEED)
    _, codes = np.unique(groups, return_inverse=True)
    count, classes = codes.max() + 1, y.max() + 1
    table = np.zeros((count, classes))
    np.add.at(table, (codes, y), 1)
    total = table.sum(axis=0)
    best: tuple[float, NDArray[Any]] | None = None
    for _ in range(_DRAWS if count > 1 else 0):
        order = rng.permutation(count)
        sizes = np.cumsum(table[order].sum(axis=1)) / len(y)
        chosen = order[: max(1, min(int(np.abs(sizes - share).argmin()) + 1, count - 1))]
        held = table[chosen].sum(axis=0)
        if (held < 1).any() or (total - held < 2).any():
            continue
        distance = float(np.abs(held / total - share).sum())
        if best is None or distance < best[0]:
            best = (distance, chosen)
    return None if best is None else np.isin(codes, best[1])


def digests(x: NDArray[Any]) -> list[str]:
    """A content hash a sample, as text: numpy strips zero bytes off the end of `bytes`."""
    return [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in x]
