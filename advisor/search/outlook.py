"""What evaluations so far make of candidates: one Gaussian process a quantity that only an evaluation tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.search.surrogate import GaussianProcess, Settings, fit

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_FITTED, MOST_GIVEN = 128, 256
"""Evaluations that hyperparameters are fitted to and that predictions rest on; of more, the better half is kept and
the rest thinned evenly. The cost is cubic."""


@dataclass(frozen=True)
class Model:
    """One quantity's process and the scales of its inputs."""

    process: GaussianProcess
    scales: tuple[Array, ...]

    def predict(self, groups: Sequence[Array]) -> tuple[Array, Array]:
        """(n,) mean and standard deviation, minimised."""
        return self.process.predict(self._scaled(groups))

    def believing(self, groups: Sequence[Array]) -> Model:
        """The model had these rows come out as predicted: the same means, without the uncertainty that their results
        will remove."""
        if not len(groups[0]):
            return self
        mean, _ = self.predict(groups)
        return Model(self.process.extended(self._scaled(groups), mean), self.scales)

    def _scaled(self, groups: Sequence[Array]) -> list[Array]:
        return [group / scale for group, scale in zip(groups, self.scales, strict=True)]


@dataclass
class Outlook:
    """Makes models; hyperparameters are refitted at fixed numbers of evaluations, so that a sampler made anew in the
    middle of a study predicts like one that was there from the start."""

    _fitted: dict[str, tuple[int, Settings, tuple[Array, ...]]] = field(default_factory=dict)

    def model(self, name: str, done: Sequence[Array], values: Array, floor: float | None) -> Model:
        """Of the quantity `name`, from the evaluated rows in order and their (n,) values, minimised; `floor` is the
        worst value of use."""
        at = refit_point(len(values))
        widths = [group.shape[1] for group in done]
        held = self._fitted.get(name)
        if held is None or held[0] != at or [len(scale) for scale in held[2]] != widths:
            kept = representative(values[:at], MOST_FITTED)
            scales = tuple(_ranges(group[:at]) for group in done)
            rows = [group[kept] / scale for group, scale in zip(done, scales, strict=True)]
            held = at, fit(rows, values[kept], floor), scales
            self._fitted[name] = held
        kept = representative(values, MOST_GIVEN)
        rows = [group[kept] / scale for group, scale in zip(done, held[2], strict=True)]
        return Model(GaussianProcess.given(held[1], rows, values[kept]), held[2])


def refit_point(n: int) -> int:
    """The largest number of evaluations up to n at which hyperparameters are fitted: every one up to 8, then every
    third, then every tenth more."""
    at = min(n, 8)
    while (following := max(at + 3, at * 11 // 10)) <= n:
        at = following
    return at


def representative(values: Array, most: int) -> Index:
    """Up to `most` indexes: the best half, and of the rest every so-manieth, in order."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    order = np.argsort(values, kind="stable")
    rest = np.sort(order[most // 2 :])
    return np.sort(
        np.concatenate([order[: most // 2], rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(int)]])
    )


def _ranges(group: Array) -> Array:
    """(columns,) what a column spans; for one that has not varied yet, its size."""
    if not len(group):
        return np.ones(group.shape[1])
    span: Array = np.ptp(group, 0)
    return np.where(span > 0, span, np.maximum(np.abs(group).max(0), 1.0))
