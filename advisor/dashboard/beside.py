"""What stands beside a front: the user's own model, and what corrected the cost model while the run went on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import streamlit as st

from advisor.dashboard.info import Info, Row, candidate_rows
from advisor.ledger import Calibration
from advisor.report.baseline import baseline_text
from advisor.report.calibration import learned_text
from advisor.report.front import spent_text


def baseline(info: Info, target: str | None) -> None:
    """The user's model with its figures and their sources, and how the candidates compare; nothing without one."""
    given = [row for row in info["baseline"] if target in (None, row["target"])]
    if not given:
        return
    st.subheader("Baseline")
    st.dataframe(candidate_rows({**info, "evaluations": given}), hide_index=True)
    for line in baseline_text({**info, "baseline": given}):
        st.caption(line.removeprefix("baseline: "))


def calibrations(made: Sequence[Calibration], target: str | None) -> None:
    """One row a correction of the cost model; nothing where there was none."""
    rows = calibration_rows([one for one in made if target in (None, one.target)])
    if not rows:
        return
    st.subheader("Calibrations")
    st.caption(
        "Corrections of the cost model by measurements on the device; errors are medians over what was measured."
    )
    st.dataframe(rows, hide_index=True)


def spent(told: Mapping[str, float]) -> None:
    """Where the time of workers and device went; nothing while the search goes on."""
    if words := spent_text(told):
        st.caption(words[:1].upper() + words[1:])


def calibration_rows(made: Sequence[Calibration]) -> list[Row]:
    """When, where, from how many measurements, and what it did to the error of predictions."""
    return [
        {
            "calibration": one.id,
            "target": one.target,
            "when": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.time)),
            "measurements": one.measurements,
            "what it did": learned_text(one.to_dict()),
            "measured with": ", ".join(f"{name} {version}" for name, version in one.versions.items()),
        }
        for one in made
    ]
