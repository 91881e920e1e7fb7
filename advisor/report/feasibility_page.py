"""The feasibility report as one HTML page: no script, no link needed, everything from the user escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from advisor.report.feasibility_info import (
    CHIP_HEADERS,
    HEADERS,
    NO_CHIPS,
    WAYS_TITLE,
    chip_rows,
    chips_rest,
    chips_title,
    input_text,
    limit_rows,
    target_notes,
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --dim: #57606a; --line: #d0d7de; --paper: #fff; --soft: #f6f8fa;
  --good: #1a7f37; --bad: #b3261e; --open: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #3d444d; --paper: #14181d;
  --soft: #1c2128; --good: #4ac26b; --bad: #ff8a80; --open: #d4a72c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, ul { margin: .4rem 0; } ul { padding-left: 1.2rem; } li { margin: .25rem 0; }
.dim { color: var(--dim); font-size: .9rem; }
.verdict { border-left: .35rem solid var(--open); background: var(--soft); padding: .8rem 1rem; margin: 1rem 0; }
.verdict.bad { border-color: var(--bad); }
.tag { font-weight: 600; color: var(--open); } .bad .tag, .tag.bad, td.no { color: var(--bad); }
td.yes { color: var(--good); } td.no { font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
code { font: .9em ui-monospace, monospace; background: var(--soft); padding: .1em .3em; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } }
""".strip()


def as_html(info: dict[str, Any]) -> str:
    """A complete document; readable on screen and on paper, light and dark."""
    bad = " bad" if info["verdict"] != "possible" else ""
    parts = [
        f"<h1>{escape(info['name'])}</h1>",
        f'<p class="dim">Feasibility, before training · spec <code>{escape(info["spec_id"])}</code></p>',
        f'<div class="verdict{bad}"><p class="tag">{escape(info["verdict"].capitalize())}</p>'
        f"<p>{escape(info['summary'])}</p></div>",
        f'<p class="dim">Input: {escape(input_text(info))}</p>',
    ]
    for target in info["targets"]:
        parts.append(_target(target))
    if info["relaxations"]:
        parts.append(f"<h2>{WAYS_TITLE}</h2>{_list([_code(way['text']) for way in info['relaxations']])}")
    rows = chip_rows(info, short=False)
    if rows:
        parts.append(f"<h2>{escape(chips_title(info))}</h2>{_table(CHIP_HEADERS, rows)}")
        parts.append(f'<p class="dim">{escape(chips_rest(info))}</p>')
    else:
        parts.append(f"<p>{escape(f'{NO_CHIPS} {chips_rest(info)}')}</p>")
    if info["findings"]:
        items = [
            f'<span class="tag{" bad" if f["severity"] == "problem" else ""}">{escape(f["code"])}</span> '
            f"{escape(f['severity'])}: {escape(f['title'])}: {escape(f['text'])}"
            for f in info["findings"]
        ]
        parts.append(f"<h2>Findings</h2>{_list(items)}")
    parts.append(f'<p class="dim">{escape(_LEGEND)}</p>')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['name'])}: {escape(info['verdict'])}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


_LEGEND = (
    "Best possible: a bound that no candidate of the search space can beat, not a promise that one reaches it. "
    "Best small candidate: what the cost model predicts for the candidate that does best on that limit, with its 90 % "
    "interval; ✗ where it misses at the risk the spec accepts. Every figure names where it comes from."
)


def _target(target: dict[str, Any]) -> str:
    bad = " bad" if target["verdict"] != "possible" else ""
    title = f"{escape(target['target'])} · {escape(target['chip'])}"
    parts = [f'<h2>{title} <span class="tag{bad}">{escape(target["verdict"])}</span></h2>']
    if target["unsupported"]:
        parts.append(f"<p>{escape(target['unsupported'])}</p>")
    if target["limits"]:
        parts.append(_table(HEADERS, limit_rows(target, short=False), reach=4))
    notes = target_notes(target)
    if notes:
        parts.append(_list([escape(note) for note in notes]))
    return "\n".join(parts)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], reach: int = -1) -> str:
    """`reach` is the column coloured by its yes or no."""
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(_cell(cell, i == reach) for i, cell in enumerate(row))}</tr>\n" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def _cell(text: str, coloured: bool) -> str:
    kind = f' class="{text.lower()}"' if coloured and text in ("yes", "NO") else ""
    return f"<td{kind}>{escape(text)}</td>"


def _list(items: Sequence[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{item}</li>\n" for item in items) + "</ul>"


def _code(text: str) -> str:
    """Escaped text with `…` as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))
