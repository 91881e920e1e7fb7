"""What can be said of candidates before they are evaluated: known objectives, limits, features, ids."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from advisor.search.points import Params, key
from specs.errors import DataError

Array = NDArray[np.float64]
Normal = float | tuple[float, float]
"""A number known exactly, or the mean and standard deviation of one that is predicted."""
Features = Sequence[float] | Array | Mapping[str, Sequence[float] | Array] | None


class Margins(NamedTuple):
    """(n, limits) mean and standard deviation; a limit is met at ≤ 0."""

    names: tuple[str, ...]
    mean: Array
    sd: Array

    def probability(self) -> Array:
        """(n,) of meeting all, limits taken for independent; 1 without limits."""
        return np.asarray(np.prod(meets(self.mean, self.sd), 1))


def meets(mean: Array, sd: Array) -> Array:
    """Probability that a normal margin is ≤ 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, ndtr(-mean / sd), mean <= 0)


@dataclass(frozen=True)
class Oracle:
    """The callables a user gives. A callable with a method `many` is asked for a list of candidates at once."""

    known: Mapping[int, Callable[[Params], Normal]]
    features: Callable[[Params], Features] | None
    constraints: Callable[[Params], Mapping[str, Normal] | Sequence[Normal] | Normal] | None
    canonical: Callable[[Params], Hashable] | None

    def costs(self, rows: Sequence[Params]) -> tuple[Array, Array]:
        """(n, known objectives) mean and standard deviation, objectives in ascending order."""
        mean, sd = np.zeros((len(rows), len(self.known))), np.zeros((len(rows), len(self.known)))
        for column, objective in enumerate(sorted(self.known)):
            told = _ask(self.known[objective], rows)
            mean[:, column], sd[:, column] = _normals(told, f"known[{objective}]")
        return mean, sd

    def margins(self, rows: Sequence[Params]) -> Margins:
        if self.constraints is None or not len(rows):
            return Margins((), np.zeros((len(rows), 0)), np.zeros((len(rows), 0)))
        told = [_named(value) for value in _ask(self.constraints, rows)]
        names = tuple(dict.fromkeys(name for one in told for name in one))
        # a limit that says nothing of a candidate does not bind it
        columns = [_normals([one.get(name, -np.inf) for one in told], f"constraints[{name!r}]") for name in names]
        if not columns:
            return Margins((), np.zeros((len(rows), 0)), np.zeros((len(rows), 0)))
        return Margins(names, np.stack([mean for mean, _ in columns], 1), np.stack([sd for _, sd in columns], 1))

    def ids(self, rows: Sequence[Params]) -> list[Hashable]:
        return [key(row) for row in rows] if self.canonical is None else list(_ask(self.canonical, rows))

    def groups(self, rows: Sequence[Params]) -> dict[str, Array]:
        """Per group of features (n, columns); rows that have none hold NaN."""
        told = [] if self.features is None else [_grouped(value) for value in _ask(self.features, rows)]
        found: dict[str, Array] = {}
        for name in dict.fromkeys(name for one in told for name in one):
            widths = {len(one[name]) for one in told if name in one}
            if len(widths) > 1:
                raise DataError("features of candidates differ in length", where=name, seen=sorted(widths),
                                allowed="the same length for every candidate")  # fmt: skip
            blank = np.full(widths.pop(), np.nan)
            block = np.stack([one.get(name, blank) for one in told])
            if np.isinf(block).any():
                raise DataError("features hold infinite values", where=name, allowed="finite numbers")
            found[name] = block
        return found


def _ask(asked: Callable[[Params], Any], rows: Sequence[Params]) -> Sequence[Any]:
    many = getattr(asked, "many", None)
    return many(rows) if many is not None else [asked(row) for row in rows]


def _named(value: Mapping[str, Normal] | Sequence[Normal] | Normal) -> Mapping[str, Normal]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, int | float | np.number):
        return {"0": float(value)}
    return {str(i): one for i, one in enumerate(value)}


def _grouped(value: Features) -> dict[str, Array]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {name: _numbers(vector, f"features[{name!r}]").ravel() for name, vector in value.items()}
    return {"features": _numbers(value, "features").ravel()}


def _numbers(value: Any, where: str) -> Array:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise DataError("not numbers", where=where, seen=repr(value)[:60], allowed="numbers alone") from None


def _normals(values: Sequence[Any], where: str) -> tuple[Array, Array]:
    """(n,) mean and sd of values, pairs or both."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        pairs = np.stack([values.astype(float), np.zeros(len(values))], 1)
    elif isinstance(values, np.ndarray):
        pairs = values.astype(float)
    else:
        told = [value if isinstance(value, tuple) else (value, 0.0) for value in values]
        wrong = next((one for one in told if len(one) != 2), None)
        if wrong is not None:
            raise DataError("not a usable figure", where=where, seen=wrong, allowed="a number, or (mean, deviation)")
        pairs = _numbers(told, where).reshape(-1, 2)
    if np.isnan(pairs).any() or (pairs[:, 1] < 0).any() or np.isinf(pairs[:, 1]).any():
        bad = next(tuple(pair) for pair in pairs if np.isnan(pair).any() or not 0 <= pair[1] < np.inf)
        raise DataError(
            "not a usable figure", where=where, seen=bad, allowed="a number, or a mean and its deviation ≥ 0"
        )
    return pairs[:, 0], pairs[:, 1]
