"""The dashboard's entry: three pages over the runs of one folder, for this machine only.

The folder is the script's first argument (`streamlit run app.py -- FOLDER`), or the current directory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit import runtime

from advisor.dashboard.candidate_page import render as candidate_page
from advisor.dashboard.front_page import render as front_page
from advisor.dashboard.spec_page import render as spec_page

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def render(arguments: Sequence[str] | None = None) -> None:
    """Draw the page the address names."""
    st.set_page_config("edge-advisor", layout="wide")
    if runtime.exists() and not is_loopback(st.get_option("server.address")):
        # forms take paths of this machine: that is for its own user only
        st.error("This dashboard reads files of the machine it runs on, so it is served to that machine only.")
        st.code("advisor dashboard\n# or\nstreamlit run app.py --server.address 127.0.0.1", language="bash")
        return
    folder = folder_of(sys.argv if arguments is None else arguments)
    pages = {
        "front": st.Page(_bound(front_page, folder), title="Front", url_path="front", default=True),
        "candidate": st.Page(_bound(candidate_page, folder), title="Candidate", url_path="candidate"),
        "spec": st.Page(_bound(spec_page, folder), title="Spec", url_path="spec"),
    }
    st.session_state["pages"] = pages
    st.navigation(list(pages.values()), position="top").run()


def folder_of(arguments: Sequence[str]) -> Path:
    """The folder the first argument names, or the current directory."""
    return Path(arguments[1]) if len(arguments) > 1 else Path()


def is_loopback(address: str | None) -> bool:
    """Whether a server bound to `address` answers this machine only; None binds to every interface."""
    return address in LOOPBACK


def _bound(page: Callable[[Path], None], folder: Path) -> Callable[[], None]:
    return partial(page, folder)


if __name__ == "__main__":
    render()
