"""Mixed precision of graphs that are not ours: the operators whose rounding costs most stay in float.

Quantized files are compared with the float file on calibration samples, so it works for any graph a quantizer takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.network.weights import Array

SAMPLES = 64
"""Calibration samples that files are compared on."""
UNITS = 24
"""Runs of operators that are tried: each is one conversion of the file."""
FLOAT_SHARE = 0.75
"""Of the weights that may stay in float: with more it is a float network with int8 tails."""
MIN_GAIN = 0.2
"""Of the noise: what takes less away does not stand out, and is not worth its conversions."""

Converted = Callable[[Sequence[str]], Array]
"""Outputs (samples, classes) of the int8 file with these operators left in float."""


@dataclass(frozen=True)
class Weighted:
    """An operator with weights, `elements` of them, by the name its quantizer knows it by."""

    name: str
    elements: int


def choose(
    operators: Sequence[Weighted], wanted: Array, converted: Converted, tolerance: float, flash_bytes: float
) -> tuple[str, ...]:
    """The operators to leave in float: those that take most noise away, until at most the share `tolerance` of the
    samples changes class, `flash_bytes` more would be needed, or none stands out. `wanted`: the float file's outputs.
    """

    def noise(names: Sequence[str]) -> tuple[float, float]:
        found = converted(names)
        return float(((found - wanted) ** 2).sum()), float((found.argmax(1) != wanted.argmax(1)).mean())

    total = sum(op.elements for op in operators)
    left, changed = noise(())
    ranked = sorted((noise(_names(unit))[0], i, unit) for i, unit in enumerate(_units(operators)))
    kept: list[Weighted] = []
    for _, _, unit in ranked:
        grown = [*kept, *unit]
        elements = sum(op.elements for op in grown)
        if elements > FLOAT_SHARE * total or 3 * elements > flash_bytes:
            continue
        now, share = noise(_names(grown))
        if now > (1 - MIN_GAIN) * left:
            break
        kept, left, changed = grown, now, share
        if changed <= tolerance:
            break
    return tuple(_names(kept))


def note(names: Sequence[str], operators: Sequence[Weighted]) -> str:
    """What the choice comes to, in words."""
    if not names:
        return "no operator stands out within the budget: the same as int8"
    elements = sum(op.elements for op in operators if op.name in names)
    share = elements / max(1, sum(op.elements for op in operators))
    return f"in float, {share * 100:.0f} % of the weights: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"


def _units(operators: Sequence[Weighted]) -> list[Sequence[Weighted]]:
    """Every operator alone and with the next: the tensor between two stays in 8 bits unless both are float. Of large
    graphs runs of neighbours."""
    alone: list[Sequence[Weighted]] = [[op] for op in operators]
    pairs: list[Sequence[Weighted]] = [operators[i : i + 2] for i in range(len(operators) - 1)]
    if len(alone) + len(pairs) <= UNITS:
        return alone + pairs
    length = -(-len(operators) // UNITS)
    return [operators[i : i + length] for i in range(0, len(operators), length)]


def _names(operators: Sequence[Weighted]) -> list[str]:
    return [op.name for op in operators]


def as_array(rows: Sequence[Array]) -> Array:
    """Outputs one a sample as (samples, classes)."""
    return np.concatenate([np.asarray(row, np.float32).reshape(1, -1) for row in rows])
