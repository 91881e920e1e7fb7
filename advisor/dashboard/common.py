"""What the pages share: choosing a run, its banner, text that is shown as written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from advisor.dashboard.state import Content, Snapshot, Stamp, read, run_folders, stamp, state_of

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^=@/&])")


def plain(text: str) -> str:
    """`text` as it stands where Streamlit reads Markdown: names and messages from files link to nothing."""
    return _SPECIAL.sub(r"\\\1", text)


def choose_run(folder: Path) -> Snapshot | None:
    """The run to look at, chosen by name and kept over pages; a message and None where there is none."""
    runs = run_folders(folder)
    if not runs:
        st.info(plain(f"No run in {folder.absolute()} yet. A search makes one; this page then shows it, also while "
                      "it runs."))  # fmt: skip
        st.code("advisor init --name demo > demo.yaml\nadvisor search demo.yaml\nadvisor dashboard", language="bash")
        link("spec", "Write a spec")
        return None
    names = list(runs)
    wanted = st.session_state.get("chosen_run") or st.query_params.get("run")
    if wanted is not None and wanted not in names:
        st.warning(plain(f"There is no run '{wanted}' in this folder; showing the latest."))
        wanted = None
    name = st.selectbox("Run", names, index=names.index(wanted) if wanted else 0, key="run_box")
    st.session_state["chosen_run"] = name
    return look(name, runs[name])


def look(name: str, folder: Path) -> Snapshot:
    """The run as it is now; its ledger is read again only when it changed."""
    content = _content(str(folder), stamp(folder))
    return Snapshot(name, folder, state_of(folder, content), content)


def banner(run: Snapshot, counts: Mapping[str, Any]) -> bool:
    """The run's state with what to do next; False where there is nothing to show below."""
    place = str(run.folder)
    if run.state == "damaged":
        st.error(plain(f"This run cannot be read. {run.content.problem}"))
        st.write("Restore the file from a copy, or search again into a new folder:")
        st.code(f"advisor search {quoted(run.folder / 'spec.yaml')}", language="bash")
        return False
    if run.state == "running":
        st.info("Searching. The page follows the ledger; Ctrl-C in the search's terminal loses nothing.")
    elif run.state == "interrupted":
        st.warning("Interrupted before its end. What was evaluated is below; to continue where it stopped:")
        st.code(f"advisor resume {quoted(run.folder)}", language="bash")
    elif counts["on_front"]:
        st.success(f"Done: {counts['on_front']} of {counts['evaluated']} candidates are on the front.")
    else:
        st.warning("Done, and no candidate meets every hard limit. The nearest ones are below; see which limit is in "
                   "the way, move it with the sliders, or ask:")  # fmt: skip
        st.code(f"advisor feasibility {quoted(run.folder / 'spec.yaml')}", language="bash")
    columns = st.columns(5)
    labels = {"evaluated": "evaluated", "feasible": "feasible", "on_front": "on the front",
              "skipped": "skipped untrained", "failed": "failed"}  # fmt: skip
    for column, (key, label) in zip(columns, labels.items(), strict=True):
        column.metric(label, counts[key])
    st.caption(plain(f"{place} · spec {run.content.facts.get('spec_id', 'unknown')}"))
    return True


def link(page: str, label: str) -> None:
    """A link to another page, where pages are being served."""
    pages = st.session_state.get("pages", {})
    if page in pages:
        st.page_link(pages[page], label=label, icon=":material/arrow_forward:")


def quoted(path: Path) -> str:
    """A path for a shell's command line."""
    import shlex

    return shlex.quote(str(path))


@st.cache_resource(max_entries=8, show_spinner=False)
def _content(folder: str, changed: Stamp) -> Content:
    """`changed` is part of the key; Streamlit would leave it out if its name began with an underscore."""
    return read(Path(folder))
