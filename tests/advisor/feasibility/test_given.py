"""Models that a spec names are refused by `feasibility` as by `search`; and what is told of those that are not."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import helper
from own_models import SPEC, exported, perceptron, saved

from advisor import cli
from advisor.feasibility.assess import assess
from advisor.own.file import read_model_file
from advisor.own.fit import fit, for_task
from advisor.tasks.peek import peek
from specs.errors import ModelFileError
from specs.spec import parse_spec


def wide(side=16, channels=1):
    """A model of a larger fixed input, averaged down to 8×8."""
    step = side // 8
    nodes = [helper.make_node("AveragePool", ["input"], ["x"], kernel_shape=[step, step], strides=[step, step])]
    return perceptron((1, channels, side, side), before=nodes)


def strange():
    """A model with an operator nobody knows, whose output passes for one number a class."""
    model = perceptron()
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Foo", ["before"], ["y"], domain="my"))
    model.opset_import.append(helper.make_opsetid("my", 1))
    return model


def spec_text(role, name, *, targets="host:onnxruntime", data="digits"):
    text = SPEC.replace("[host:onnxruntime]", f"[{targets}]").replace("data: digits", f"data: {data}")
    if role == "baseline":
        return text.replace("limits:", f"baseline: {{model: {name}}}\nlimits:", 1)
    return text.replace("[dscnn]", f"['model:{name}']")


UNFIT = {
    "shape.onnx": (wide, r"its input is not the task's; seen (1, 1, 16, 16); allowed: (1, 1, 8, 8) or (1, 8, 8, 1), as "
                         "the data's samples are; next: export the model for 8×8×1, or give data of the model's size"),
    "classes.onnx": (lambda: perceptron(classes=7),
                     "its output is not one number a class; seen '7 numbers'; allowed: 10, the task's classes"),
    "strange.onnx": (strange, "unknown operator 'my::Foo'; allowed: operators of the ONNX standard; next: "),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["feasibility", "search"])
@pytest.mark.parametrize("role", ["baseline", "architecture"])
@pytest.mark.parametrize("name", UNFIT)
def test_both_verbs_refuse_unfit_models_alike(tmp_path, capsys, monkeypatch, name, role, verb):
    make, told = UNFIT[name]
    monkeypatch.chdir(tmp_path)
    saved(make(), tmp_path / name)
    (tmp_path / "spec.yaml").write_text(spec_text(role, name))
    assert cli.main([verb, "spec.yaml"]) == 2
    said = capsys.readouterr().err
    where = "baseline.model" if role == "baseline" else "search.architectures[0]"
    assert said.startswith(f"advisor: {where}: {name}: {told}")
    assert not (tmp_path / "runs").exists()


def test_a_format_that_the_target_cannot_take_is_a_wrong_spec_not_an_infeasible_one(tmp_path, capsys):
    saved(perceptron(), tmp_path / "net.onnx")
    spec = tmp_path / "spec.yaml"
    for verb in ("feasibility", "search"):
        spec.write_text(spec_text("architecture", "net.onnx", targets="host:onnxruntime, host:litert"))
        assert cli.main([verb, str(spec)]) == 2
        assert "nothing here converts onnx files for litert" in capsys.readouterr().err
    spec.write_text(spec_text("architecture", "net.onnx"))
    assert cli.main(["feasibility", str(spec)]) == 0


def test_backbones_that_do_not_exist_are_refused(tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("[dscnn]", "['timm:nosuchmodel']"))
    assert cli.main(["feasibility", str(spec)]) == 2
    assert "timm has no such model; seen 'nosuchmodel'" in capsys.readouterr().err


def test_models_and_known_backbones_are_told_without_torch(tmp_path):
    saved(perceptron(), tmp_path / "net.onnx")
    text = SPEC.replace("limits:", "baseline: {model: net.onnx}\nlimits:", 1)
    (tmp_path / "spec.yaml").write_text(text.replace("[dscnn]", "['timm:resnet18', 'model:net.onnx']"))
    code = ("import sys; from advisor import cli; status = cli.main(['feasibility', 'spec.yaml']); "
            "sys.exit(status or 7 * ('torch' in sys.modules or 'timm' in sys.modules))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def pictures(tmp_path):
    """A folder of 20×24 pictures of ten classes."""
    from PIL import Image

    for label in range(10):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True)
        for i in range(6):
            noise = np.random.RandomState(10 * label + i).randint(0, 255, (20, 24), np.uint8)
            Image.fromarray(noise).save(tmp_path / "pictures" / str(label) / f"{i}.png")
    return tmp_path


def test_pictures_of_any_size_are_resized_and_that_is_said(pictures):
    saved(wide(32), pictures / "net.onnx")
    text = spec_text("architecture", "net.onnx", data="pictures")
    spec = parse_spec(text.replace("limits:", "baseline: {model: net.onnx}\nlimits:", 1), folder=pictures)
    found = {finding.code: finding.text for finding in assess(spec, peek(spec)).findings}
    assert found["EA016"].count("inputs are resized from 16×16 to 32×32") == 2
    assert "model:net.onnx: inputs are resized" in found["EA016"]
    assert "baseline.model: inputs are resized" in found["EA016"]


def test_a_size_that_the_task_offers_itself_is_taken(tmp_path):
    file = read_model_file(saved(wide(16), tmp_path / "net.onnx"))
    assert for_task(file, [(32, 32, 1), (16, 16, 1)], 10, any_size=False).shape == (16, 16, 1)
    with pytest.raises(ModelFileError, match="its input is not the task's"):
        for_task(file, [(32, 32, 1), (24, 24, 1)], 10, any_size=False)
    assert fit(file, (32, 32, 1), any_size=True).shape == (16, 16, 1)


def test_what_is_not_tried_with_a_file_is_told(tmp_path):
    saved(perceptron(), tmp_path / "net.onnx")
    text = spec_text("architecture", "net.onnx")
    told = {}
    for pruning in ("[0]", "[0, 0.5]"):
        spec = parse_spec(
            text.replace("pruning: [0]", f"pruning: {pruning}").replace("int8]", "int8-qat]"), folder=tmp_path
        )
        found = [f.text for f in assess(spec, peek(spec)).findings if f.code == "EA016"]
        told[pruning] = "".join(found)
    assert "not pruned" not in told["[0]"]
    assert "model:net.onnx: not pruned: only an exported torch program" in told["[0, 0.5]"]
    assert "no int8-qat: int8-qat starts from a torch program" in told["[0]"]


def test_a_file_of_mixed_precision_is_told_to_be_one(tmp_path):
    made = exported(tmp_path / "made", "mixed", "onnxruntime").artifact.path
    (tmp_path / "net.onnx").write_bytes(made.read_bytes())
    spec = parse_spec(spec_text("baseline", "net.onnx"), folder=tmp_path)
    (found,) = [f.text for f in assess(spec, peek(spec)).findings if f.code == "EA016"]
    assert "baseline.model: mixed precision, listed as " in found


def test_plain_specs_have_nothing_to_tell(tmp_path):
    spec = parse_spec(SPEC, folder=tmp_path)
    assert "EA016" not in {finding.code for finding in assess(spec, peek(spec)).findings}


def test_data_that_is_only_assumed_refuses_no_model(tmp_path):
    saved(wide(32), tmp_path / "net.onnx")
    spec = parse_spec(spec_text("architecture", "net.onnx", data="not-there-yet"), folder=tmp_path)
    assert assess(spec, peek(spec)).exit_status == 0
