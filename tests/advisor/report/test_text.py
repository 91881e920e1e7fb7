from __future__ import annotations

import pytest

from advisor.report.text import figure_text, markdown, markdown_table, percent, table, wrapped
from cost_models.estimate import Estimate


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("a", "long"), (("first", "x"), ("b", "yy"))).splitlines() == [
        "a      long",
        "─────  ────",
        "first  x",
        "b      yy",
    ]
    assert table(("a",), ()) == "a\n─"


@pytest.mark.parametrize(
    ("estimate", "unit", "text"),
    [
        (Estimate(12.3, 9.8, 15.1, "predicted"), "ms", "12.3 ms (9.8–15.1, predicted)"),
        (Estimate(12.3, 0.5, 15.1, "predicted"), "ms", "12.3 ms (500 us–15.1 ms, predicted)"),
        (Estimate(2048, 1024, 4096, "assumed"), "B", "2 KiB (1–4, assumed)"),
        (Estimate.exact(2048), "B", "2 KiB (computed)"),
        (Estimate(1.5, 1.4, 1.6, "measured", 30), "ms", "1.5 ms (1.4–1.6, measured, n=30)"),
        (Estimate(0.95, 0.9, 0.97, "measured", 40), "", "0.95 (0.9–0.97, measured, n=40)"),
        (Estimate.absent("no power states"), "mJ", "unknown: no power states"),
    ],
)
def test_figures_carry_interval_and_provenance(estimate: Estimate, unit: str, text: str) -> None:
    assert figure_text(estimate, unit) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (-0.91, "-91 %"),
        (0.034, "+3.4 %"),
        (0.0001, "<+0.1 %"),
        (1.7, "+170 %"),
        (24, "×25"),
        (0.0, "+0.0 %"),
        (-67.2, "<-999 %"),
    ],
)
def test_shares_read_well(share: float, text: str) -> None:
    assert percent(share) == text


def test_markdown_shows_text_as_it_is() -> None:
    assert markdown("a|b <i> *x*\ny") == "a\\|b &lt;i\\> \\*x\\* y"
    assert markdown_table(("a", "b"), (("1", "x|y"),)).splitlines()[2] == "| 1 | x\\|y |"


def test_wraps_with_an_indent() -> None:
    lines = wrapped("word " * 40, "    ", width=50).splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
    assert wrapped("") == ""
