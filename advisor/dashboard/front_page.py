"""The front of a run: chart, limits to move, members or the nearest misses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from advisor.dashboard import beside
from advisor.dashboard.common import banner, choose_run, link, look
from advisor.dashboard.info import (
    available_axes,
    axis_of,
    candidate_rows,
    chart_rows,
    label_of,
    limit_lines,
    limit_options,
    limit_text,
    relaxed_spec,
    wants_log,
)
from advisor.dashboard.state import Snapshot
from advisor.front import Front, front, front_info
from specs.limits import Limit
from specs.spec import Spec
from specs.units import human

EVERY = "all targets"
REFRESH_S = 3
"""How often a running search is looked at again."""


def render(folder: Path) -> None:
    """The whole page."""
    st.title("Front")
    run = choose_run(folder)
    if run is None:
        return
    running = run.state == "running"
    st.fragment(_body, run_every=REFRESH_S if running else None)(run, running)


def _body(run: Snapshot, was_running: bool) -> None:
    if was_running:
        run = look(run.name, run.folder)  # the fragment runs again by itself
        if run.state != "running":
            st.rerun()
    content = run.content
    if content.spec is None or content.front is None:
        banner(run, {})
        return
    original = front_info(content.spec, content.front)
    if not banner(run, original["counts"]):
        return
    if not original["evaluations"]:
        st.info("No candidate has been trained yet." if was_running else "No candidate was trained.")
        _failures(run)
        return
    left, right = st.columns([3, 1])
    with right:
        spec = _moved(content.spec, run.name)
    changed = spec is not content.spec
    found = front(spec, content.evaluations) if changed else content.front
    info = front_info(spec, found)
    with left:
        if changed:
            feasible = info["counts"]["feasible"]
            skipped = original["counts"]["skipped"]
            hint = f" {skipped} were never trained because of the spec's limits; only a new search tells of those."
            st.info(f"With the limits moved: {feasible} feasible instead of {original['counts']['feasible']}."
                    + hint * bool(skipped))  # fmt: skip
        target = _target(info)
        _chart(spec, info, target)
    _tables(info, found, target)
    beside.baseline(info, target)
    beside.calibrations(content.calibrations, target)
    beside.spent(content.spent_s)
    _failures(run)


def _moved(spec: Spec, name: str) -> Spec:
    """The spec with the bounds the sliders stand at."""
    st.subheader("Limits")
    if not spec.limits:
        st.caption("The spec has none: everything is feasible.")
        return spec
    st.caption("Move a limit: the candidates already evaluated answer at once. Nothing is searched or written.")
    if st.button("Back to the spec's limits", width="stretch"):
        for limit in spec.limits:
            st.session_state.pop(_key(name, limit), None)
    changes = {}
    for limit in spec.limits:
        bound = st.select_slider(
            limit_text(limit), limit_options(limit), limit.bound, key=_key(name, limit),
            format_func=partial(_shown, limit),
        )  # fmt: skip
        if bound != limit.bound:
            changes[limit.name] = float(bound)
    if not changes:
        return spec
    st.caption("Moved: " + ", ".join(changes))
    return relaxed_spec(spec, changes)


def _target(info: dict[str, Any]) -> str | None:
    targets = list(dict.fromkeys(row["target"] for row in info["evaluations"]))
    if len(targets) < 2:
        return None
    chosen = st.selectbox("Target", [EVERY, *targets])
    return None if chosen == EVERY else str(chosen)


def _chart(spec: Spec, info: dict[str, Any], target: str | None) -> None:
    from advisor.dashboard.charts import PICKED, front_chart

    metrics = available_axes(info)
    if len(metrics) < 2:
        st.info("There are not two figures to draw against each other yet.")
        return
    columns = st.columns([2, 2, 1, 1], vertical_alignment="bottom")
    across = columns[0].selectbox("Across", metrics, format_func=label_of)
    others = [metric for metric in metrics if metric != across]
    best = others.index("accuracy") if "accuracy" in others else 0
    up = columns[1].selectbox("Up", others, best, format_func=label_of)
    infeasible = columns[3].toggle("Infeasible", value=not info["counts"]["feasible"],
                                   help="Show the candidates that miss a hard limit")  # fmt: skip
    x, y = axis_of(info, across), axis_of(info, up)
    rows, lines = chart_rows(info, x, y, target=target, infeasible=infeasible), limit_lines(spec, x, y)
    log = columns[2].toggle("Log scale", value=wants_log(rows, lines), key=f"log:{across}")
    if not rows:
        st.info("No feasible candidate has both figures. Switch on Infeasible, or move a limit.")
        return
    log = log and all(row["x_low"] > 0 for row in rows)
    chart = front_chart(rows, lines, x, y, log=log)
    event: Any = st.altair_chart(chart, on_select="rerun", selection_mode=PICKED, key="front_chart")
    st.caption("Lines through a point are its 90 % interval; a predicted figure meets a limit only with the spec's "
               f"probability of {spec.feasible_probability:g}. Click a point to choose it.")  # fmt: skip
    picked = event["selection"].get(PICKED) if event else None
    if picked:
        _choose(f"{picked[0]['id']}@{picked[0]['target']}")


def _tables(info: dict[str, Any], found: Front, target: str | None) -> None:
    members = [row for row in found.members if target in (None, row.evaluation.target)]
    if members:
        st.subheader("On the front")
        keys = [f"{row.evaluation.id}@{row.evaluation.target}" for row in members]
        _table(info, keys, "members")
    nearest = [key for key in info["least_violating"] if target in (None, key.partition("@")[2])]
    if nearest:
        st.subheader("Nearest misses")
        st.caption("No candidate meets every hard limit" + (" on these targets:" if members else ":"))
        _table(info, nearest, "nearest", margins=True)


def _table(info: dict[str, Any], keys: list[str], name: str, *, margins: bool = False) -> None:
    rows = candidate_rows(info, keys, margins=margins)
    event: Any = st.dataframe(
        rows, hide_index=True, on_select="rerun", selection_mode="single-row", key=f"{name}_table"
    )
    chosen = event["selection"]["rows"] if event else []
    if chosen and chosen[0] < len(keys):
        _choose(keys[chosen[0]])
    else:
        st.caption("Select a row to look at the candidate.")


def _choose(key: str) -> None:
    st.session_state["chosen_candidate"] = key
    link("candidate", f"Look at {key}")


def _failures(run: Snapshot) -> None:
    for status, title in (("failed", "Failed"), ("skipped", "Skipped before training")):
        rows = [
            {"id": e.id, "target": e.target, "candidate": e.candidate.describe(), "reason": e.reason}
            for e in run.content.evaluations
            if e.status == status
        ]
        if rows:
            with st.expander(f"{title} ({len(rows)})"):
                st.dataframe(rows, hide_index=True)


def _key(run: str, limit: Limit) -> str:
    return f"limit:{run}:{limit.name}"


def _shown(limit: Limit, value: float) -> str:
    return human(value, limit.metric.unit)
