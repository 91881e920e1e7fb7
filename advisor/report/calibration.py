"""What corrected the cost model while a run went on, and what that changed, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.report.text import figure_text, plural
from cost_models.estimate import Estimate
from specs.limits import METRICS

MOVED = 5
"""Figures a calibration moved that people are shown."""
NAMED = 40
"""Members gained or lost that people are shown."""


def calibration_text(info: Mapping[str, Any]) -> list[str]:
    """How the cost model was corrected while the run went on, and what that did to the front."""
    if not info.get("calibrations"):
        return []
    lines = [""]
    for made in info["calibrations"]:
        lines.append(f"calibration {made['id']} of {made['target']}: {plural(made['measurements'], 'measurement')}, "
                     f"{learned_text(made)}")  # fmt: skip
    changes = info["changes"]
    since = f"since calibration {changes['since']}" if changes["since"] else "since before the first calibration"
    lines.append(f"{since}: {changes_text(changes)}")
    several = len({moved["target"] for moved in changes["moved"]}) > 1
    for moved in changes["moved"][:MOVED]:
        metric = METRICS[moved["metric"]]
        first, second = (figure_text(Estimate.from_dict(moved[key]), metric.unit) for key in ("before", "after"))
        label = f"{moved['statistic']} {metric.label}".strip()
        lines.append(f"  {named(moved, several)} {label}: {first} → {second}")
    if len(changes["moved"]) > MOVED:
        lines.append(f"  and {plural(len(changes['moved']) - MOVED, 'figure')} more: --json")
    return lines


def learned_text(made: Mapping[str, Any]) -> str:
    """What a calibration did to the error of predictions, and whether it helped."""
    before, after, compared = made["error_before"], made["error_after"], made["compared"]
    if before is None:
        return "prediction error unknown: nothing that was predicted was measured"
    if after is None or compared < 2:
        # the error after is that of candidates the correction never saw: of one there is no other to learn from
        told = plural(compared, "measurement")
        return f"prediction error {before * 100:.1f} % before; what it is now cannot be told from {told}"
    words = f"prediction error {before * 100:.1f} % → {after * 100:.1f} % (median of {compared})"
    if after < before:
        return words
    return f"{words}: the correction did not help yet"


def changes_text(changes: Mapping[str, Any]) -> str:
    """Members gained and lost, in a few words."""
    several = len({row["target"] for row in (*changes["gained"], *changes["lost"])}) > 1
    gained = ", ".join(named(row, several) for row in changes["gained"][:NAMED])
    lost = ", ".join(f"{named(row, several)} ({row['why']})" for row in changes["lost"][:NAMED])
    counted = f"{len(changes['gained'])} gained, {len(changes['lost'])} lost on the front"
    return counted + (f"; gained {gained}" if gained else "") + (f"; lost {lost}" if lost else "")


def named(row: Mapping[str, Any], several: bool) -> str:
    """A candidate's id, with its target where there are several."""
    return f"{row['id']} on {row['target']}" if several else str(row["id"])
