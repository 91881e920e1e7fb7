import io
import zipfile

import pytest

from advisor.dashboard import candidate_page
from advisor.dashboard.state import Snapshot, read
from advisor.ledger import Ledger
from advisor.run import locked
from advisor.verify import verify_bundle
from specs.errors import VerificationError


def key_of(run, index):
    evaluation = read(run.folder).evaluations[index]
    return f"{evaluation.id}@{evaluation.target}"


def tables(app):
    return [list(frame.value.columns) for frame in app.dataframe]


def button(app, label):
    return next(widget for widget in app.button if widget.label == label)


def test_without_a_run_it_says_how_to_make_one(show, said):
    assert "No run in" in said(show("candidate_page"))


def test_a_candidate_with_everything(finished, show, said):
    ledger = Ledger.open(finished.folder / "ledger.db")
    candidate, target = key_of(finished, 0).split("@")
    ledger.add_measurement(candidate, target, {"count": 300, "quantiles_ms": {"p50": 1.0}, "protocol": "1 thread"})
    ledger.close()
    app = show("candidate_page", chosen_candidate=key_of(finished, 0))
    text = said(app)
    assert "width=8 · fp32 on host:onnxruntime meets every hard limit and is on the front." in text
    assert "from the file model.onnx" in text
    assert "Read the layers as shares." in text  # its latency was measured
    assert tables(app) == [
        ["limit", "figure", "margin", "verdict"],
        ["figure", "value", "90 % interval", "provenance", "samples"],
        ["check", "found"],
        ["layer", "kind", "kernel", "stride", "output", "multiply-accumulates", "bytes moved", "latency", "share",
         "held back by"],
        ["layer", "kind", "reads", "kernel", "stride", "activation", "output"],
        ["runs", "p50", "p95", "p99", "state", "protocol", "machine", "clock", "governor", "versions"],
    ]  # fmt: skip
    checks = dict(zip(app.dataframe[2].value["check"], app.dataframe[2].value["found"], strict=True))
    assert checks["test accuracy"] == "0.93 (0.91–0.95, measured, n=360)"
    assert checks["signal to quantization noise"] == "40.0 dB, computed"
    assert checks["same answer as before compression"] == "99.0 % of samples, computed"
    assert len(app.get("vega_lite_chart")) == 1
    assert f"advisor export {finished.folder} --pick {candidate}" in text


def test_the_first_member_of_the_front_is_shown_unless_asked(finished, show):
    app = show("candidate_page")
    best = finished.front().members[0].evaluation
    assert app.selectbox[1].value == f"{best.id}@{best.target}"
    assert [option.split(":")[0] for option in app.selectbox[1].options] == ["front", "front", "other", "other"]


def test_where_the_model_file_is_gone_the_description_answers(finished, show, said):
    app = show("candidate_page", chosen_candidate=key_of(finished, 1))
    text = said(app)
    assert "the model file is gone" in text
    assert "from the network's description" in text
    assert "No bundle." in text
    assert "Build the bundle" not in [widget.label for widget in app.button]


def test_a_model_file_that_is_damaged(finished, show, said):
    (finished.folder / "artifacts/a/model.onnx").write_bytes(b"not a model")
    text = said(show("candidate_page", chosen_candidate=key_of(finished, 0)))
    assert "Showing what the network's description says." in text


def test_an_infeasible_candidate_says_so(finished, show, said):
    app = show("candidate_page", chosen_candidate=key_of(finished, 3))
    assert "misses a hard limit." in said(app)
    assert "Never measured" in said(app)


@pytest.mark.parametrize("key", ["gone@host:onnxruntime", "../../x", "<b>x</b>"])
def test_a_candidate_that_is_not_there(finished, show, said, key):
    app = show("candidate_page", chosen_candidate=key)
    assert f"This run has no candidate '{key}'" in said(app)


def test_a_run_without_candidates(new_run, evaluation, show, said):
    new_run([evaluation(8, status="skipped")], ended=False)
    text = said(show("candidate_page"))
    assert "Interrupted" in text
    assert "No candidate of this run was trained" in text


def test_a_candidate_of_a_running_search(finished, show, said):
    with locked(finished.folder):
        assert "meets every hard limit" in said(show("candidate_page"))


def test_a_damaged_ledger(finished, show, said):
    for extra in finished.folder.glob("ledger.db*"):
        extra.write_bytes(b"")
    assert "This run cannot be read." in said(show("candidate_page"))


def test_building_a_bundle_offers_it_for_download(finished, show, monkeypatch):
    monkeypatch.setattr(candidate_page, "zipped", lambda run, row: b"PK")
    app = show("candidate_page", chosen_candidate=key_of(finished, 0))
    assert not app.download_button
    button(app, "Build the bundle").click().run()
    assert [widget.label for widget in app.download_button] == ["Download the bundle"]
    app.selectbox[1].select(key_of(finished, 1)).run()
    assert not app.download_button  # it was another candidate's


def test_a_bundle_that_fails_its_proof_is_not_offered(finished, show, said, monkeypatch):
    def fail(run, row):
        raise VerificationError("the model file changed since it was evaluated", seen="x")

    monkeypatch.setattr(candidate_page, "zipped", fail)
    app = show("candidate_page", chosen_candidate=key_of(finished, 0))
    button(app, "Build the bundle").click().run()
    assert "the model file changed since it was evaluated" in said(app)
    assert not app.download_button


def test_the_downloaded_bundle_proves_itself(finished, tmp_path):
    content = read(finished.folder)
    row = next(row for row in content.front.members if row.evaluation.artifact.startswith("artifacts/a/"))
    data = candidate_page.zipped(Snapshot("demo", finished.folder, "done", content), row)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert verify_bundle(tmp_path / "unpacked" / row.evaluation.id).checks
