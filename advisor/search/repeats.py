"""Measurements that other work on the machine disturbed are repeated, and the quickest is kept."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from advisor.search.evidence import quick_of
from cost_models.measurement import Measurement

REPEATS = 3
"""Times a measurement is repeated that other work on the machine disturbed."""
DISTURBED = 1.04
"""The quick tenth of the device's own reference over its usual: beyond it, something else ran all the while."""
UNEVEN = 1.15
"""A measurement's median over its quick tenth: beyond it, something else ran half of the while (1.02 is usual)."""


def quickest(run: Callable[[], Measurement], usual_reference_ms: float) -> Measurement:
    """The quickest of a few measurements, the last if it failed; one alone where nothing disturbed it, or the device
    has no reference. `usual_reference_ms`: the quick tenth of that so far, NaN while nothing is known."""
    best: Measurement | None = None
    for _ in range(1 + REPEATS):
        found = run()
        if found.error or not found.wall_ms:
            return best or found
        if best is None or np.median(found.wall_ms) < np.median(best.wall_ms):
            best = found
        if not found.reference_ms or not _disturbed(best, usual_reference_ms):
            break
    assert best is not None  # noqa: S101 - the loop ran
    return best


def _disturbed(found: Measurement, usual_reference_ms: float) -> bool:
    """Told by the device's reference, and by how far the median lies from the quick tenth."""
    slow = math.isfinite(usual_reference_ms) and quick_of(found.reference_ms) > DISTURBED * usual_reference_ms
    return slow or float(np.median(found.wall_ms)) > UNEVEN * quick_of(found.wall_ms)
