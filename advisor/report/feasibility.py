"""The feasibility report as text and Markdown; with `feasibility_info` and `as_html` all that callers need."""

from __future__ import annotations

from typing import Any

from advisor.report.feasibility_info import (
    CHIP_HEADERS,
    HEADERS,
    NO_CHIPS,
    WAYS_TITLE,
    chip_rows,
    chips_rest,
    chips_title,
    feasibility_info,
    finding_text,
    input_text,
    limit_rows,
    target_notes,
)
from advisor.report.feasibility_page import as_html
from advisor.report.text import WIDTH, markdown, markdown_table, table, wrapped

__all__ = ["as_html", "as_markdown", "as_text", "feasibility_info"]


def as_text(info: dict[str, Any]) -> str:
    """For terminals: at most 100 columns, no colours."""
    blocks = [f"{info['name']} (spec {info['spec_id']}): {info['verdict'].upper()}", wrapped(info["summary"])]
    blocks.append(wrapped(f"Input: {input_text(info)}"))
    for target in info["targets"]:
        lines = [f"{target['target']} ({target['chip']}): {target['verdict']}"]
        if target["unsupported"]:
            lines.append(wrapped(f"  {target['unsupported']}", "  "))
        if target["limits"]:
            lines.append(table(HEADERS, limit_rows(target), WIDTH))
        lines += [wrapped(f"  {note}", "    ") for note in target_notes(target)]
        blocks.append("\n".join(lines))
    if info["relaxations"]:
        lines = [WAYS_TITLE]
        blocks.append("\n".join([*lines, *(wrapped(f"  - {way['text']}", "    ") for way in info["relaxations"])]))
    if chip_rows(info):
        lines = [chips_title(info), table(CHIP_HEADERS, chip_rows(info), WIDTH), wrapped(chips_rest(info))]
        blocks.append("\n".join(line for line in lines if line))
    else:
        blocks.append(wrapped(f"{NO_CHIPS} {chips_rest(info)}".strip()))
    if info["findings"]:
        lines = [wrapped(finding_text(finding), "      ") for finding in info["findings"]]
        blocks.append("\n".join(["Findings", *lines]))
    return "\n\n".join(blocks) + "\n"


def as_markdown(info: dict[str, Any]) -> str:
    """The same as Markdown with tables."""
    blocks = [f"# {markdown(info['name'])}: {info['verdict']}", markdown(info["summary"])]
    blocks.append(f"Spec `{info['spec_id']}` · input: {markdown(input_text(info))}")
    for target in info["targets"]:
        blocks.append(f"## {markdown(target['target'])} ({markdown(target['chip'])}): {target['verdict']}")
        if target["unsupported"]:
            blocks.append(markdown(target["unsupported"]))
        if target["limits"]:
            blocks.append(markdown_table(HEADERS, limit_rows(target, short=False)))
        blocks += ["\n".join(f"- {markdown(note)}" for note in target_notes(target))]
    if info["relaxations"]:
        blocks.append(f"## {WAYS_TITLE}")
        blocks.append("\n".join(f"- {markdown(way['text'])}" for way in info["relaxations"]))
    if chip_rows(info):
        blocks += [f"## {chips_title(info)}", markdown_table(CHIP_HEADERS, chip_rows(info, short=False))]
        blocks.append(chips_rest(info))
    else:
        blocks.append(f"{NO_CHIPS} {chips_rest(info)}".strip())
    if info["findings"]:
        blocks += ["## Findings", "\n".join(f"- {markdown(finding_text(finding))}" for finding in info["findings"])]
    return "\n\n".join(block for block in blocks if block) + "\n"
