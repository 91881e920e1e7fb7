"""How far another measurement of the same file may lie from this one: what the samples of one sitting do not tell.

Within one process thousands of samples agree within a percent, and minutes later the same file takes other times:
processes start with other memory, clocks drift, other work comes onto the core and goes. So an interval reaches over
what blocks of samples took in several processes, and further for what no sitting shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BETWEEN = 0.06
"""Medians of processes that nothing disturbed lie within this share of their common one, nine of ten of them.

Measured: 24 starts each of two networks of 14 and 29 µs within four minutes on a shared two-core x86 machine."""
SHARED_CORE = 1.6
"""How many times as long work takes while another thread has the other half of its core. Assumed: two threads of a
core together get a quarter more done than one alone."""
LOADED = 0.05
"""Share of its core that other work may take beside a measurement that counts as undisturbed."""


def repeat_of(runs: Sequence[Mapping[str, Any]], centre_ns: float) -> tuple[float, float]:
    """5 % and 95 % quantile of a repetition's median over `centre_ns`, from the blocks of several processes.

    Beside other work a sitting shows one of two speeds, that of a core alone and that of a shared one: where its
    blocks do not show both, the interval reaches to the other.
    """
    blocks = [np.asarray(run["block_ns"], dtype=float) for run in runs]
    low = min(1.0, *(float(np.quantile(block, 0.05)) / centre_ns for block in blocks))
    high = max(1.0, *(float(np.quantile(block, 0.95)) / centre_ns for block in blocks))
    if loaded(runs):
        low, high = min(low, high / SHARED_CORE), max(high, low * SHARED_CORE)
    return low * (1 - BETWEEN), high * (1 + BETWEEN)


def tail_of(runs: Sequence[Mapping[str, Any]], centre_ns: float) -> tuple[float, float]:
    """The same of the 95 % quantile, from that of each process: one slow sample decides it within a block."""
    return repeat_of([{**run, "block_ns": [np.quantile(run["wall_ns"], 0.95)]} for run in runs], centre_ns)


def loaded(runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether other work ran beside any of these; false where the system does not tell."""
    return any((run.get("others") or 0.0) > LOADED for run in runs)
