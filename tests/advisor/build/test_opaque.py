"""timm backbones, end to end: trained, exported, judged. Pretrained weights are not looked for in tests."""

import pytest

from advisor.build.opaque import timm_module
from advisor.evaluate import Request, evaluate
from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from cost_models.read import read_workload
from specs.errors import SpecError
from specs.spec import parse_spec

SPEC = "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\ntargets: [host:onnxruntime]"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch):
    monkeypatch.setenv("EDGE_ADVISOR_PRETRAINED", "0")


@pytest.fixture
def quick(monkeypatch):
    from advisor.build import plans

    monkeypatch.setitem(plans.PLANS, "short", plans.TrainPlan(passes=600, min_epochs=1))


def result(tmp_path, quantization, runtime, pruning=()):
    task = open_task(parse_spec(SPEC))
    candidate = make_candidate("timm:mobilenetv3_small_050", (), (32, 32, 1), pruning, quantization, 10)
    (found,) = evaluate(Request(candidate, (runtime,), "short", tmp_path, 0, False), task, lambda *_: None)
    assert found.error == ""
    return found


def test_a_timm_model_is_pruned(tmp_path, quick):
    pytest.importorskip("torch_pruning")
    whole, half = (result(tmp_path, "fp32", "onnxruntime", pruning) for pruning in ((), (0.5,)))
    assert read_workload(half.artifact.path).macs < 0.5 * read_workload(whole.artifact.path).macs
    assert half.details["parent_inherited"]


def test_any_timm_model_becomes_a_candidate(tmp_path, quick):
    found = result(tmp_path, "fp32", "onnxruntime")
    assert found.details["sqnr_db"] > 80
    assert "random initialisation" in found.details["notes"][0]
    workload = read_workload(found.artifact.path)
    assert workload.params > 500_000
    assert not workload.unknown_ops


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["fp32", "int8"])
def test_timm_models_become_tflite_through_litert_torch(tmp_path, quick, quantization):
    found = result(tmp_path, quantization, "litert")
    assert found.details["sqnr_db"] > (60 if quantization == "fp32" else 5)
    assert read_workload(found.artifact.path).precision == quantization


def test_wrong_names_and_inputs_are_one_line():
    with pytest.raises(SpecError, match=r"timm has no such model.*resnet18"):
        timm_module("timm:resnet_18", (32, 32, 3), 10)
    with pytest.raises(SpecError, match="takes images"):
        timm_module("timm:resnet18", (64, 6), 10)
    with pytest.raises(SpecError, match="cannot take inputs of"):
        timm_module("timm:vit_tiny_patch16_224", (8, 8, 3), 10)
