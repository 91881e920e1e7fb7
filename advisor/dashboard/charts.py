"""Figures drawn from the rows of `info`: nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from advisor.dashboard.info import STATES, Axis, Row

COLOURS = ("#0072b2", "#56b4e9", "#999999", "#d55e00")
"""Of STATES; told apart by the colour-blind too (Okabe and Ito)."""
SHAPES = {"measured": "circle", "computed": "square", "predicted": "triangle-up", "assumed": "triangle-down",
          "vendor-estimate": "diamond", "emulated": "cross"}  # fmt: skip
PADDING = 16
"""Pixels between the outermost point or limit and the frame."""
PICKED = "picked"
"""Name of the chart's selection."""


def front_chart(rows: Sequence[Row], lines: Sequence[Row], x: Axis, y: Axis, *, log: bool = False) -> Any:
    """Evaluations as points with their intervals, limits as dashed lines; a click selects `id` and `target`."""
    states = [state for state in STATES if any(row["state"] == state for row in rows)]
    sources = [source for source in SHAPES if any(row["provenance"] == source for row in rows)]
    scale = alt.Scale(type="log", padding=PADDING) if log else alt.Scale(zero=False, padding=PADDING)
    rising = alt.Scale(zero=False, padding=PADDING)
    across, across_low = (alt.X(f"{name}:Q", title=x.title, scale=scale) for name in ("x", "x_low"))
    up, up_low = (alt.Y(f"{name}:Q", title=y.title, scale=rising) for name in ("y", "y_low"))
    colour = alt.Color(
        "state:N",
        title="candidate",
        scale=alt.Scale(domain=states, range=[COLOURS[STATES.index(state)] for state in states]),
        legend=alt.Legend(symbolOpacity=1),
    )
    base = _chart(rows)
    layers = [
        base.mark_rule(opacity=0.35).encode(across_low, up, alt.X2("x_high:Q"), color=colour),
        base.mark_rule(opacity=0.35).encode(across, up_low, alt.Y2("y_high:Q"), color=colour),
        base.mark_point(filled=True, size=110, opacity=0.9, stroke="black", strokeWidth=0.4)
        .encode(
            across,
            up,
            color=colour,
            shape=alt.Shape(
                "provenance:N",
                title="figures are",
                scale=alt.Scale(domain=sources, range=[SHAPES[source] for source in sources]),
            ),
            tooltip=[
                alt.Tooltip("candidate:N"),
                alt.Tooltip("id:N"),
                alt.Tooltip("target:N"),
                alt.Tooltip("x_text:N", title=x.label),
                alt.Tooltip("y_text:N", title=y.label),
                alt.Tooltip("state:N"),
                alt.Tooltip("missed:N", title="limits missed"),
                alt.Tooltip("fidelity:N", title="trained"),
            ],
        )
        .add_params(alt.selection_point(PICKED, fields=["id", "target"])),
        *_limits(lines, across, up),
    ]
    return alt.layer(*layers).properties(height=430)


def layer_chart(rows: Sequence[Row], axis: Axis) -> Any:
    """Latency by operator, coloured by what holds it back."""
    return (
        _chart(rows)
        .mark_bar()
        .encode(
            alt.X("cost:Q", title=axis.title),
            alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(labelOverlap=False, labelLimit=260)),
            alt.Color("bound:N", title="held back by"),
            tooltip=[alt.Tooltip(f"{name}:N") for name in ("layer", "kind", "output", "latency", "share", "bound")],
        )
        .properties(height=alt.Step(20))
    )


def _limits(lines: Sequence[Row], across: Any, up: Any) -> list[Any]:
    layers = []
    for name, channel in (("x", across), ("y", up)):
        mine = [{name: line["value"], "text": line["text"]} for line in lines if line["axis"] == name]
        if not mine:
            continue
        base = _chart(mine).encode(**{name: channel})
        layers.append(base.mark_rule(strokeDash=[6, 4], color="#cc0000").encode(tooltip=[alt.Tooltip("text:N")]))
        if name == "x":
            text = base.mark_text(align="right", baseline="bottom", angle=270, dx=-4, dy=-3, color="#cc0000")
            layers.append(text.encode(y=alt.value(0), text="text:N"))
        else:
            text = base.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color="#cc0000")
            layers.append(text.encode(x=alt.value(0), text="text:N"))
    return layers


def _chart(rows: Sequence[Row]) -> Any:
    return alt.Chart(alt.InlineData(values=list(rows)))
