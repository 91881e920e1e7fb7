"""One candidate: what it is, what it costs layer by layer, how it stands against the limits, its bundle."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import streamlit as st

from advisor.candidate import Candidate
from advisor.dashboard.candidate_info import (
    figure_rows,
    layer_points,
    layer_rows,
    margin_rows,
    measurement_rows,
    network_rows,
)
from advisor.dashboard.common import banner, choose_run, link, plain, quoted
from advisor.dashboard.info import figure_text, suited_axis
from advisor.dashboard.state import Snapshot, artifact_path
from advisor.front import Ranked, front_info, row_info
from advisor.report.robust import robust_rows
from cost_models.workload import Workload
from specs import catalog
from specs.errors import AdvisorError


def render(folder: Path) -> None:
    """The whole page."""
    st.title("Candidate")
    run = choose_run(folder)
    if run is None:
        return
    content = run.content
    if content.spec is None or content.front is None:
        banner(run, {})
        return
    row = _chosen(run)
    if row is None:
        if banner(run, front_info(content.spec, content.front)["counts"]):
            st.info("No candidate of this run was trained, so there is none to look at.")
        return
    info = row_info(row)
    _heading(run, row, info)
    st.subheader("Against the limits")
    if content.spec.limits:
        st.dataframe(margin_rows(info, content.spec), hide_index=True, height="content")
    else:
        st.caption("The spec has no limits.")
    st.subheader("Figures")
    st.dataframe(figure_rows(info), hide_index=True, height="content")
    _checks(run, row)
    _layers(run, row)
    _architecture(run, row.evaluation.candidate)
    _measurements(run, row)
    _bundle(run, row)


def _chosen(run: Snapshot) -> Ranked | None:
    """The evaluation to look at: members of the front first, then the nearest misses, then the others."""
    found = run.content.front
    assert found is not None  # noqa: S101 - render made sure
    rows = {_key(row): row for row in (*found.members, *found.fallback, *found.ranked)}
    if not rows:
        return None
    kinds = {_key(row): "nearest miss" for row in found.fallback} | {_key(row): "front" for row in found.members}
    keys = list(rows)
    wanted = st.session_state.get("chosen_candidate") or st.query_params.get("candidate")
    if wanted is not None and wanted not in keys:
        st.warning(plain(f"This run has no candidate '{wanted}'; showing the first."))
        wanted = None

    def words(key: str) -> str:
        return f"{kinds.get(key, 'other')}: {key} · {rows[key].evaluation.candidate.describe()}"

    key: str = st.selectbox("Candidate", keys, keys.index(wanted) if wanted else 0, format_func=words)
    st.session_state["chosen_candidate"] = key
    chosen: Ranked = rows[key]
    return chosen


def _heading(run: Snapshot, row: Ranked, info: dict[str, Any]) -> None:
    evaluation = row.evaluation
    verdict = {True: "meets every hard limit", False: "misses a hard limit",
               None: "is not decided: a figure is unknown"}[row.feasible]  # fmt: skip
    place = " and is on the front" if row.on_front else ""
    text = plain(f"{evaluation.candidate.describe()} on {evaluation.target} {verdict}{place}.")
    (st.success if row.feasible else st.warning)(text)
    if evaluation.fidelity != "full":
        st.caption("Trained briefly: a full training would likely be more accurate.")
    st.caption(plain(f"{run.folder} · {evaluation.id} · input {'×'.join(map(str, evaluation.candidate.shape))}"))


def _checks(run: Snapshot, row: Ranked) -> None:
    """What was checked of the exported file, beyond its costs."""
    st.subheader("Checked on the exported file")
    details = row.evaluation.details
    sqnr, agreement = details.get("sqnr_db"), details.get("agreement")
    shown = {
        "test accuracy": figure_text(details.get("test_accuracy") or {"reason": "not scored on the test split"}, ""),
        "signal to quantization noise": f"{sqnr:.1f} dB, computed" if isinstance(sqnr, (int, float)) else "unknown",
        "same answer as before compression": (
            f"{agreement * 100:.1f} % of samples, computed" if isinstance(agreement, (int, float)) else "unknown"
        ),
        "accuracy before compression": (
            f"{details['validation']:.3g}, measured"
            if isinstance(details.get("validation"), (int, float))
            else "unknown"
        ),
    }
    st.dataframe([{"check": name, "found": text} for name, text in shown.items()], hide_index=True)
    if under := robust_rows(details):
        st.caption("Under corruption, on validation samples: the mean over five severities, then each of them.")
        st.dataframe(under, hide_index=True)
    for note in details.get("notes") or ():
        st.caption(plain(str(note)))


def _layers(run: Snapshot, row: Ranked) -> None:
    from advisor.costs import cost_model
    from advisor.dashboard.charts import layer_chart

    st.subheader("Cost by layer")
    try:
        target = catalog.target(row.evaluation.target)
        workload, source = _workload(run, row)
        costs = cost_model(target).explain(workload, target)
    except AdvisorError as error:
        st.warning(plain(f"Not available. {error.line()}"))
        return
    rows = layer_rows(workload, costs)
    latency = row.evaluation.metric("latency_ms")
    st.caption(plain(f"Predicted for {target.id}, from {source}; in sum "
                     f"{figure_text(costs.metrics['latency_ms'].to_dict(), 'ms')}."))  # fmt: skip
    if latency.source == "measured":
        st.caption(
            plain(f"The whole model measured: {figure_text(latency.to_dict(), 'ms')}. Read the layers as shares.")
        )
    axis = suited_axis("latency_ms", max((row["latency_ms"] or 0.0 for row in rows), default=0.0))
    if points := layer_points(rows, axis):
        st.altair_chart(layer_chart(points, axis))
    st.dataframe([{k: v for k, v in row.items() if k != "latency_ms"} for row in rows], hide_index=True)
    if costs.unsupported:
        st.error(plain(f"{target.runtime.id} does not run: {', '.join(costs.unsupported)}"))
    for note in costs.notes:
        st.caption(plain(note))


def _workload(run: Snapshot, row: Ranked) -> tuple[Workload, str]:
    """The operators of the file itself, or of the network description where the file is gone.

    Raises:
        AdvisorError: neither can be read.
    """
    from advisor.space.search_space import workload_of
    from cost_models.read import read_workload

    evaluation = row.evaluation
    try:
        path = artifact_path(run.folder, evaluation)
        return read_workload(path), f"the file {path.name}"
    except AdvisorError as error:
        runtime = evaluation.target.partition(":")[2]
        workload = workload_of(evaluation.candidate, _classes(run), runtime)
        if workload is None:
            raise
        st.warning(plain(f"{error.line()}. Showing what the network's description says."))
        return workload, "the network's description"


def _architecture(run: Snapshot, candidate: Candidate) -> None:
    from advisor.space.search_space import deployed_network

    st.subheader("Architecture")
    try:
        network = deployed_network(candidate, _classes(run))
    except (AdvisorError, KeyError, TypeError, ValueError) as error:
        # parameters of a ledger of another version, or edited by hand
        st.warning(plain(f"The network cannot be built again: {error}"))
        return
    if network is None:
        st.caption("A network of another library: its operators are above, its layers are not described here.")
        return
    st.dataframe(network_rows(network), hide_index=True)


def _measurements(run: Snapshot, row: Ranked) -> None:
    st.subheader("Measured")
    found = [data for target, data in _measured(run, row.evaluation.id) if target == row.evaluation.target]
    if not found:
        st.caption("Never measured: latency is predicted.")
        return
    st.dataframe(measurement_rows(found), hide_index=True)


def _measured(run: Snapshot, candidate: str) -> list[tuple[str, dict[str, Any]]]:
    from advisor.ledger import Ledger

    try:
        ledger = Ledger.open(run.folder / "ledger.db", read_only=True)
        try:
            return [(target, data) for _, target, data in ledger.measurements(candidate)]
        finally:
            ledger.close()
    except (AdvisorError, ValueError) as error:
        st.warning(plain(str(error)))
        return []


def _bundle(run: Snapshot, row: Ranked) -> None:
    st.subheader("Bundle")
    evaluation = row.evaluation
    try:
        artifact_path(run.folder, evaluation)
    except AdvisorError as error:
        st.info(plain(f"No bundle. {error.line()}"))
        return
    held = st.session_state.get("bundle")
    name = (str(run.folder), _key(row), evaluation.artifact_sha256)
    st.caption("Model file, preprocessing, a script that runs it, test vectors that prove it, hashes of everything.")
    st.code(f"advisor export {quoted(run.folder)} --pick {evaluation.id}", language="bash")
    if st.button("Build the bundle") and (held is None or held[0] != name):
        try:
            with st.spinner("Building the bundle and running its proof"):
                held = (name, zipped(run, row))
            st.session_state["bundle"] = held
        except AdvisorError as error:
            st.error(plain(error.line()))
        except ImportError as error:
            st.error(plain(f"Bundles cannot be built by this installation: {error}"))
    if held is not None and held[0] == name:
        file = f"{run.content.spec.name if run.content.spec else run.name}-{evaluation.id}.zip"
        st.download_button("Download the bundle", held[1], file, "application/zip", on_click="ignore")
    link("front", "Back to the front")


def zipped(run: Snapshot, row: Ranked) -> bytes:
    """The evaluation's bundle as a zip file, built by the same function as `advisor export`."""
    from advisor.bundle import export_bundle
    from advisor.run import open_run

    opened = open_run(run.folder, read_only=True)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = export_bundle(opened, row, Path(temporary) / row.evaluation.id)
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                    archive.write(path, f"{row.evaluation.id}/{path.relative_to(folder).as_posix()}")
            return packed.getvalue()
    finally:
        opened.ledger.close()


def _classes(run: Snapshot) -> int:
    return max(1, len(run.content.facts.get("classes", "").split("\n")))


def _key(row: Ranked) -> str:
    return f"{row.evaluation.id}@{row.evaluation.target}"
