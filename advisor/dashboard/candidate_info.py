"""View data of one candidate: figures, margins, layers, measurements as rows of text. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.dashboard.info import Axis, Info, Row, figure_text, label_of, limit_text, margin_text, unit_of
from advisor.network.description import Network
from cost_models.estimate import Costs
from cost_models.workload import Workload
from specs.limits import METRICS
from specs.spec import Spec
from specs.units import human


def margin_rows(row: Info, spec: Spec) -> list[Row]:
    """Every limit held against its figure, in words."""
    rows = []
    for margin in row["margins"]:
        limit = spec.limit(margin["limit"])
        verdict = {True: "met", False: "missed", None: "not known"}[margin["met"]]
        rows.append({"limit": limit_text(limit) if limit else margin["limit"],
                     "figure": figure_text(margin["figure"], margin["unit"]),
                     "margin": margin_text(margin), "verdict": verdict})  # fmt: skip
    return rows


def figure_rows(row: Info) -> list[Row]:
    """Every figure of an evaluation: value and interval with unit, provenance, samples behind it."""
    rows = []
    for name in (*METRICS, *(name for name in row["metrics"] if name not in METRICS)):
        figure = row["metrics"].get(name)
        if figure is None:
            continue
        unit, value = unit_of(name), figure.get("value")
        low, high = figure.get("low"), figure.get("high")
        exact = low is None or high is None or low == high
        interval = "exact" if exact else f"{human(low, unit)} to {human(high, unit)}"
        rows.append(
            {
                "figure": label_of(name),
                "value": "unknown" if value is None else human(value, unit),
                "90 % interval": "" if value is None else interval,
                "provenance": figure.get("reason", "") if value is None else figure.get("source", ""),
                "samples": str(figure["n"]) if figure.get("n") else "",
            }
        )
    return rows


def layer_points(rows: Sequence[Row], axis: Axis) -> list[Row]:
    """What the chart of the layers draws: those with a known cost, in the axis' unit."""
    names = ("layer", "kind", "output", "latency", "share")
    return [
        {**{name: row[name] for name in names}, "cost": row["latency_ms"] / axis.factor, "bound": row["held back by"]}
        for row in rows
        if row["latency_ms"] is not None
    ]


def layer_rows(workload: Workload, costs: Costs) -> list[Row]:
    """The operators of a workload with what each costs; `latency_ms` is None where nothing is known."""
    total = sum(layer.latency_ms or 0.0 for layer in costs.layers)
    rows = []
    for number, (op, cost) in enumerate(zip(workload.operators, costs.layers, strict=True), 1):
        shape = workload.tensors[op.outputs[0]].shape if op.outputs else ()
        rows.append(
            {
                "layer": f"{number} {op.name}"[:60],
                "kind": op.kind if op.kind != "other" else f"other: {op.op}",
                "kernel": times(op.kernel),
                "stride": times(op.stride),
                "output": times(shape),
                "multiply-accumulates": human(op.macs, "") if op.macs else "0",
                "bytes moved": human(cost.bytes, "B"),
                "latency_ms": cost.latency_ms,
                "latency": "unknown" if cost.latency_ms is None else human(cost.latency_ms, "ms"),
                "share": "" if not total else f"{100 * (cost.latency_ms or 0.0) / total:.1f} %",
                "held back by": cost.bound,
            }
        )
    return rows


def network_rows(network: Network) -> list[Row]:
    """The layers as designed, after pruning."""
    return [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "reads": ", ".join(layer.inputs),
            "kernel": times(layer.kernel) if layer.kind in ("conv", "dwconv", "max-pool", "avg-pool") else "",
            "stride": times(layer.stride) if layer.kind in ("conv", "dwconv", "max-pool", "avg-pool") else "",
            "activation": layer.activation,
            "output": times(network.shapes[layer.name]),
        }
        for layer in network.layers
    ]


def measurement_rows(found: Sequence[Info]) -> list[Row]:
    """Measurements of one candidate with the conditions they were taken under, oldest first."""
    rows = []
    for data in found:
        print_, quantiles = data.get("fingerprint") or {}, data.get("quantiles_ms") or {}
        shown: Row = {"runs": str(data.get("count", 0))}
        for stat in ("p50", "p95", "p99"):
            value = quantiles.get(stat)
            shown[stat] = "unknown" if value is None else human(value, "ms")
        if data.get("error"):
            shown["state"] = f"failed: {data['error']}"
        else:
            shown["state"] = "noisy: processes disagree, or other work ran beside" if data.get("noisy") else "steady"
        clock = print_.get("clock_hz")
        versions = print_.get("versions") or {}
        shown |= {
            "protocol": data.get("protocol", ""),
            "machine": ", ".join(str(print_[key]) for key in ("cpu", "system") if print_.get(key)),
            "clock": human(clock, "Hz") if clock else "unknown",
            "governor": str(print_.get("governor", "unknown")),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        }
        rows.append(shown)
    return rows


def times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
