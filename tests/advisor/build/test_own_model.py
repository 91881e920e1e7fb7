"""Users' own files as candidates: read without running or unpickling them, compressed by the generic paths."""

import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from own_models import digits, exported, perceptron, program_file, result, saved, spec_with, torch_network

from advisor.brought import build, check
from advisor.build.program_module import program_module
from advisor.candidate import Candidate
from advisor.model import Artifact
from advisor.own.file import keep, own_models, read_model_file
from advisor.own.fit import fit
from advisor.own.program import read_program
from advisor.own.support import refusal
from advisor.plugins import load
from advisor.space.search_space import make_candidate, search_space, workload_of
from cost_models.read import read_workload
from specs.errors import ModelFileError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same small network as an ONNX and as a TFLite file."""
    folder = tmp_path_factory.mktemp("files")
    onnx, tflite = (exported(folder / name, "fp32", name).artifact for name in ("onnxruntime", "litert"))
    return {"onnx": onnx.path, "tflite": tflite.path}


def test_an_onnx_file_ships_unchanged_and_in_int8(files, tmp_path):
    as_is = result(files["onnx"], "fp32", "onnxruntime", tmp_path)
    assert as_is.error == ""
    assert as_is.artifact.path.read_bytes() == files["onnx"].read_bytes()
    assert as_is.details["agreement"] == 1.0
    int8 = result(files["onnx"], "int8", "onnxruntime", tmp_path)
    assert int8.error == ""
    assert read_workload(int8.artifact.path).precision == "int8"
    assert int8.details["sqnr_db"] > 15
    assert int8.accuracy.value > as_is.accuracy.value - 0.03
    assert any(note.startswith("not pruned: only an exported torch program") for note in int8.details["notes"])


@pytest.mark.parametrize(("quantization", "least"), [("fp32", 100), ("fp16", 40), ("int8", 10)])
def test_a_tflite_file_in_every_precision(files, tmp_path, quantization, least):
    found = result(files["tflite"], quantization, "litert", tmp_path)
    assert found.error == ""
    assert found.details["sqnr_db"] > least
    assert read_workload(found.artifact.path).precision == quantization
    if quantization == "fp32":
        assert found.artifact.path.read_bytes() == files["tflite"].read_bytes()
    else:
        weights = read_workload(files["tflite"]).weight_bytes
        assert read_workload(found.artifact.path).weight_bytes < 0.6 * weights


def test_an_int8_tflite_file_runs_on_microcontrollers_as_it_is(tmp_path):
    mine = exported(tmp_path / "made", "int8", "litert")
    found = result(mine.artifact.path, "int8", "tflm", tmp_path / "run")
    assert found.error == ""
    assert found.arena_bytes > 0
    assert found.artifact.sha256 == mine.artifact.sha256
    assert "give the float model" in refusal(read_model_file(mine.artifact.path), "fp32", "litert")


@pytest.mark.parametrize("quantization", ["fp32", "int8"])
def test_an_exported_torch_program_becomes_a_candidate(tmp_path, quantization):
    found = result(program_file(tmp_path / "net.pt2"), quantization, "onnxruntime", tmp_path / "run")
    assert found.error == ""
    assert found.details["sqnr_db"] > (80 if quantization == "fp32" else 10)
    assert read_workload(found.artifact.path).precision == quantization


@pytest.mark.slow
def test_an_exported_torch_program_by_the_other_paths(tmp_path):
    path = program_file(tmp_path / "net.pt2")
    for runtime, quantization in (("onnxruntime", "int8-pt2e"), ("litert", "fp32"), ("litert", "int8")):
        found = result(path, quantization, runtime, tmp_path / "run")
        assert (found.error, read_workload(found.artifact.path).precision) == ("", quantization[:4])


def test_a_torch_program_computes_what_torch_computes(tmp_path):
    import torch

    path = program_file(tmp_path / "net.pt2")
    way = fit(read_model_file(path), (8, 8, 1), any_size=True)
    module = program_module(read_program(path.read_bytes()), way)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32))
    with torch.no_grad():
        assert torch.allclose(module(x), torch_network()(x), atol=1e-5)


LAYOUTS = {
    "channels last": ((1, 8, 8, 1), [helper.make_node("Transpose", ["input"], ["x"], perm=[0, 3, 1, 2])]),
    "flat": ((1, 64), [helper.make_node("Identity", ["input"], ["x"])]),
    "without channels": ((1, 8, 8), [helper.make_node("Identity", ["input"], ["x"])]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_other_layouts_are_the_same_model(tmp_path, name):
    dims, before = LAYOUTS[name]
    plain = result(saved(perceptron(), tmp_path / "plain.onnx"), "fp32", "onnxruntime", tmp_path / "run")
    other = result(saved(perceptron(dims, before=before), tmp_path / "other.onnx"), "fp32", "onnxruntime",
                   tmp_path / "run")  # fmt: skip
    assert (other.error, plain.accuracy.value) == ("", other.accuracy.value)
    assert other.accuracy.value > 0.95
    session = load("runtimes", "onnxruntime")().open(other.artifact)
    assert session.run(digits().load("test").x[:3]).shape == (3, 10)


def test_half_precision_and_quantized_inputs_are_fed(tmp_path):
    half = [helper.make_node("Cast", ["input"], ["x"], to=TensorProto.FLOAT)]
    found = result(saved(perceptron(dtype=TensorProto.FLOAT16, before=half), tmp_path / "half.onnx"), "fp32",
                   "onnxruntime", tmp_path / "run")  # fmt: skip
    assert found.accuracy.value > 0.95
    model = perceptron(
        dtype=TensorProto.UINT8, before=[helper.make_node("DequantizeLinear", ["input", "s", "z"], ["x"])]
    )
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.FLOAT, [], [0.05]))
    model.graph.initializer.append(helper.make_tensor("z", TensorProto.UINT8, [], [60]))
    path = saved(model, tmp_path / "quantized.onnx")
    assert (read_model_file(path).input.scale, read_model_file(path).input.zero) == (pytest.approx(0.05), 60)
    assert result(path, "fp32", "onnxruntime", tmp_path / "run").accuracy.value > 0.95


def test_the_search_space_of_a_file_is_its_compressions(files):
    spec = spec_with(files["onnx"], quantization="fp32, mixed, int8, int8-qat, int8-pt2e")
    space = search_space(spec, spec.targets[0], digits().shapes, 10)
    assert space.quantization == ("fp32", "mixed", "int8")
    values = {"architecture": space.architectures[0], "shape": 0, "quantization": "int8"}
    int8, fp32 = (space.candidate({**values, "quantization": name}) for name in ("int8", "fp32"))
    assert int8.structure == fp32.structure
    assert space.dimensions(space.architectures[0]) == ()
    assert Candidate.from_dict(json.loads(json.dumps(int8.to_dict()))) == int8
    known = workload_of(fp32, 10, "onnxruntime", files["onnx"].parent)
    assert known == read_workload(files["onnx"])
    assert workload_of(int8, 10, "onnxruntime", files["onnx"].parent).weight_bytes < known.weight_bytes / 3


def test_what_a_format_cannot_do_has_a_reason(files):
    for name, target in (("onnx", "host:litert"), ("tflite", "host:onnxruntime")):
        spec = spec_with(files[name], target)
        with pytest.raises(ModelFileError, match=r"nothing here converts .* give a \.(onnx|tflite) or \.pt2"):
            search_space(spec, spec.targets[0], digits().shapes, 10)
    assert "torch program" in refusal(read_model_file(files["onnx"]), "int8-pt2e", "onnxruntime")


def test_two_contents_under_one_path_are_two_candidates(files, tmp_path):
    path = tmp_path / "net.onnx"
    found = []
    for source in (files["onnx"], saved(perceptron(), tmp_path / "other.onnx")):
        path.write_bytes(source.read_bytes())
        spec = spec_with(path)
        space = search_space(spec, spec.targets[0], digits().shapes, 10)
        found.append(space.candidate({"architecture": f"model:{path.name}", "shape": 0, "quantization": "fp32"}).id)
    assert found[0] != found[1]


def edited(path, out, change):
    """The archive with records changed: `change(name, data)` gives the new data, None drops the record."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            data = change(entry.filename, old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
    return out


def replaced(name, old, new):
    return lambda file, data: data.replace(old, new) if file.endswith(name) else data


class Harmful:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_in_a_program_is_unpickled_or_called(tmp_path):
    path, mark = program_file(tmp_path / "net.pt2"), tmp_path / "mark"
    pickled = pickle.dumps(Harmful(str(mark)))

    def inputs(file, data):
        return pickled if "sample_inputs" in file else data

    read_program(edited(path, tmp_path / "inputs.pt2", inputs).read_bytes())  # there, and never looked at
    weights = edited(
        path, tmp_path / "weights.pt2", replaced("_config.json", b'"use_pickle":false', b'"use_pickle":true')
    )
    weights = edited(
        weights, tmp_path / "w.pt2", replaced("_config.json", b'"use_pickle": false', b'"use_pickle": true')
    )
    with pytest.raises(ModelFileError, match="pickled object, which could run code"):
        read_program(weights.read_bytes())
    system = edited(
        path, tmp_path / "call.pt2", replaced("model.json", b"torch.ops.aten.relu.default", b"torch.os.system")
    )
    with pytest.raises(ModelFileError, match=r"an operator that is not run here; seen 'torch\.os\.system'"):
        read_program(system.read_bytes())
    files = edited(path, tmp_path / "file.pt2", replaced("model.json", b"aten.relu.default", b"aten.from_file.default"))
    with pytest.raises(ModelFileError, match="an operator that is not run here"):
        read_program(files.read_bytes())
    library = edited(path, tmp_path / "library.pt2", lambda file, data: data)
    with zipfile.ZipFile(library, "a") as archive:
        archive.writestr("net/data/aotinductor/model/evil.so", b"x")
    with pytest.raises(ModelFileError, match="compiled code, which is not run here"):
        read_program(library.read_bytes())
    assert not mark.exists()


def test_damaged_and_unfit_programs_are_one_line(tmp_path):
    import torch
    from torch import nn

    path = program_file(tmp_path / "net.pt2")
    cases = {
        "truncated": (path.read_bytes()[:-200], "torch program"),
        "short weights": (edited(path, tmp_path / "a.pt2", lambda f, d: d[:8] if "weight_0" in f else d).read_bytes(),
                          "end beyond the file|not a readable"),
        "no json": (edited(path, tmp_path / "b.pt2", lambda f, d: b"{" if f.endswith("model.json") else d).read_bytes(),
                    "not a readable torch program"),
    }  # fmt: skip
    for data, message in cases.values():
        with pytest.raises(ModelFileError, match=message):
            read_program(data)
    torch.save(torch_network().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ModelFileError, match="without one exported torch program"):
        read_program((tmp_path / "weights.pth").read_bytes())
    training = program_file(tmp_path / "training.pt2", torch_network().train())
    with pytest.raises(ModelFileError, match=r"training.*call model\.eval\(\)"):
        read_program(training.read_bytes())

    class Huge(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10].unsqueeze(-1).expand(1, 10, 1 << 40).sum(-1)

    huge = program_file(tmp_path / "huge.pt2", Huge())
    file = read_model_file(huge)
    with pytest.raises(ModelFileError, match="too large a tensor"):
        program_module(read_program(huge.read_bytes()), fit(file, (8, 8, 1), any_size=True))


def test_operators_that_are_fed_nonsense_end_no_process_of_ours(tmp_path):
    path = program_file(tmp_path / "net.pt2")
    pool = edited(path, tmp_path / "pool.pt2", replaced("model.json", b'"as_ints": [2, 2]', b'"as_ints": [0, 0]'))
    assert pool.read_bytes() != path.read_bytes()
    with pytest.raises(ModelFileError, match=r"torch cannot run it.*does not run on the task's input"):
        check(read_model_file(pool), digits())


def test_programs_that_only_take_one_sample_are_run_one_by_one(tmp_path):
    import torch
    from torch import nn

    class Mixing(nn.Module):
        """Of a batch it would normalise all samples together."""

        def forward(self, x):
            return (x / x.abs().amax()).flatten(1)[:, :10] * 3

    path = program_file(tmp_path / "mixing.pt2", Mixing())
    module = program_module(read_program(path.read_bytes()), fit(read_model_file(path), (8, 8, 1), any_size=True))
    assert not module.batched
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32))
    assert torch.allclose(module(x), torch.cat([Mixing()(row[None]) for row in x]))


def test_own_models_are_found_beside_the_spec_and_named_in_errors(tmp_path, files):
    assert own_models(spec_with(files["onnx"]))[f"model:{files['onnx'].name}"].outputs == 10
    with pytest.raises(ModelFileError, match=r"search\.architectures\[0\]: .*gone\.onnx: cannot read"):
        own_models(spec_with(tmp_path / "gone.onnx"))


def test_an_altered_copy_is_not_used(files, tmp_path):
    file = read_model_file(files["onnx"])
    path = keep(file, tmp_path)
    path.write_bytes(saved(perceptron(), tmp_path / "other.onnx").read_bytes())
    candidate = make_candidate("model:x", (("sha256", file.sha256[:12]),), (8, 8, 1), (), "fp32", 10)
    with pytest.raises(ModelFileError, match="was altered"):
        build(None, candidate, tmp_path, digits().load("val").x)


def test_artifacts_of_own_models_open_like_others(files):
    session = load("runtimes", "litert")().open(Artifact.of(files["tflite"], "litert", "fp32", "NHWC"))
    assert session.run(digits().load("val").x[:2]).shape == (2, 10)
    assert replace(read_model_file(files["tflite"]), outputs=3).outputs == 3
