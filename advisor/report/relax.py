"""A front under other limits as text, from the info that `relax --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.report.calibration import changes_text
from advisor.report.front import front_text
from advisor.report.text import plural, quantity_text
from specs.spec import Spec


def relaxed_text(spec: Spec, info: Mapping[str, Any], folder: str) -> str:
    """The changed limits, what they change, and the front they leave."""
    before, counts = info["before"]["counts"], info["counts"]
    changes = [
        f"{c['limit']}.{c['key']}: {quantity_text(c['before']) or 'no limit'} → {quantity_text(c['after'])}"
        for c in info["limits"]
    ]
    lines = [*(changes or ["no limit changed"]),
             f"feasible {before['feasible']} → {counts['feasible']}, {changes_text(info['changes'])}"]  # fmt: skip
    if info["reachable"]:
        lines.append(
            f"{info['reachable']} of {plural(counts['skipped'], 'candidate')} skipped before training would not be "
            "refused now: "
            "only a search with these limits tells what they reach"
        )
    lines += ["", front_text(spec, info, folder=folder)]
    lines.append(f"\nnothing was written: the limits of {folder} are as they were")
    return "\n".join(lines)
