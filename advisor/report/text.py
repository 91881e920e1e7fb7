"""Figures and tables in plain text, for terminals and Markdown alike."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from cost_models.estimate import Estimate
from specs.units import DIMENSIONS, human

RULE = "─"
WIDTH = 100
"""Columns of a terminal that text is laid out for."""
_UNITS = {dimension.canonical: dimension.units for dimension in DIMENSIONS}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int = 0) -> str:
    """Columns as wide as their widest cell, two blanks between; all rows have as many cells. No rows: the header.

    `width` above 0 is the most a line may take: the last column is wrapped to it.
    """
    widths = [max(len(line[i]) for line in (headers, *rows)) for i in range(len(headers))]
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    if width and before + widths[-1] > width:
        widths[-1] = max(12, width - before)
    lines = [_line(headers, widths), _line([RULE * width for width in widths], widths)]
    for row in rows:
        pieces = textwrap.wrap(row[-1], widths[-1]) or [""]
        lines.append(_line([*row[:-1], pieces[0]], widths))
        lines += [_line([""] * (len(widths) - 1) + [piece], widths) for piece in pieces[1:]]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same for Markdown; cells are escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line if i == 1 else [markdown(cell) for cell in line]) + " |"
                     for i, line in enumerate(lines))  # fmt: skip


def markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    for char in "\\`*_[]<>|#":
        text = text.replace(char, "&lt;" if char == "<" else f"\\{char}")
    return " ".join(text.split())


def figure_text(estimate: Estimate, unit: str) -> str:
    """`12.3 ms (9.8–15.1 ms, predicted)`, an exact one as `12.3 ms (computed)`, an absent one as `unknown: REASON`."""
    if estimate.value is None:
        return f"unknown: {estimate.reason}"
    value, low, high = (human(v, unit) for v in (estimate.value, estimate.low or 0.0, estimate.high or 0.0))
    source = estimate.source if estimate.source != "measured" else f"measured, n={estimate.n}"
    if low == value == high:
        return f"{value} ({source})"
    name = value.partition(" ")[2]
    if low.endswith(f" {name}") and high.endswith(f" {name}"):
        low, high = low.removesuffix(f" {name}"), high.removesuffix(f" {name}")
    return f"{value} ({low}–{high}, {source})"


def bound_text(value: float, unit: str) -> str:
    """A limit's bound as its spec might say it: `20 ms`, `97.66 KiB`; shares as percentages."""
    if unit == "":
        return f"{value * 100:.4g} %"
    name = human(value, unit).partition(" ")[2]
    factor = _UNITS.get(unit, {}).get(name, 1.0)
    return f"{value / factor:.4g} {name}" if abs(value) < 1e4 * factor else human(value, unit)


def quantity_text(text: str) -> str:
    """What a spec's document says, in the unit people use: `262144 B` as `256 KiB`; other text as it is."""
    number, _, unit = text.partition(" ")
    try:
        return bound_text(float(number), unit) if unit else text
    except ValueError:
        return text


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """A signed share as people read it: `-12 %`, `+3.4 %`, `×25` beyond ten times."""
    if share >= 9.995:
        return f"×{share + 1:.3g}" if share < 999 else f"×{share + 1:.0f}"
    if share <= -9.995:
        return "<-999 %"
    if 0 < share < 0.0005:
        return "<+0.1 %"
    digits = f"{100 * share:+.0f}" if abs(share) >= 0.0995 else f"{100 * share:+.1f}"
    return f"{digits} %"


def wrapped(text: str, indent: str = "", width: int = WIDTH) -> str:
    """`text` in lines of at most `width`, all but the first one indented."""
    return "\n".join(textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False) or [""])
