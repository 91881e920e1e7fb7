"""Compressions of networks that are not ours: pruned, fine-tuned for int8, mixed precision."""

from dataclasses import replace

import pytest
from own_models import digits, exported, program_file, result, spec_with, torch_network

from advisor.own.file import read_model_file
from advisor.own.support import unpruned
from advisor.space.search_space import search_space
from cost_models.read import read_workload


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same small network as an ONNX and as a TFLite file."""
    folder = tmp_path_factory.mktemp("files")
    onnx, tflite = (exported(folder / name, "fp32", name).artifact for name in ("onnxruntime", "litert"))
    return {"onnx": onnx.path, "tflite": tflite.path}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A torch program that knows digits, and its accuracy on the validation split."""
    from advisor.build.plans import TrainPlan
    from advisor.build.train import train

    network, sets = torch_network(), [(digits().load(split).x, digits().load(split).y) for split in ("train", "val")]
    done = train(network, *sets, TrainPlan(passes=30_000, min_epochs=10), "image-classification",
                 lambda found, labels: float((found == labels).mean()))  # fmt: skip
    assert done.validation > 0.85
    return program_file(tmp_path_factory.mktemp("trained") / "net.pt2", network.eval()), done.validation


@pytest.fixture
def quick(monkeypatch):
    from advisor.build import plans

    monkeypatch.setitem(plans.PLANS, "short", plans.TrainPlan(passes=12_000, min_epochs=4))


def test_a_torch_program_is_pruned_and_trained_on(trained, tmp_path, quick):
    pytest.importorskip("torch_pruning")
    path, _ = trained
    whole = result(path, "fp32", "onnxruntime", tmp_path)
    half = result(path, "fp32", "onnxruntime", tmp_path, pruning=(0.5,))
    assert half.error == ""
    macs = [read_workload(found.artifact.path).macs for found in (whole, half)]
    assert macs[1] < 0.5 * macs[0]
    assert half.accuracy.value > 0.5
    again = result(path, "int8", "onnxruntime", tmp_path, pruning=(0.5,))
    assert again.details["inherited"]  # trained once for all precisions
    assert read_workload(again.artifact.path).macs == macs[1]


def test_pruning_is_searched_where_the_file_can_be_trained(trained, files, monkeypatch):
    spec = spec_with(trained[0])
    space = search_space(spec, spec.targets[0], digits().shapes, 10)
    monkeypatch.setattr("advisor.own.support.find_spec", lambda name: object())
    spec = replace(spec, search=replace(spec.search, pruning=(0.0, 0.5)))
    space = search_space(spec, spec.targets[0], digits().shapes, 10)
    (ratio,) = space.dimensions(space.architectures[0])
    values = {"architecture": space.architectures[0], "shape": 0, "quantization": "int8"}
    whole, half = (space.candidate({**values, ratio.name: share}) for share in ratio.values)
    assert (whole.pruning, half.pruning) == ((), (0.5,))
    assert whole.structure != half.structure
    monkeypatch.setattr("advisor.own.support.find_spec", lambda name: None)
    assert space.dimensions(space.architectures[0]) == ()
    assert "pip install 'edge-advisor[torch-pruning]'" in unpruned(read_model_file(trained[0]))


def test_a_torch_program_is_fine_tuned_for_int8(trained, tmp_path, quick):
    path, reached = trained
    found = result(path, "int8-qat", "onnxruntime", tmp_path)
    assert found.error == ""
    assert read_workload(found.artifact.path).precision == "int8"
    assert found.details["qat_after"] >= found.details["qat_before"]
    assert found.accuracy.value > reached - 0.05
    files = {path.name for path in (tmp_path / "weights").glob("*.qat.npz")}
    again = result(path, "int8-qat", "onnxruntime", tmp_path)
    assert (again.accuracy, len(files)) == (found.accuracy, 1)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_mixed_precision_of_a_file_keeps_what_int8_loses(files, tmp_path, runtime):
    path = files["onnx" if runtime == "onnxruntime" else "tflite"]
    int8, mixed = (result(path, quantization, runtime, tmp_path) for quantization in ("int8", "mixed"))
    assert mixed.error == ""
    note = next(note for note in mixed.details["notes"] if "in float" in note or "no operator stands out" in note)
    if "in float" in note:
        assert mixed.details["sqnr_db"] > int8.details["sqnr_db"]
        assert read_workload(mixed.artifact.path).weight_bytes > read_workload(int8.artifact.path).weight_bytes
    full = result(path, "mixed", runtime, tmp_path / "full", headroom=(0.0, 0.0))
    assert any("no operator stands out" in note for note in full.details["notes"])
