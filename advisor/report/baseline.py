"""What the front's text says of the user's baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.front import BEATEN


def standing(row: Mapping[str, Any]) -> str:
    """What a row of the table says after its candidate: where it stands, and on how much training."""
    if row["candidate"]["architecture"] == "baseline":
        reason = row["details"].get("not_run")
        return f" · does not run here: {reason}" if reason else " · today's model"
    off = "" if row["on_front"] else " · off the front" + (f": {row['note']}" if row["note"] else "")
    return off + ("" if row["fidelity"] == "full" else " · short training")


def baseline_text(info: Mapping[str, Any]) -> list[str]:
    """How the candidates compare with the baseline, and what to know of it; nothing where there is none."""
    given = info.get("baseline", [])
    if not given:
        return []
    rows = info["evaluations"]
    beaten = sum(row["note"] == BEATEN for row in rows)
    lines = []
    if beaten:
        lines.append(
            f"baseline: better beyond noise than {beaten} that would be on the front; they are not recommended"
        )
    if beaten and not any(row["on_front"] for row in rows):
        lines.append("baseline: nothing was found that it does not beat; keep it, or search longer")
    for note in dict.fromkeys(note for row in given for note in row["details"].get("notes", [])[1:]):
        lines.append(f"baseline: {note}")
    for row in given:
        missed = [margin["limit"] for margin in row["margins"] if margin["met"] is False and not margin["soft"]]
        if missed:
            lines.append(f"baseline: misses {', '.join(missed)} on {row['target']}")
    return lines
