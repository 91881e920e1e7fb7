"""Many evaluations as arrays: the figures that limits and objectives need, judged all at once.

The same arithmetic as `advisor.score`, row by row equal to it; whole evaluations are read only where they are shown.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.evaluation import Evaluation
from cost_models.estimate import Estimate
from specs.limits import METRICS, Limit
from specs.spec import Spec

CHIP_LIMITS = (("chip_ram", "peak_ram"), ("chip_flash", "flash"))
"""The memories of the chip itself and the limit whose `reserved` is added to what a candidate needs of them."""
PACKED = (*METRICS, "frontend_ms",
          *(f"{name}{part}" for name, _ in CHIP_LIMITS for part in ("_bytes", "_size_bytes")))  # fmt: skip
"""Metrics kept as numbers, in the order of the packed row."""
MISSING, ABSENT = 0, 1
SOURCES = ("measured", "computed", "predicted", "vendor-estimate", "emulated", "assumed")
"""Codes of a packed figure: no such metric, a metric without a value, then 2 + the source's place in SOURCES."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def pack(metrics: Mapping[str, Estimate], names: Sequence[str] = PACKED) -> bytes:
    """The numbers of some of an evaluation's metrics.

    Raises:
        TypeError, ValueError: a figure is no number or has no known source.
    """
    figures: list[float] = []
    sources: list[int] = []
    for name in names:
        estimate = metrics.get(name)
        parts = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
        figures += [math.nan if part is None else float(part) for part in parts]
        if estimate is None:
            sources.append(MISSING)
        else:
            sources.append(ABSENT if estimate.value is None else 2 + SOURCES.index(estimate.source))
    return struct.pack(f"<{len(figures)}d{len(sources)}B", *figures, *sources)


def unpacked(rows: Sequence[bytes], names: Sequence[str] = PACKED) -> NDArray[Any]:
    """Packed rows as one structured array: `figures` (n, names, 3), NaN where there is none, and `sources` (n, names).

    Raises:
        ValueError: a row is not of this layout.
    """
    layout = np.dtype([("figures", "<f8", (len(names), 3)), ("sources", "u1", (len(names),))])
    if set(map(len, rows)) - {layout.itemsize}:
        raise ValueError("a packed row of another length")
    return np.frombuffer(b"".join(rows), dtype=layout) if rows else np.empty(0, dtype=layout)


@dataclass(frozen=True, eq=False)
class Figures:
    """One metric of many evaluations; NaN where there is no figure. `missing`: not even a metric of that name."""

    value: Floats
    low: Floats
    high: Floats
    exact: Flags
    missing: Flags

    @classmethod
    def of(cls, parts: Floats, sources: NDArray[np.uint8]) -> Figures:
        """From values, lows and highs (n, 3) and codes of sources (n,)."""
        value, low, high = np.ascontiguousarray(parts.T)
        return cls(value, low, high, (sources == 2) | (sources == 3), sources == MISSING)

    def at(self, places: Places) -> Figures:
        """Those of some evaluations."""
        return Figures(
            self.value[places], self.low[places], self.high[places], self.exact[places], self.missing[places]
        )

    def plus(self, other: float) -> Figures:
        """As `Estimate.plus`: an interval that is not known in full is not moved."""
        shift = np.where(np.isnan(self.low) | np.isnan(self.high), 0.0, other)
        return replace(self, value=self.value + shift, low=self.low + shift, high=self.high + shift)

    def combined(self, other: Figures) -> Figures:
        """As `Estimate.combined`: added where the other figure is known, unknown where it should be and is not."""
        alone = other.missing | np.isnan(self.value) | np.isnan(self.low) | np.isnan(self.high)
        parts = [
            np.where(alone, mine, mine + theirs)
            for mine, theirs in ((self.value, other.value), (self.low, other.low), (self.high, other.high))
        ]
        return Figures(
            parts[0], parts[1], parts[2], np.where(alone, self.exact, self.exact & other.exact), self.missing
        )

    def at_risk(self, probability: float, sense: str) -> Floats:
        """As `advisor.score.at_risk`; made once, however many bounds the same figures are held against."""
        if (probability, sense) not in self._at_risk:
            self._at_risk[probability, sense] = self._moved(probability, sense)
        return self._at_risk[probability, sense]

    @cached_property
    def _at_risk(self) -> dict[tuple[float, str], Floats]:
        return {}

    def _moved(self, probability: float, sense: str) -> Floats:
        if self.exact.all():
            return self.value
        known = ~(np.isnan(self.value) | np.isnan(self.low) | np.isnan(self.high)) & ~self.exact
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            flat = known & ((self.low <= 0) | (self.high <= self.low))
            spread = np.log(self.high / self.low) / (2 * NormalDist().inv_cdf(0.95))
            shift = NormalDist().inv_cdf(min(max(probability, 1e-6), 1 - 1e-6)) * spread
            moved = self.value * np.exp(shift if sense == "max" else -shift)
        found = np.where(known, moved, self.value)
        return np.where(flat, self.high if sense == "max" else self.low, found)


@dataclass(frozen=True)
class Columns:
    """Evaluations as arrays, one entry each. `figures` gives a metric of PACKED; `reasons` are those of failures.

    `load` reads whole evaluations by place. `tested`: scored on the test split.
    """

    ids: Sequence[str]
    targets: Sequence[str]
    statuses: Sequence[str]
    tested: Flags
    reasons: Mapping[int, str]
    figures: Callable[[str], Figures]
    load: Callable[[Sequence[int]], list[Evaluation]]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def done(self) -> Places:
        return self.of_status("done")

    def of_status(self, status: str) -> Places:
        """Places of the evaluations of one status."""
        return np.flatnonzero(self._status == status)

    @cached_property
    def _status(self) -> NDArray[Any]:
        return np.array(self.statuses, dtype=object)

    @cached_property
    def _metrics(self) -> dict[str, Figures]:
        return {}

    @cached_property
    def place(self) -> dict[tuple[str, str], int]:
        """Place by candidate's id and target."""
        return {key: i for i, key in enumerate(zip(self.ids, self.targets, strict=True))}

    def by_target(self) -> dict[str, Places]:
        """Places of the trained evaluations of every target, in order of appearance."""
        names = np.array(self.targets, dtype=object)[self.done]
        return {str(name): self.done[names == name] for name in dict.fromkeys(names.tolist())}

    def of_target(self, *names: str) -> Columns:
        """Those of one target, or of some."""
        places = [i for i, name in enumerate(self.targets) if name in names]
        if len(places) == len(self):
            return self
        load = self.load
        return Columns(
            [self.ids[i] for i in places],
            [self.targets[i] for i in places],
            [self.statuses[i] for i in places],
            self.tested[places],
            {new: self.reasons[old] for new, old in enumerate(places) if old in self.reasons},
            lambda name: self.metric(name).at(np.array(places, dtype=np.intp)),
            lambda chosen: load([places[i] for i in chosen]),
        )

    def metric(self, name: str) -> Figures:
        if name not in self._metrics:
            self._metrics[name] = self.figures(name)
        return self._metrics[name]


def columns_of(evaluations: Sequence[Evaluation]) -> Columns:
    """Evaluations at hand as columns."""
    packed = unpacked([pack(evaluation.metrics) for evaluation in evaluations])
    return Columns(
        [evaluation.id for evaluation in evaluations],
        [evaluation.target for evaluation in evaluations],
        [evaluation.status for evaluation in evaluations],
        np.array(["test_accuracy" in evaluation.details for evaluation in evaluations], dtype=bool),
        {i: evaluation.reason for i, evaluation in enumerate(evaluations) if evaluation.status == "failed"},
        lambda name: Figures.of(*parts_of(packed, name)),
        lambda places: [evaluations[i] for i in places],
    )


def parts_of(packed: NDArray[Any], name: str, names: Sequence[str] = PACKED) -> tuple[Floats, NDArray[np.uint8]]:
    """A metric's figures (n, 3) and codes of sources (n,) in what `unpacked` gives."""
    at = names.index(name)
    return packed["figures"][:, at], packed["sources"][:, at]


@dataclass(frozen=True, eq=False)
class Judged:
    """Margins of many evaluations, one column a limit: NaN where the figure is absent, -inf where there is nothing to
    compare (a chip's memory of unknown size). `feasible`: 1, 0, or -1 where none is broken but a figure is absent."""

    limits: tuple[str, ...]
    hard: Flags
    margins: Floats
    feasible: NDArray[np.int8]
    violation: Floats

    def margin(self, place: int, limit: str) -> float | None:
        found = float(self.margins[place, self.limits.index(limit)])
        return None if math.isnan(found) else found


def judge(spec: Spec, columns: Columns) -> Judged:
    """Every evaluation against every limit of the spec and the chip's own memories, as `advisor.score.margins`."""
    found = [(limit.name, not limit.soft, _margin(limit, spec, columns)) for limit in spec.limits]
    found += [(name, True, margin) for name, margin in _chip_margins(spec, columns)]
    hard = np.array([is_hard for _, is_hard, _ in found], dtype=bool)
    margins = np.array([margin for _, _, margin in found], dtype=float).reshape(len(found), len(columns)).T
    decisive = margins[:, hard]
    broken, unknown = (decisive > 0).any(axis=1), np.isnan(decisive).any(axis=1)
    feasible = np.where(broken, 0, np.where(unknown, -1, 1)).astype(np.int8)
    violation = np.nansum(np.maximum(decisive, 0.0), axis=1)
    return Judged(tuple(name for name, _, _ in found), hard, margins, feasible, violation)


def reachable(spec: Spec, columns: Columns, places: Places) -> int:
    """How many of these, skipped before training, would not be refused by the spec (see `advisor.score.impossible`)."""
    refused = np.zeros(len(columns), dtype=bool)
    for limit in spec.limits:
        if limit.soft:
            continue
        figures = figures_of(limit, spec, columns)
        best = figures.low if limit.metric.sense == "max" else figures.high
        refused |= distance(limit, best) > 0
    for name, limit_name in CHIP_LIMITS:
        need, size = _chip_need(name, limit_name, spec, columns)
        refused |= need.low > size.value
    return int((~refused[places]).sum())


def figures_of(limit: Limit, spec: Spec, columns: Columns) -> Figures:
    """What a limit is held against, as `advisor.score.figure`: with pipeline stages and reserved memory."""
    figures = columns.metric(limit.metric.name)
    if limit.name == "latency" and limit.scope == "pipeline":
        return figures.plus(spec.pipeline_ms).combined(columns.metric("frontend_ms"))
    return figures.plus(limit.reserved_bytes) if limit.reserved_bytes else figures


def distance(limit: Limit, values: Floats) -> Floats:
    """As `Limit.margin`."""
    found = values - limit.bound if limit.metric.sense == "max" else limit.bound - values
    return found / limit.bound if limit.metric.unit and limit.bound else found


def _margin(limit: Limit, spec: Spec, columns: Columns) -> Floats:
    figures = figures_of(limit, spec, columns)
    return distance(limit, figures.at_risk(spec.feasible_probability, limit.metric.sense))


def _chip_margins(spec: Spec, columns: Columns) -> Iterable[tuple[str, Floats]]:
    for name, limit_name in CHIP_LIMITS:
        need, size = _chip_need(name, limit_name, spec, columns)
        known = np.nan_to_num(size.value) > 0
        if known.any():
            with np.errstate(invalid="ignore", divide="ignore"):
                margin = need.at_risk(spec.feasible_probability, "max") / size.value - 1
            yield name, np.where(known, margin, -math.inf)


def _chip_need(name: str, limit_name: str, spec: Spec, columns: Columns) -> tuple[Figures, Figures]:
    limit = spec.limit(limit_name)
    need = columns.metric(f"{name}_bytes").plus(limit.reserved_bytes if limit else 0)
    return need, columns.metric(f"{name}_size_bytes")
