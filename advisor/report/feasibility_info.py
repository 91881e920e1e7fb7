"""The feasibility report as one document of JSON values, and the words its renderings share."""

from __future__ import annotations

from typing import Any

from advisor.feasibility.assess import Feasibility
from advisor.feasibility.chips import ChipOption
from advisor.feasibility.relax import Relaxation
from advisor.feasibility.verdict import LimitReport, TargetReport
from advisor.report.text import figure_text, percent, plural
from cost_models.estimate import Estimate
from specs.limits import LIMIT_METRIC, METRICS
from specs.units import human

LISTED = 10
"""Chips shown to people; the JSON has all."""
HEADERS = ("limit", "required", "best possible", "margin", "reach", "best small candidate")
CHIP_HEADERS = ("chip", "runtimes", "price")
NO_CHIPS = "No other chip of the catalogue is expected to pass."
WAYS_TITLE = "Ways out"


_SHORT = {"energy per inference": "energy", "power while inferring": "power", "RAM of the chip": "chip RAM",
          "flash of the chip": "chip flash", "accuracy under corruption": "robust accuracy",
          "accuracy lost against the baseline": "accuracy drop"}  # fmt: skip


def feasibility_info(report: Feasibility) -> dict[str, Any]:
    """The report as JSON values, figures with provenance and as text; the one source of every rendering."""
    return {
        "schema": 1,
        "spec_id": report.spec.id,
        "name": report.spec.name,
        "verdict": report.verdict,
        "exit_status": report.exit_status,
        "summary": summary(report),
        "input": {
            "shapes": [list(shape) for shape in report.peek.shapes],
            "classes": report.peek.classes,
            "assumed": report.peek.assumed,
            "note": report.peek.note,
        },
        "targets": [_target(target) for target in report.targets],
        "relaxations": [_relaxation(way) for way in report.relaxations],
        "chips": [_chip(chip) for chip in report.chips],
        "findings": [
            {"code": f.code, "severity": f.severity, "title": f.title, "text": f.text, "targets": list(f.targets)}
            for f in report.findings
        ],
    }


def summary(report: Feasibility) -> str:
    """The answer in one sentence."""
    able = [target.target for target in report.targets if not target.impossible]
    if able:
        names = ", ".join(able)
        tight = {f.code for f in report.findings} & {"EA006", "EA007"}
        tail = "; but see what is predicted below" if tight else ""
        return f"Nothing rules it out on {names}. Not a promise: what training decides is still open{tail}."
    parts = []
    for target in report.targets:
        why = target.unsupported or ", ".join(_gap(limit) for limit in target.binding)
        parts.append(f"{target.target}: {why}")
    if report.verdict == "possible":
        return f"Out of reach for the assumed input, though not proven for every data set. {'; '.join(parts)}."
    return f"No candidate of the whole search space can meet it. {'; '.join(parts)}."


def _target(target: TargetReport) -> dict[str, Any]:
    joint = target.joint
    return {
        "target": target.target,
        "chip": target.chip,
        "verdict": target.verdict,
        "impossible": target.impossible,
        "unsupported": target.unsupported,
        "binding": [limit.name for limit in target.binding],
        "limits": [_limit(limit) for limit in target.limits],
        "unknown": list(target.unknown),
        "joint": None if joint is None else {"candidate": joint.candidate, "feasible": joint.feasible,
                                             "missed": list(joint.missed), "tried": joint.tried},
    }  # fmt: skip


def _limit(limit: LimitReport) -> dict[str, Any]:
    return {
        "limit": limit.name,
        "label": limit.label,
        "scope": limit.scope,
        "sense": limit.sense,
        "soft": limit.soft,
        "unit": limit.unit,
        "bound": limit.bound,
        "best": limit.best.to_dict(),
        "margin": limit.margin,
        "met": limit.met,
        "binds": limit.binds,
        "candidate": limit.candidate,
        "basis": limit.basis,
        "expected": None if limit.expected is None else limit.expected.to_dict(),
        "likely": limit.likely,
    }


def _relaxation(way: Relaxation) -> dict[str, Any]:
    changes = [
        {"limit": change.limit, "before": change.before, "after": change.after, "text": change.text}
        for change in way.changes
    ]
    words = " and ".join(f"`{change.limit}: {{{change.text}}}`" for change in way.changes)
    does = "makes it possible" if way.single else "together make it possible"
    tail = (
        f"predicted for {way.candidate}, asked again with these limits"
        if way.verified
        else "the least that no bound rules out, not verified"
    )
    return {"target": way.target, "changes": changes, "single": way.single, "verified": way.verified,
            "candidate": way.candidate, "text": f"{words} {does} on {way.target}: {tail}"}  # fmt: skip


def _chip(chip: ChipOption) -> dict[str, Any]:
    return {"target": chip.target, "name": chip.name, "price_usd": chip.price.to_dict(), "price_note": chip.price_note,
            "likely": chip.likely, "open": list(chip.open)}  # fmt: skip


def input_text(info: dict[str, Any]) -> str:
    seen = info["input"]
    if seen["assumed"]:
        return f"ASSUMED: {seen['assumed']}"
    shapes = " or ".join("×".join(map(str, shape)) for shape in seen["shapes"])
    return f"{shapes}, {seen['classes']} classes ({seen['note'] or 'as read'})"


def limit_rows(target: dict[str, Any], *, short: bool = True) -> list[list[str]]:
    """One row a limit, in the order of the columns; `short` fits 100 columns."""
    rows = []
    for limit in target["limits"]:
        unit, best = limit["unit"], Estimate.from_dict(limit["best"])
        up = limit["sense"] == "max"
        required = f"{'≤' if up else '≥'} {human(limit['bound'], unit)}"
        if best.value is None:
            possible = "unknown" if short else f"unknown: {best.reason}"
        else:
            # an imported network may be as small as it likes
            possible = f"{'≥' if up else '≤'} {figure_text(best, unit)}" if best.value or not up else "no bound"
        expected = "" if limit["expected"] is None else expected_text(limit, short=short)
        margin = "" if limit["margin"] is None else percent(limit["margin"])
        label = (_SHORT.get(limit["label"], limit["label"]) if short else limit["label"]) + " (soft)" * limit["soft"]
        rows.append([label, required, possible, margin,
                     {True: "yes", False: "NO", None: "open"}[limit["met"]], expected])  # fmt: skip
    return rows


def expected_text(limit: dict[str, Any], *, short: bool = False) -> str:
    """The predicted figure of the best small candidate, marked where it misses."""
    estimate = Estimate.from_dict(limit["expected"])
    if estimate.value is None and short:
        return "unknown"
    mark = "" if limit["likely"] is not False else " ✗"
    return f"{figure_text(estimate, limit['unit'])}{mark}"


def target_notes(target: dict[str, Any]) -> list[str]:
    """What the table cannot hold: what binds and why, the best candidate, what is open."""
    notes = []
    for limit in target["limits"]:
        if limit["binds"]:
            by = f" ({limit['candidate']})" if limit["candidate"] else ""
            notes.append(f"Binds: {limit['label']}, from {limit['basis']}{by}.")
    joint = target["joint"]
    if joint:
        if joint["feasible"] is False:
            words = f"predicted to miss {', '.join(label_of(name) for name in joint['missed'])}"
        else:
            words = "predicted to meet all cost limits" if joint["feasible"] else "meets what can be predicted"
        notes.append(f"Nearest of {plural(joint['tried'], 'small candidate')}: {joint['candidate']}; {words}.")
    if target["unknown"]:
        notes.append(f"Open: {'; '.join(target['unknown'])}.")
    return notes


def label_of(limit: str) -> str:
    return METRICS[LIMIT_METRIC[limit]].label


def apart(value: float, other: float, unit: str) -> str:
    """`value` with as many digits as it takes to look different from `other`."""
    text = human(value, unit)
    if value == other or text != human(other, unit):
        return text
    digits = next((d for d in range(4, 17) if f"{value:.{d}g}" != f"{other:.{d}g}"), 16)
    return f"{value:.{digits}g} {unit}".strip()


def listed_chips(info: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The cheapest chips that people see, each with its runtimes: predicted to pass, or else not asked about."""
    found: list[list[dict[str, Any]]] = []
    for wanted in (True, None):
        by_chip: dict[str, list[dict[str, Any]]] = {}
        for chip in info["chips"]:
            if chip["likely"] is wanted and not chip["open"]:
                by_chip.setdefault(chip["target"].partition(":")[0], []).append(chip)
        found = found or list(by_chip.values())[:LISTED]
    return found


def chips_title(info: dict[str, Any]) -> str:
    predicted = any(chip["likely"] for group in listed_chips(info) for chip in group)
    what = "predicted to meet the cost limits" if predicted else "that no bound rules out"
    return f"Other chips of the catalogue {what}, by price"


def chips_rest(info: dict[str, Any]) -> str:
    """How many of the catalogue's targets are not listed, and why; empty where there are none."""
    shown = {chip["target"] for group in listed_chips(info) for chip in group}
    rest = [chip for chip in info["chips"] if chip["target"] not in shown]
    missed = sum(chip["likely"] is False for chip in rest)
    unanswered = sum(bool(chip["open"]) for chip in rest)
    parts = [
        (missed, "predicted to miss a limit"),
        (unanswered, "with limits that no published figure answers"),
        (len(rest) - missed - unanswered, "dearer or of unknown price"),
    ]
    words = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"No bound rules out {plural(len(rest), 'more target')}: {words}." if rest else ""


def chip_rows(info: dict[str, Any], *, short: bool = True) -> list[list[str]]:
    """Chip, runtimes, price; `short` leaves out names and what the price is for."""
    rows = []
    for group in listed_chips(info):
        price, (chip, _, _) = Estimate.from_dict(group[0]["price_usd"]), group[0]["target"].partition(":")
        runtimes = ", ".join(option["target"].partition(":")[2] for option in group)
        text = figure_text(price, "USD")
        if price.value is not None and not short:
            text += f", {group[0]['price_note']}"
        rows.append([chip if short else f"{chip} ({group[0]['name']})", runtimes, text])
    return rows


def finding_text(finding: dict[str, Any]) -> str:
    return f"{finding['code']} {finding['severity']}: {finding['title']}: {finding['text']}."


def _gap(limit: LimitReport) -> str:
    sign, word = ("at least", "allowed") if limit.sense == "max" else ("at most", "required")
    best = apart(limit.best.value or 0.0, limit.bound, limit.unit)
    have = "there" if limit.scope == "chip" else word
    return f"{limit.label} {sign} {best}, {human(limit.bound, limit.unit)} {have}"
