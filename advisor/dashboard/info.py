"""View data of the pages, computed apart from drawing: values in, rows with text and units out. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor.report.text import figure_text as report_text
from cost_models.estimate import Estimate
from specs.errors import SpecError
from specs.limits import LIMIT_DIMENSION, LIMIT_METRIC, METRICS, Limit
from specs.spec import Spec
from specs.units import DURATION, ENERGY, MEMORY, MONEY, POWER, TIME, human

Info = Mapping[str, Any]
Row = dict[str, Any]

EXTRA = {
    "macs": ("multiply-accumulates", ""),
    "params": ("parameters", ""),
    "model_bytes": ("model file", "B"),
    "arena_bytes": ("tensor arena", "B"),
    "latency_p50_ms": ("latency, median", "ms"),
    "predicted_latency_ms": ("latency as predicted before measuring", "ms"),
    "frontend_ms": ("signal processing before the network", "ms"),
}
"""Figures beyond those a limit can bound: label and canonical unit."""
AXES = (*METRICS, "macs", "params", "model_bytes", "arena_bytes")
_UNITS = {dimension.canonical: dimension.units for dimension in (TIME, DURATION, MEMORY, POWER, ENERGY, MONEY)}
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_WEAKEST = ("assumed", "predicted", "vendor-estimate", "emulated", "measured", "computed")
STATES = ("on the front", "feasible", "not decided", "infeasible")
STEPS_PER_DECADE = 40


@dataclass(frozen=True, slots=True)
class Axis:
    """One metric as an axis: `factor` canonical units are one of `unit`."""

    metric: str
    label: str
    unit: str
    factor: float

    @property
    def title(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label


def label_of(metric: str) -> str:
    return METRICS[metric].label if metric in METRICS else EXTRA.get(metric, (metric.replace("_", " "), ""))[0]


def unit_of(metric: str) -> str:
    return METRICS[metric].unit if metric in METRICS else EXTRA.get(metric, ("", ""))[1]


def figure_text(figure: Info | None, unit: str) -> str:
    """A figure with unit, interval and provenance on one line, or the reason why there is none."""
    return report_text(Estimate.from_dict(figure or {}), unit)


def figure_of(row: Info, metric: str) -> Info | None:
    """The figure as the spec's limit on it is held against: with the pipeline's stages and the reserved memory."""
    for margin in row["margins"]:
        if LIMIT_METRIC.get(margin["limit"]) == metric:
            return dict(margin["figure"])
    found: Info | None = row["metrics"].get(metric)
    return found


def available_axes(info: Info) -> list[str]:
    """Metrics at least one evaluation has a value for, in a fixed order."""
    found = {
        metric
        for metric in AXES
        for row in info["evaluations"]
        if (figure := figure_of(row, metric)) is not None and figure.get("value") is not None
    }
    return [metric for metric in AXES if metric in found]


def axis_of(info: Info, metric: str) -> Axis:
    """The axis of a metric, in the unit that suits the largest figure shown."""
    values = [
        abs(figure["value"])
        for row in info["evaluations"]
        if (figure := figure_of(row, metric)) is not None and figure.get("value") is not None
    ]
    return suited_axis(metric, max(values, default=0.0))


def suited_axis(metric: str, largest: float) -> Axis:
    """The axis of a metric in the unit people would write `largest` in."""
    unit = unit_of(metric)
    words = human(largest, unit).split()
    shown = words[1] if len(words) > 1 else ""
    return Axis(metric, label_of(metric), shown, _UNITS.get(unit, _COUNTS).get(shown, 1.0))


def wants_log(rows: Sequence[Row], lines: Sequence[Row]) -> bool:
    """Whether a linear axis across would crowd the points: figures and limits span more than a decade."""
    values = [row["x"] for row in rows] + [line["value"] for line in lines if line["axis"] == "x"]
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def chart_rows(info: Info, x: Axis, y: Axis, *, target: str | None = None, infeasible: bool = False) -> list[Row]:
    """One row an evaluation with both figures, in the axes' units; infeasible ones on request."""
    rows = []
    for row in info["evaluations"]:
        state = state_of(row)
        if target not in (None, row["target"]) or (state == "infeasible" and not infeasible):
            continue
        figures = figure_of(row, x.metric), figure_of(row, y.metric)
        if any(figure is None or figure.get("value") is None for figure in figures):
            continue
        shown: Row = {"id": row["id"], "target": row["target"], "candidate": row["description"], "state": state,
                      "fidelity": f"{row['fidelity']} training"}  # fmt: skip
        shown["provenance"] = min((f["source"] for f in figures if f), key=_strength)
        shown["missed"] = ", ".join(missed(row)) or "none"
        for name, axis, figure in zip("xy", (x, y), figures, strict=True):
            assert figure is not None  # noqa: S101 - checked above
            shown[name] = figure["value"] / axis.factor
            shown[f"{name}_low"] = _or(figure.get("low"), figure["value"]) / axis.factor
            shown[f"{name}_high"] = _or(figure.get("high"), figure["value"]) / axis.factor
            shown[f"{name}_text"] = figure_text(figure, unit_of(axis.metric))
        rows.append(shown)
    return rows


def state_of(row: Info) -> str:
    """One of STATES."""
    if row["on_front"]:
        return "on the front"
    return {True: "feasible", False: "infeasible", None: "not decided"}[row["feasible"]]


def missed(row: Info) -> list[str]:
    """Hard limits not met, in words, the farthest first."""
    broken = [m for m in row["margins"] if m["met"] is False and not m["soft"]]
    return [f"{m['limit']} {margin_text(m)}" for m in sorted(broken, key=lambda m: -m["margin"])]


def margin_text(margin: Info) -> str:
    """`12 % beyond`, `0.02 short`, `30 % to spare`, or that it is not known."""
    value = margin["margin"]
    if value is None:
        return "not known"
    amount = f"{abs(value) * 100:.3g} %" if margin["unit"] else f"{abs(value):.3g}"
    return f"{amount} to spare" if value <= 0 else f"{amount} {'beyond' if margin['unit'] else 'off'}"


def limit_text(limit: Limit) -> str:
    """`latency p95 ≤ 50 ms`: a limit in words."""
    sign = "≤" if limit.metric.sense == "max" else "≥"
    what = limit.metric.label
    if limit.name == "latency":
        what += f" {limit.stat}" + (" of the pipeline" if limit.scope == "pipeline" else "")
    if limit.reserved_bytes:
        what += f" incl. {human(limit.reserved_bytes, 'B')} reserved"
    if limit.name in ("peak_ram", "flash") and limit.counts == "model":
        what += " of the model alone"
    return f"{what} {sign} {human(limit.bound, limit.metric.unit)}{' (soft)' if limit.soft else ''}"


def limit_lines(spec: Spec, x: Axis, y: Axis) -> list[Row]:
    """The limits that lie on the shown axes, in their units."""
    return [
        {"axis": name, "value": limit.bound / axis.factor, "text": limit_text(limit), "soft": limit.soft}
        for name, axis in (("x", x), ("y", y))
        for limit in spec.limits
        if limit.metric.name == axis.metric
    ]


def limit_options(limit: Limit) -> list[float]:
    """Bounds to choose from, canonical unit, rising: a hundredth to a hundredfold of the spec's, which is among them;
    shares in steps of half a point."""
    if LIMIT_DIMENSION[limit.name] is None:
        return sorted({round(i / 200, 3) for i in range(201)} | {limit.bound})
    steps = range(-2 * STEPS_PER_DECADE, 2 * STEPS_PER_DECADE + 1)
    found = {_rounded(limit.bound * 10 ** (i / STEPS_PER_DECADE)) for i in steps if i} | {limit.bound}
    if limit.metric.unit == "B":
        found = {value for value in found if value >= 1}
    return sorted(found | {limit.bound})


def relaxed_spec(spec: Spec, changes: Mapping[str, float]) -> Spec:
    """The spec with other bounds, in canonical units.

    Raises:
        SpecError: a limit the spec does not have, or a bound that is none.
    """
    for name, bound in changes.items():
        if spec.limit(name) is None:
            allowed = ", ".join(limit.name for limit in spec.limits) or "none"
            raise SpecError("the spec has no such limit", seen=name, allowed=allowed)
        if not math.isfinite(bound) or bound < 0:
            raise SpecError("not a bound", where=f"limits.{name}", seen=bound, allowed="0 or more")
    limits = tuple(replace(limit, bound=changes.get(limit.name, limit.bound)) for limit in spec.limits)
    return replace(spec, limits=limits)


def candidate_rows(info: Info, keys: Sequence[str] | None = None, *, margins: bool = False) -> list[Row]:
    """A table of evaluations: all, or those `keys` (`id@target`) name, in that order."""
    by_key = {f"{row['id']}@{row['target']}": row for row in info["evaluations"]}
    chosen = by_key.values() if keys is None else [by_key[key] for key in keys if key in by_key]
    metrics = list(dict.fromkeys([LIMIT_METRIC[name] for name in info["objectives"]]))
    rows = []
    for row in chosen:
        shown: Row = {"id": row["id"], "target": row["target"]}
        shown |= {label_of(name): figure_text(figure_of(row, name), unit_of(name)) for name in metrics}
        if margins:
            shown["limits missed"] = ", ".join(missed(row)) or "none known to be missed"
        else:
            shown["closest limit"] = closest(row)
        rows.append({**shown, "training": row["fidelity"], "candidate": row["description"]})
    return rows


def closest(row: Info) -> str:
    """The hard limit with the least to spare."""
    known = [m for m in row["margins"] if m["margin"] is not None and not m["soft"]]
    if not known:
        return "no limit to compare with"
    tightest = max(known, key=lambda m: m["margin"])
    return f"{tightest['limit']}: {margin_text(tightest)}"


def _strength(source: str) -> int:
    return _WEAKEST.index(source) if source in _WEAKEST else 0


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _rounded(value: float) -> float:
    """Three significant digits; whole from a thousand on."""
    return float(f"{value:.3g}")
