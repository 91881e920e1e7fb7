"""The front as text, from the same info that `front --json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor.picks import text_of
from advisor.report.baseline import baseline_text, standing
from advisor.report.calibration import calibration_text, named
from advisor.report.robust import robust_text
from advisor.report.text import bound_text, plural, table
from specs.limits import METRICS
from specs.spec import Spec
from specs.units import human

SHORT = {"measured": "", "computed": "", "predicted": "≈", "assumed": "~", "vendor-estimate": "≈v", "emulated": "≈e"}
LEGEND = "≈ predicted, ~ assumed, otherwise measured or computed; every figure's source and interval: --json"
ROWS = 40
"""Rows of the table that people are shown without asking for all; named picks are always among them."""
WIDTH = 120
RUNGS = {"costs": "costs", "cheap": "brief trainings", "trained": "longer trainings", "artifact": "exports",
         "untrained": "untrained exports", "device": "measuring"}  # fmt: skip
"""What people call the rungs that seconds are told of."""


def front_text(spec: Spec, info: Mapping[str, Any], *, every: bool = False, folder: str = "RUN") -> str:
    """Verdict, counts and a table: the front, or the least-violating candidates where nothing is feasible; then the
    named picks and why, what would help (as commands on the run in `folder`), what calibrations changed."""
    counts = info["counts"]
    lines = [
        f"{spec.name}: {_verdict(info)} · {plural(counts['evaluated'], 'candidate')} evaluated, {counts['feasible']} "
        f"feasible, {counts['on_front']} on the front; {counts['brief']} not taken beyond a brief training, "
        f"{counts['skipped']} skipped before any, {counts['failed']} failed"
    ]
    wanted = [row for row in info["evaluations"] if every or row["on_front"] or _compared(row)]
    rows = sorted(wanted, key=_order) if every else sorted(_first(info, wanted), key=_order)
    today = info.get("baseline", [])
    if rows or today:
        lines += ["", table(_headers(spec), [_row(spec, row) for row in (*today, *rows)]), "", LEGEND]
    lines += [f"{part['quantization']} not tried on {part['target']}: {part['reason']}"
              for part in info.get("left_out", ())]  # fmt: skip
    lines += [_unmeasured_text(part) for part in info["measured"] if part["measured"] < part["of"]]
    lines += baseline_text(info)
    if len(rows) < len(wanted):
        lines.append(f"{len(wanted) - len(rows)} more on the front: --all shows them")
    lines += _picks_text(info)
    for failure in info["failures"][:3]:
        lines.append(f"failed ({failure['count']}×): {failure['reason']}")
    shown = {f"{row['id']}@{row['target']}" for row in rows} | set(info["least_violating"])
    looked_at = [row for row in info["evaluations"] if f"{row['id']}@{row['target']}" in shown]
    if under := robust_text(sorted(looked_at, key=_order)):
        lines += ["", under]
    if info["least_violating"]:
        lines += ["", *_fallback_text(spec, info, folder)]
    lines += calibration_text(info)
    if spent := spent_text(info.get("spent_s", {})):
        lines += ["", spent]
    if not info.get("finished", True):
        lines.append(f"not finished: continue with `advisor resume {folder}`")
    return "\n".join(lines)


def _verdict(info: Mapping[str, Any]) -> str:
    """`none found` says too little where candidates meet every limit and the baseline alone keeps them off."""
    if info["verdict"] == "none found" and info["counts"]["feasible"]:
        return "nothing to recommend, the baseline is better than every feasible candidate beyond noise"
    return str(info["verdict"])


def _unmeasured_text(part: Mapping[str, Any]) -> str:
    """What of a target's front is predicted."""
    if not part["measured"]:
        return f"not measured on {part['target']}: latency there, and what follows from it, is predicted"
    return (
        f"measured on {part['target']}: {part['measured']} of the {part['of']} on the front; the others are predicted"
    )


def _first(info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most ROWS of them, the named picks first."""
    named = {(pick["id"], pick["target"]) for pick in info["picks"]}
    return sorted(rows, key=lambda row: ((row["id"], row["target"]) not in named, _order(row)))[:ROWS]


def _picks_text(info: Mapping[str, Any]) -> list[str]:
    """A row a candidate that goes by a name, and why no other name is given."""
    if not info["picks"]:
        return []
    rows = [
        (", ".join(pick["names"]), pick["id"], pick["target"], "; ".join(dict.fromkeys(pick["why"].values())))
        for pick in info["picks"]
    ]
    absent = [f"no {pick['name']} pick: {pick['reason']}" for pick in info["absent_picks"]]
    return ["", table(("pick", "id", "target", "why"), rows, WIDTH), *absent]


def spent_text(told: Mapping[str, float]) -> str:
    """Where the time of workers and device went; empty where it is not known."""
    spent = [f"{words} {told[name]:.0f} s" for name, words in RUNGS.items() if told.get(name, 0) >= 0.5]
    return f"time of workers and device: {', '.join(spent)}" if spent else ""


def _compared(row: Mapping[str, Any]) -> bool:
    """Feasible and scored on the test split though off the front: the most accurate of its quantization."""
    return bool(row["feasible"]) and "test_accuracy" in row["details"]


def _fallback_text(spec: Spec, info: Mapping[str, Any], folder: str) -> list[str]:
    wanted = list(info["least_violating"])
    rows = {f"{row['id']}@{row['target']}": row for row in info["evaluations"]}
    chosen = [rows[key] for key in wanted if key in rows]
    targets = list(dict.fromkeys(row["target"] for row in chosen))
    where = f" on {', '.join(targets)}" if info["counts"]["on_front"] else ""
    lines = [
        f"nothing meets every hard limit{where}; nearest first:",
        "",
        table(_headers(spec), [_row(spec, r) for r in chosen]),
        "",
    ]
    for row in chosen:
        words = [text for margin in row["margins"] if (text := margin_text(margin))]
        lines.append(
            f"{named(row, len(targets) > 1)}: " + ("; ".join(words) or row["note"] or "meets every limit that is known")
        )
    if info.get("missed"):
        lines += ["", f"binding limit: {info['missed'][0]['text']}"]
        lines += [f"also {found['text']}" for found in info["missed"][1:]]
        lines += [f"way out: {way['text']}: advisor relax {folder} {way['options']}" for way in info["ways_out"]]
        if not info["ways_out"]:
            lines.append("no other bound helps: the chip's own memory is too small, or a figure is not known")
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
    bound, seen = bound_text(margin["bound"], unit), text_of(value, unit)
    distance = f"{margin['margin'] * 100:.2g} points" if unit == "" else f"{margin['margin'] * 100:.0f} %"
    if margin["figure"]["source"] not in ("measured", "computed"):
        seen += f" {margin['figure']['source']}; judged at the spec's risk, not at this value"
    return f"{name}{kind} misses {bound} by {distance} ({seen})"


def _headers(spec: Spec) -> Sequence[str]:
    stat = (limit.stat if (limit := spec.limit("latency")) else "p50") + " latency"
    robust = ("robust",) if spec.limit("robust_accuracy") else ()
    return ("id", "target", spec.task.metric, "test", *robust, stat, "RAM", "model file", "MACs", "candidate")


def _row(spec: Spec, row: Mapping[str, Any]) -> Sequence[str]:
    metrics = row["metrics"]
    test = row["details"].get("test_accuracy", {})
    shown = (
        f"{test['value'] * 100:.1f} % ({test['low'] * 100:.1f}–{test['high'] * 100:.1f})" if test.get("value") else "–"
    )
    name = row["description"] + standing(row)
    return (
        row["id"],
        row["target"],
        _figure(metrics, "accuracy"),
        shown,
        *((_figure(metrics, "robust_accuracy"),) if spec.limit("robust_accuracy") else ()),
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
