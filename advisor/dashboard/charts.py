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
PICKED = "picked"
"""Name of the chart's selection."""


def front_chart(rows: Sequence[Row], lines: Sequence[Row], x: Axis, y: Axis, *, log: bool = False) -> Any:
    """Evaluations as points with their intervals, limits as dashed lines; a click selects `id` and `target`."""
    states = [state for state in STATES if any(row["state"] == state for row in rows)]
    sources = [source for source in SHAPES if any(row["provenance"] == source for row in rows)]
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    across = alt.X("x:Q", title=x.title, scale=scale)
    up = alt.Y("y:Q", title=y.title, scale=alt.Scale(zero=False))
    colour = alt.Color(
        "state:N", title="candidate", scale=alt.Scale(domain=states, range=[COLOURS[STATES.index(s)] for s in states])
    )
    base = alt.Chart(alt.Data(values=list(rows)))
    layers = [
        base.mark_rule(opacity=0.35).encode(across, up, alt.X2("x_high:Q"), color=colour).transform_calculate(
            x="datum.x_low"
        ),
        base.mark_rule(opacity=0.35).encode(across, up, y2=alt.Y2("y_high:Q"), color=colour).transform_calculate(
            y="datum.y_low"
        ),
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


def layer_chart(rows: Sequence[Row]) -> Any:
    """Latency by operator, coloured by what holds it back."""
    known = [row for row in rows if row["latency_ms"] is not None]
    return (
        alt.Chart(alt.Data(values=known))
        .mark_bar()
        .encode(
            alt.X("latency_ms:Q", title="latency (ms)"),
            alt.Y("layer:N", sort=None, title=None),
            alt.Color("held back by:N"),
            tooltip=[alt.Tooltip(f"{name}:N") for name in ("layer", "kind", "output", "latency", "share")],
        )
        .properties(height=max(120, 22 * len(known)))
    )


def _limits(lines: Sequence[Row], across: Any, up: Any) -> list[Any]:
    layers = []
    for name, channel in (("x", across), ("y", up)):
        mine = [{name: line["value"], "text": line["text"]} for line in lines if line["axis"] == name]
        if not mine:
            continue
        base = alt.Chart(alt.Data(values=mine)).encode(**{name: channel})
        layers.append(base.mark_rule(strokeDash=[6, 4], color="#cc0000").encode(tooltip=[alt.Tooltip("text:N")]))
        if name == "x":
            text = base.mark_text(align="right", baseline="bottom", angle=270, dx=-4, dy=-3, color="#cc0000")
            layers.append(text.encode(y=alt.value(0), text="text:N"))
        else:
            text = base.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color="#cc0000")
            layers.append(text.encode(x=alt.value(0), text="text:N"))
    return layers
