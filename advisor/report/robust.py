"""Accuracy under corruption as rows of text: of one candidate by severity, of several by corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor.report.text import table

Row = dict[str, str]


def robust_rows(details: Mapping[str, Any]) -> list[Row]:
    """One row a corruption: its score with interval, and at each severity with what the severity was."""
    rows = []
    for name, found in _under(details).items():
        if found.get("value") is None:
            rows.append({"corruption": name, "mean": "not judged", "90 % interval": str(found.get("reason", ""))})
            continue
        row = {
            "corruption": name,
            "mean": _share(found["value"]),
            "90 % interval": f"{_share(found['low'])} to {_share(found['high'])}",
        }
        scores, levels = found.get("severities") or (), found.get("levels") or ()
        for severity, (score, level) in enumerate(zip(scores, levels, strict=False), 1):
            shown = "–" if score["value"] is None else _share(score["value"])
            row[f"severity {severity}"] = f"{shown} at {level:g} {found.get('unit', '')}".rstrip()
        rows.append(row)
    return rows


def robust_text(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """A table of the given `front_info` rows: each candidate's score under every corruption, its worst marked, and
    their mean on test samples where `test_robust_accuracy` among the details has it; then what could not be judged.
    Empty where nothing was judged under corruption."""
    judged = [row for row in evaluations if _under(row["details"])]
    if not judged:
        return ""
    names = list(dict.fromkeys(name for row in judged for name in _under(row["details"])))
    reasons = {
        name: str(found["reason"]) for row in judged for name, found in _under(row["details"]).items()
        if found.get("value") is None and found.get("reason")
    }  # fmt: skip
    names = [name for name in names if name not in reasons]
    lines = [f"{name}: not judged, {reason}" for name, reason in reasons.items()]
    if names:
        shown = [[row["id"], row["target"], *(_cell(row["details"], name) for name in names)] for row in judged]
        means = [(row["details"].get("test_robust_accuracy") or {}).get("value") for row in judged]
        headers = ["under corruption", "target", *names]
        if any(mean is not None for mean in means):
            headers.append("mean on test")
            shown = [[*cells, "–" if m is None else _share(m)] for cells, m in zip(shown, means, strict=True)]
        lines.insert(0, table(headers, shown))
    return "\n".join(lines)


def _cell(details: Mapping[str, Any], name: str) -> str:
    value = _under(details).get(name, {}).get("value")
    if value is None:
        return "–"
    return _share(value) + (" worst" if details["robust"].get("worst") == name else "")


def _under(details: Mapping[str, Any]) -> Mapping[str, Any]:
    found = details.get("robust")
    under = found.get("under") if isinstance(found, Mapping) else None
    return under if isinstance(under, Mapping) else {}


def _share(value: float) -> str:
    return f"{value * 100:.1f} %"
