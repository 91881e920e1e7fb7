"""A small real run, written without training: true candidates, one true model file, figures made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from advisor.candidate import Candidate
from advisor.evaluation import Evaluation, Status
from advisor.model import sha256_file
from advisor.network.description import WEIGHTED
from advisor.network.to_onnx import to_onnx
from advisor.run import Run, create_run
from advisor.space.search_space import deployed_network, make_candidate
from cost_models.estimate import Estimate
from specs.spec import Spec, parse_spec

SPEC = """
schema: 1
name: demo
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
limits:
  latency: {max: 10 ms}
  flash: {max: 100 KiB, counts: model}
  accuracy: {min: 0.9}
objectives: [accuracy, latency]
search: {trials: 8}
"""
TARGET = "host:onnxruntime"
CLASSES = "\n".join("0123456789")


@pytest.fixture
def spec() -> Spec:
    return parse_spec(SPEC)


@pytest.fixture
def candidate() -> Callable[..., Candidate]:
    """candidate(width, quantization): a network of the searched space for the digits."""

    def make(width: int = 8, quantization: str = "fp32") -> Candidate:
        params = (("depth", 2), ("growth", 1), ("kernel", 3), ("stem_stride", 1), ("width", width))
        return make_candidate("dscnn", params, (8, 8, 1), (), quantization, 10)

    return make


@pytest.fixture
def evaluation(candidate: Callable[..., Candidate]) -> Callable[..., Evaluation]:
    """evaluation(width, accuracy, latency_ms, …): a row of the ledger."""

    def make(
        width: int,
        accuracy: float = 0.95,
        latency_ms: float = 5.0,
        *,
        status: Status = "done",
        measured: bool = False,
        tested: bool = True,
        artifact: str = "",
        sha256: str = "",
        quantization: str = "fp32",
    ) -> Evaluation:
        latency = Estimate(latency_ms, latency_ms / 2, latency_ms * 2, "predicted")
        if measured:
            latency = Estimate(latency_ms, latency_ms, latency_ms, "measured", 500)
        metrics = {
            "latency_ms": latency,
            "flash_bytes": Estimate.exact(width * 1024.0),
            "energy_mj": Estimate.absent("no power states"),
            "accuracy": Estimate(accuracy, accuracy - 0.02, accuracy + 0.02, "measured", 300),
            "macs": Estimate.exact(width * 1000.0),
        }
        details: dict[str, Any] = {"sqnr_db": 40.0, "agreement": 0.99, "validation": 0.96, "layout": "NCHW"}
        if tested:
            details["test_accuracy"] = Estimate(accuracy, accuracy - 0.02, accuracy + 0.02, "measured", 360).to_dict()
        if status != "done":
            metrics, details = {}, {}
        return Evaluation(
            candidate(width, quantization),
            TARGET,
            "none" if status == "skipped" else "full",
            status,
            metrics,
            "" if status == "done" else f"{status} for a reason",
            artifact=artifact,
            artifact_sha256=sha256,
            details=details,
        )

    return make


@pytest.fixture
def new_run(tmp_path: Path, spec: Spec) -> Callable[..., Run]:
    """new_run(evaluations, name): a run under `tmp_path/runs`, written and closed; `ended` as a finished search."""

    def make(evaluations: list[Evaluation], name: str = "demo", text: str = "", *, ended: bool = True) -> Run:
        run = create_run(parse_spec(text) if text else spec, tmp_path / "runs" / name, {"classes": CLASSES})
        for row in evaluations:
            run.ledger.add(row)
        if ended:
            run.ledger.set_fact("finished", "2026-01-01T00:00:00Z")
        run.ledger.close()
        return run

    return make


@pytest.fixture
def finished(new_run: Callable[..., Run], evaluation: Callable[..., Evaluation], tmp_path: Path) -> Run:
    """Two on the front, one feasible behind them, one infeasible, one skipped, one failed."""
    path = "artifacts/a/model.onnx"
    sha256 = write_model(tmp_path / "model.onnx", evaluation(8).candidate)
    run = new_run(
        [
            evaluation(8, 0.93, 1.0, measured=True, artifact=path, sha256=sha256),
            evaluation(16, 0.97, 3.0, artifact="artifacts/gone/model.onnx"),
            evaluation(24, 0.92, 4.0),
            evaluation(32, 0.99, 30.0),
            evaluation(40, status="skipped"),
            evaluation(48, status="failed"),
        ]
    )
    (run.folder / path).parent.mkdir(parents=True)
    (tmp_path / "model.onnx").rename(run.folder / path)
    return run


def write_model(path: Path, candidate: Candidate) -> str:
    """The candidate's network with random weights as a model file; its hash."""
    network = deployed_network(candidate, 10)
    assert network is not None
    rng = np.random.default_rng(0)
    weights = {}
    for layer in network.layers:
        if layer.kind in WEIGHTED:
            weights[f"{layer.name}.kernel"] = rng.normal(size=network.kernel_shape(layer)).astype(np.float32)
            weights[f"{layer.name}.bias"] = np.zeros(layer.out, np.float32)
    onnx.save(to_onnx(network, weights), path)
    return sha256_file(path)


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., AppTest]:
    """show(page): the page (`spec_page`, `front_page`, `candidate_page`) over the runs under `tmp_path`."""

    def run(page: str, folder: Path | None = None, **state: object) -> AppTest:
        app = AppTest.from_function(_page, args=(page, str(folder or tmp_path)), default_timeout=60)
        for key, value in state.items():
            app.session_state[key] = value
        app.run()
        assert not app.exception, [error.value for error in app.exception]
        return app

    st.cache_resource.clear()
    st.cache_data.clear()
    return run


def _page(page: str, folder: str) -> None:
    """The script of a test: only what is written in here exists in it."""
    from importlib import import_module
    from pathlib import Path

    import_module(f"advisor.dashboard.{page}").render(Path(folder))


@pytest.fixture
def said() -> Callable[[AppTest], str]:
    """said(app): everything the page says in words, its escapes removed."""

    def read(app: AppTest) -> str:
        found = [*app.error, *app.warning, *app.info, *app.success, *app.caption, *app.markdown, *app.code]
        return "\n".join(str(element.value) for element in [*found, *app.subheader]).replace("\\", "")

    return read
