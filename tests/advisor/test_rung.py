"""What a worker does on the rungs below the exported file, and what the ledger keeps of it."""

from dataclasses import replace

import pytest
from advisor_samples import DIGITS, candidate

from advisor.build.plans import PLANS
from advisor.evaluate import Request
from advisor.rung import SCORE, Ranking, evaluate_cheap, evaluate_exported, evaluate_rung, evaluate_trained, ranked
from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from advisor.untrained import can_be_untrained
from cost_models.estimate import Estimate
from cost_models.read import read_workload
from specs.spec import parse_spec


@pytest.fixture(scope="module")
def task():
    return open_task(parse_spec(DIGITS))


@pytest.fixture
def brief(monkeypatch):
    """Plans of seconds."""
    for name in PLANS:
        monkeypatch.setitem(PLANS, name, replace(PLANS[name], passes=1500, min_epochs=1))


def test_the_cheap_rung_ranks_without_exporting(task, brief, tmp_path):
    request = Request(candidate(16), ("onnxruntime",), "cheap", tmp_path, 0, False)
    stages = []
    first = evaluate_cheap(request, task, lambda stage, share: stages.append((stage, share)))
    assert stages[-1] == ("train", 1.0)
    assert 0.1 < first.score.value <= 1
    assert first.score.n == first.accuracy.n > 200
    assert first.details["rung_s"]["cheap"] > 0
    # another quantization of the same network shares the training
    other = evaluate_cheap(replace(request, candidate=candidate(16, "fp32")), task, lambda *_: None)
    assert other.details["inherited"]
    assert other.score == first.score
    row = ranked(first, request.candidate, "host:onnxruntime", {"latency_ms": Estimate.exact(1.0)}, 7)
    assert (row.status, row.fidelity, row.trial, row.artifact) == ("ranked", "cheap", 7, "")
    assert row.metric(SCORE) == first.score
    assert row.metric("accuracy").value is None
    assert type(row).from_dict(row.to_dict()) == row


def test_pruned_networks_are_trained_as_deployed(task, brief, tmp_path):
    params = (("depth", 2), ("growth", 1), ("kernel", 3), ("stem_stride", 1), ("width", 16))
    pruned = make_candidate("dscnn", params, (8, 8, 1), (0.5, 0.5), "int8", 10)
    found = evaluate_cheap(Request(pruned, (), "cheap", tmp_path, 0, False), task, lambda *_: None)
    assert found.score.value > 0.1
    assert ">" in pruned.structure


def test_training_and_export_are_paid_for_apart(task, brief, tmp_path):
    request = Request(candidate(8, "fp32"), ("onnxruntime",), "full", tmp_path, 0, False)
    trained = evaluate_trained(request, task, lambda *_: None)
    assert trained.fidelity == "full"
    assert trained.details["rung_s"]["trained"] > 0
    (result,) = evaluate_exported(request, task, lambda *_: None)
    assert result.artifact is not None
    assert set(result.details["rung_s"]) == {"artifact"}
    fresh = replace(request, folder=tmp_path / "other")
    (result,) = evaluate_exported(fresh, task, lambda *_: None)
    assert set(result.details["rung_s"]) == {"trained", "artifact"}


def test_a_request_says_which_rung_it_is_for(task, brief, tmp_path):
    request = Request(candidate(8, "fp32"), ("onnxruntime",), "cheap", tmp_path, 0, False)
    cheap = evaluate_rung(request, task, lambda *_: None)
    trained = evaluate_rung(replace(request, runtimes=(), fidelity="full"), task, lambda *_: None)
    exported = evaluate_rung(replace(request, fidelity="full"), task, lambda *_: None)
    assert isinstance(cheap, Ranking)
    assert isinstance(trained, Ranking)
    assert (cheap.fidelity, trained.fidelity) == ("cheap", "full")
    assert exported[0].artifact.path.is_file()


@pytest.mark.parametrize("quantization", ["fp32", "int8"])
def test_a_file_can_be_made_without_any_training(task, brief, tmp_path, quantization):
    request = Request(candidate(8, quantization), ("onnxruntime",), "none", tmp_path, 0, False)
    (made,) = evaluate_rung(request, task, lambda *_: None)
    trained = evaluate_exported(replace(request, fidelity="short", folder=tmp_path / "t"), task, lambda *_: None)[0]
    assert made.accuracy.value is None
    assert set(made.details["rung_s"]) == {"artifact"}
    assert not (tmp_path / "weights").exists()
    # what is measured of it holds of the trained file: the same operators on the same shapes
    one, other = (read_workload(result.artifact.path) for result in (made, trained))
    assert [(op.kind, op.op, op.macs, op.kernel) for op in one.operators] == [
        (op.kind, op.op, op.macs, op.kernel) for op in other.operators
    ]


def test_only_what_any_weights_are_exported_alike_for_goes_untrained():
    assert can_be_untrained(candidate(8, "fp16"))
    assert not can_be_untrained(candidate(8, "mixed"))
    assert not can_be_untrained(candidate(8, "int8-qat"))
    assert not can_be_untrained(make_candidate("timm:mobilenetv3_small_050", (), (32, 32, 3), (), "int8", 10))
