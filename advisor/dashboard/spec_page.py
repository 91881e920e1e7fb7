"""A spec written in the browser: form or YAML, judged at every change, whether it can be met and what would help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from advisor.dashboard.common import plain, quoted
from advisor.dashboard.spec_form import Document, form
from advisor.dashboard.state import run_folders
from specs.catalog import root
from specs.errors import AdvisorError
from specs.reading import MAX_YAML_BYTES, parse_yaml
from specs.spec import Spec, load_spec, parse_spec
from specs.template import template

MODES = ("Form", "YAML")


def render(folder: Path) -> None:
    """The whole page."""
    st.title("Spec")
    left, right = st.columns([5, 4], gap="large")
    with left:
        text, spec, problem = _edit(folder)
    with right:
        if spec is None:
            st.error(plain(problem))
            st.caption("Nothing else is asked before the spec is valid.")
            return
        st.success(plain(f"Valid spec {spec.id}"))
        name = f"{spec.name}.yaml"
        st.download_button("Download the YAML", text, name, "application/yaml", on_click="ignore")
        st.code(f"advisor search {quoted(Path(name))}", language="bash")
        _feasibility(text, folder)


def _edit(folder: Path) -> tuple[str, Spec | None, str]:
    """The spec's text, the spec, or what is wrong with it.

    The state is one text. A new start, another mode, or coming back to the page (Streamlit forgets the widgets of a
    page that is not shown) gives the widgets new keys, so that they are filled from it again.
    """
    state = st.session_state
    columns = st.columns([3, 2], vertical_alignment="bottom")
    starts = _starts(folder)
    start = columns[0].selectbox("Start from", list(starts), key="spec_start")
    if columns[1].button("Start over from it", width="stretch") or "spec_text" not in state:
        state["spec_text"], state["spec_generation"] = starts[start](), state.get("spec_generation", 0) + 1
    shown = state.get("spec_mode_shown", MODES[0])
    mode = st.radio("Write it as", MODES, MODES.index(shown), horizontal=True, key="spec_mode")
    if shown == "YAML" and mode == "Form" and (problem := _judge(state["spec_text"], folder)[1]):
        st.warning(plain(f"The form shows valid specs only; correct the YAML first. {problem}"))
        mode = shown
    probe = "yaml" if mode == "YAML" else "name"
    if mode != shown or f"spec{state['spec_generation']}:{probe}" not in state:
        state["spec_generation"] += 1
        state["spec_base"] = state["spec_text"]
    state["spec_mode_shown"] = mode
    prefix = f"spec{state['spec_generation']}:"
    if mode == "YAML":
        found = st.text_area("YAML", state["spec_base"], 640, MAX_YAML_BYTES, key=f"{prefix}yaml")
        state["spec_text"] = found or ""
    else:
        document = parse_yaml(state["spec_base"], "spec")
        state["spec_text"] = _text(form(document if isinstance(document, dict) else {}, prefix))
    text: str = state["spec_text"]
    return text, *_judge(text, folder)


def _judge(text: str, folder: Path) -> tuple[Spec | None, str]:
    try:
        return parse_spec(text, folder=folder), ""
    except AdvisorError as error:
        return None, error.line()


def _text(document: Document) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def _starts(folder: Path) -> dict[str, Callable[[], str]]:
    """What a spec can be started from: shipped examples, an empty one, the specs of the runs here."""
    examples = sorted((root() / "examples").glob("*.yaml"), key=lambda path: (path.stem != "digits", path.stem))
    starts: dict[str, Callable[[], str]] = {f"example {path.stem}": partial(_read, path) for path in examples}
    starts["an empty spec"] = partial(template, "my-spec", "image-classification", "data/my-images", ["stm32h743:tflm"])
    for name, run in run_folders(folder).items():
        if (run / "spec.yaml").is_file():
            starts[f"run {name}"] = partial(_read, run / "spec.yaml")
    return starts


def _read(path: Path) -> str:
    """The text of a spec that loads, comments and all, or as a run resolved it; of one that does not load the first
    example, and a warning."""
    try:
        spec = load_spec(path)
        return spec.to_yaml() if (path.parent / "ledger.db").is_file() else path.read_text("utf-8-sig")
    except (AdvisorError, OSError, UnicodeDecodeError) as error:
        st.warning(plain(f"Not a spec to start from. {error}"))
        return template("my-spec", "image-classification", "digits", ["host:onnxruntime"])


def _feasibility(text: str, folder: Path) -> None:
    """Verdict, bounds by limit, ways out, chips that pass: what `advisor feasibility` says."""
    try:
        from advisor.report.feasibility_info import (
            CHIP_HEADERS,
            HEADERS,
            WAYS_TITLE,
            chip_rows,
            chips_title,
            finding_text,
            input_text,
            limit_rows,
            target_notes,
        )

        info = _feasible(text, str(folder.absolute()))
    except AdvisorError as error:
        st.error(plain(error.line()))
        return
    impossible = all(target["impossible"] for target in info["targets"])
    st.subheader("Feasibility")
    (st.error if impossible else st.success)(plain(info["summary"]))
    st.caption(plain(f"Input: {input_text(info)}".replace("`", "")))
    for target in info["targets"]:
        st.markdown(plain(f"{target['target']} ({target['chip']}): {target['verdict']}"))
        if target["unsupported"]:
            st.error(plain(target["unsupported"]))
        if target["limits"]:
            st.dataframe(_table(HEADERS, limit_rows(target)), hide_index=True)
        for note in target_notes(target):
            st.caption(plain(note))
    if info["relaxations"]:
        st.subheader(WAYS_TITLE)
        for way in info["relaxations"]:
            st.markdown("- " + plain(way["text"].replace("`", "")))
    for finding in info["findings"]:
        {"problem": st.error, "warning": st.warning}.get(finding["severity"], st.info)(plain(finding_text(finding)))
    if info["chips"]:
        st.subheader("Chips that pass")
        st.caption(plain(chips_title(info)))
        st.dataframe(_table(CHIP_HEADERS, chip_rows(info)), hide_index=True)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    return [dict(zip(headers, row, strict=True)) for row in rows]


@st.cache_data(max_entries=32, ttl=60, show_spinner="Judging; nothing is trained")
def _feasible(text: str, folder: str) -> dict[str, Any]:
    from advisor.feasibility.assess import assess
    from advisor.report.feasibility import feasibility_info
    from advisor.tasks.peek import peek

    spec = parse_spec(text, folder=Path(folder))
    return feasibility_info(assess(spec, peek(spec)))
