"""Parameter sets of any Optuna space as points: drawn, moved, and turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Array = NDArray[np.float64]
Params = Mapping[str, Any]
Key = tuple[tuple[str, Any], ...]

STEP = 0.15
"""Of a variation, as a share of a parameter's range: standard deviation."""
MOST_VALUES = 10_000
"""Of a discrete parameter; one with more is as good as continuous."""


def key(params: Params) -> Key:
    """A hashable value equal for equal parameter sets."""
    return tuple(sorted((name, hashable(value)) for name, value in params.items()))


def grid(distribution: BaseDistribution) -> Sequence[Any] | None:
    """All values of a distribution, None for continuous ones and those with more than MOST_VALUES."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        count = (distribution.high - distribution.low) // distribution.step + 1
        return range(distribution.low, distribution.high + 1, distribution.step) if count <= MOST_VALUES else None
    assert isinstance(distribution, FloatDistribution)  # noqa: S101 - Optuna has these three
    if distribution.single():
        return (distribution.low,)
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [_stepped(distribution, i) for i in range(count)] if count <= MOST_VALUES else None


def draw(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """A value at random, uniform in the distribution's own scale."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    if isinstance(distribution, IntDistribution) and not distribution.log:
        steps = (distribution.high - distribution.low) // distribution.step
        return int(distribution.low + distribution.step * int(rng.integers(steps + 1)))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        steps = round((distribution.high - distribution.low) / distribution.step)
        return _stepped(distribution, int(rng.integers(steps + 1)))
    return _from_unit(distribution, float(rng.random()), rng)


def moved(distribution: BaseDistribution, value: Any, rng: np.random.Generator) -> Any:
    """A value near another, any one of choices."""
    if isinstance(distribution, CategoricalDistribution):
        return draw(distribution, rng)
    return _from_unit(distribution, float(np.clip(_to_unit(distribution, value) + STEP * rng.normal(), 0, 1)), rng)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False


def encode(rows: Sequence[Params], space: Mapping[str, BaseDistribution]) -> Array:
    """(n, columns): numbers on 0…1 in their own scale, choices one-hot at unit distance, and for every parameter that
    some row lacks whether it is there."""
    columns = []
    for name, distribution in space.items():
        there = np.array([name in row for row in rows])
        if isinstance(distribution, CategoricalDistribution):
            index = {hashable(choice): i for i, choice in enumerate(distribution.choices)}
            block = np.zeros((len(rows), len(distribution.choices)))
            for i, row in enumerate(rows):
                if there[i] and (at := index.get(hashable(row[name]))) is not None:
                    block[i, at] = 0.5**0.5
            columns += list(block.T)
        else:
            columns.append(np.array([_to_unit(distribution, row[name]) if name in row else 0.0 for row in rows]))
        columns.append(there * 0.5)
    return np.stack(columns, 1) if columns else np.zeros((len(rows), 0))


def _to_unit(distribution: BaseDistribution, value: float) -> float:
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101 - callers branch on categorical
    scale: Callable[[float], float] = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return (scale(max(value, distribution.low) if distribution.log else value) - low) / (high - low or 1.0)


def _from_unit(distribution: BaseDistribution, unit: float, rng: np.random.Generator) -> Any:
    """The value at 0…1, on a step where there are steps; a step's neighbours are drawn, not rounded away."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101 - callers branch on categorical
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        value = low + unit * (high - low)
    if isinstance(distribution, IntDistribution):
        steps = (high - low) // distribution.step
        spread = 0.0 if distribution.log else (float(rng.random()) - 0.5)
        at = round((value - low) / distribution.step + spread)
        return int(low + min(max(at, 0), steps) * distribution.step)
    if step is None:
        return float(min(max(value, low), high))
    steps = round((high - low) / step)
    return _stepped(distribution, min(max(round((value - low) / step + float(rng.random()) - 0.5), 0), steps))


def _stepped(distribution: FloatDistribution, at: int) -> float:
    assert distribution.step is not None  # noqa: S101 - only asked of stepped ones
    return float(min(distribution.low + at * distribution.step, distribution.high))


def hashable(value: Any) -> Any:
    """What stands for a value in sets: True and 1 are equal to Python, different choices to a user."""
    if isinstance(value, bool):
        return "bool", value
    return value if value is None or isinstance(value, str | int | float) else (type(value).__name__, repr(value))
