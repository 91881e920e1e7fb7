"""Figures and tables in plain text, for terminals and Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence

from cost_models.estimate import Estimate
from specs.units import human

RULE = "─"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two blanks between; numbers of columns must agree. No rows: the header."""
    widths = [max(len(str(line[i])) for line in (headers, *rows)) for i in range(len(headers))]
    lines = [headers, [RULE * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


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


def percent(share: float) -> str:
    """A signed share as people read it: `-12 %`, `+3.4 %`, `×25` beyond ten times."""
    if share >= 9.995:
        return f"×{share + 1:.3g}"
    if 0 < share < 0.0005:
        return "<+0.1 %"
    digits = f"{100 * share:+.0f}" if abs(share) >= 0.0995 else f"{100 * share:+.1f}"
    return f"{digits} %"


def wrapped(text: str, indent: str = "", width: int = 100) -> str:
    """`text` in lines of at most `width`, all but the first one indented."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False) or [""])
