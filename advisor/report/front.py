"""The front as text, from the same info that `front --json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor.report.text import table
from specs.limits import METRICS
from specs.spec import Spec
from specs.units import human

SHORT = {"measured": "", "computed": "", "predicted": "≈", "assumed": "~", "vendor-estimate": "≈v", "emulated": "≈e"}
LEGEND = "≈ predicted, ~ assumed, otherwise measured or computed; every figure's source and interval: --json"


def front_text(spec: Spec, info: Mapping[str, Any], *, every: bool = False) -> str:
    """Verdict, counts and a table: the front, or the least-violating candidates where nothing is feasible."""
    counts = info["counts"]
    lines = [
        f"{spec.name}: {info['verdict']} · {counts['evaluated']} candidates evaluated, {counts['feasible']} feasible, "
        f"{counts['on_front']} on the front, {counts['skipped']} skipped before training, {counts['failed']} failed"
    ]
    rows = [row for row in info["evaluations"] if every or row["on_front"] or _compared(row)]
    if rows:
        lines += ["", table(_headers(spec), [_row(spec, row) for row in sorted(rows, key=_order)]), "", LEGEND]
    for failure in info["failures"][:3]:
        lines.append(f"failed ({failure['count']}×): {failure['reason']}")
    if info["least_violating"]:
        lines += ["", *_fallback_text(spec, info)]
    return "\n".join(lines)


def _compared(row: Mapping[str, Any]) -> bool:
    """Feasible and scored on the test split though off the front: the most accurate of its quantization."""
    return bool(row["feasible"]) and "test_accuracy" in row["details"]


def _fallback_text(spec: Spec, info: Mapping[str, Any]) -> list[str]:
    wanted = list(info["least_violating"])
    rows = {f"{row['id']}@{row['target']}": row for row in info["evaluations"]}
    chosen = [rows[key] for key in wanted if key in rows]
    lines = [
        "nothing meets every hard limit; nearest first:",
        "",
        table(_headers(spec), [_row(spec, r) for r in chosen]),
        "",
    ]
    for row in chosen:
        words = [text for margin in row["margins"] if (text := margin_text(margin))]
        lines.append(f"{row['id']}: " + ("; ".join(words) or "meets every limit that is known"))
    return lines


def margin_text(margin: Mapping[str, Any]) -> str:
    """One limit that is not met, in words; the empty string for one that is."""
    if margin["met"]:
        return ""
    name, unit = margin["limit"], margin["unit"]
    kind = " (soft)" if margin["soft"] else ""
    if margin["met"] is None:
        return f"{name}{kind} unknown: {margin['figure'].get('reason', '')}"
    value = margin["figure"]["value"]
    bound = f"{margin['bound']:.3g}" if unit == "" else human(margin["bound"], unit)
    seen = f"{value:.4g}" if unit == "" else human(value, unit)
    distance = f"{margin['margin'] * 100:.2g} points" if unit == "" else f"{margin['margin'] * 100:.0f} %"
    if margin["figure"]["source"] not in ("measured", "computed"):
        seen += f" {margin['figure']['source']}; judged at the spec's risk, not at this value"
    return f"{name}{kind} misses {bound} by {distance} ({seen})"


def _headers(spec: Spec) -> Sequence[str]:
    stat = (limit.stat if (limit := spec.limit("latency")) else "p50") + " latency"
    return ("id", "target", spec.task.metric, "test", stat, "RAM", "model file", "MACs", "candidate")


def _row(spec: Spec, row: Mapping[str, Any]) -> Sequence[str]:
    metrics = row["metrics"]
    test = row["details"].get("test_accuracy", {})
    shown = (
        f"{test['value'] * 100:.1f} % ({test['low'] * 100:.1f}–{test['high'] * 100:.1f})" if test.get("value") else "–"
    )
    name = (
        row["description"]
        + ("" if row["on_front"] else " · off the front")
        + ("" if row["fidelity"] == "full" else " · short training")
    )
    return (
        row["id"],
        row["target"],
        _figure(metrics, "accuracy"),
        shown,
        _figure(metrics, "latency_ms"),
        _figure(metrics, "peak_ram_bytes"),
        _figure(metrics, "model_bytes"),
        human(metrics["macs"]["value"], "") if "macs" in metrics else "–",
        name,
    )


def _figure(metrics: Mapping[str, Any], name: str) -> str:
    data = metrics.get(name) or {}
    if data.get("value") is None:
        return "–"
    unit = METRICS[name].unit if name in METRICS else "B"
    text = f"{data['value'] * 100:.1f} %" if unit == "" else human(data["value"], unit)
    return SHORT.get(data["source"], "") + text


def _order(row: Mapping[str, Any]) -> tuple[str, bool, float]:
    return (row["target"], not row["on_front"], -(row["metrics"].get("accuracy", {}).get("value") or 0.0))
