"""Model files that cannot be used: one line that says what, where and what to do, and nothing written."""

import struct

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from own_models import SPEC, perceptron, program_file, saved

from advisor import cli
from advisor.own.file import read_model_file


def _truncated(folder):
    return saved(perceptron(), folder / "full.onnx").read_bytes()[:-4000]


def _huge_tensor(_):
    shape = numpy_helper.from_array(np.array([1, 1, 1 << 15, 1 << 15]), "shape")
    nodes = [
        helper.make_node("Expand", ["input", "shape"], ["big"]),
        helper.make_node("GlobalAveragePool", ["big"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 1])] for name in ("input", "y")]
    graph = helper.make_graph(nodes, "huge", *ends, [shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _tflite_claim(_):
    """A flatbuffer whose vector of buffers claims two thousand million bytes."""
    return struct.pack("<I4s", 16, b"TFL3") + struct.pack("<I", 0x7FFFFFF0) * 30


SHRINK = (
    helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
    helper.make_node("AveragePool", ["mean"], ["x"], kernel_shape=[28, 28], strides=[28, 28]),
)
BAD = {
    "not-a-model.onnx": (lambda _: b"a text that is no model at all\n" * 20, "not a model file"),
    "empty.tflite": (lambda _: b"", "file is empty"),
    "truncated.onnx": (_truncated, "not a model file"),
    "three-classes.onnx": (lambda _: perceptron(classes=3).SerializeToString(),
                           "its output is not one number a class; seen '3 numbers'; allowed: 10"),
    "wrong-input.onnx": (lambda _: perceptron((1, 3, 224, 224), before=SHRINK).SerializeToString(),
                         "its input is not the task's; seen (1, 3, 224, 224); allowed: (1, 1, 8, 8) or (1, 8, 8, 1)"),
    "huge.onnx": (_huge_tensor, "it needs too much memory"),
    "claim.tflite": (_tflite_claim, "not a readable TFLite file"),
    "batch.onnx": (lambda _: perceptron((8, 1, 8, 8)).SerializeToString(), "has no batch of 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_unfit_baselines_are_one_line_and_nothing_is_written(tmp_path, capsys, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content(tmp_path))
    _refused(tmp_path, capsys, name, message)


def test_sparse_two_gigabytes_and_missing_files_are_refused_unread(tmp_path, capsys):
    with (tmp_path / "sparse.onnx").open("wb") as file:
        file.truncate(2 << 30)
    _refused(tmp_path, capsys, "sparse.onnx", "file too large; seen '2147483648 bytes'; allowed: 1073741824 bytes")
    _refused(tmp_path, capsys, "gone.onnx", "cannot read; seen 'No such file or directory'; next: check the path")


def test_an_exported_program_is_told_what_to_do_instead(tmp_path, capsys):
    program_file(tmp_path / "net.pt2")
    _refused(tmp_path, capsys, "net.pt2", "search.architectures: [model:net.pt2]")


@pytest.mark.parametrize(
    ("domain", "told"),
    [("", "unknown operator 'NoSuchOperator'"), ("com.microsoft", "onnxruntime cannot run it")],
)
def test_a_model_that_its_runtime_refuses_is_one_line(tmp_path, capsys, domain, told):
    model = perceptron()
    model.graph.node[0].op_type, model.graph.node[0].domain = "NoSuchOperator", domain
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.append(helper.make_tensor_value_info("flat", 1, [1, 64]))
    saved(model, tmp_path / "odd.onnx")
    _refused(tmp_path, capsys, "odd.onnx", told)


def _refused(folder, capsys, name, message):
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("limits:", f"baseline: {{model: {name}}}\nlimits:", 1))
    assert cli.main(["search", str(spec), "--run", str(folder / "run")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if line.startswith("advisor:")]) == 1
    assert message in said[-1], said[-1]
    assert "baseline.model" in said[-1]
    assert not (folder / "run").exists()


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "inside/../../outside.onnx"])
def test_models_outside_the_specs_directory_are_not_read(tmp_path, capsys, name):
    folder = tmp_path / "specs"
    folder.mkdir()
    saved(perceptron(), tmp_path / "outside.onnx")
    _refused(folder, capsys, name, "a model must lie in the spec's directory or below")
    spec = folder / "own.yaml"
    spec.write_text(SPEC.replace("[dscnn]", f"['model:{name}']"))
    assert cli.main(["search", str(spec), "--run", str(folder / "run")]) == 2
    assert "search.architectures[0]: a model must lie in the spec's directory" in capsys.readouterr().err


def test_the_standard_s_other_name_is_no_unknown_operator(tmp_path):
    model = perceptron()
    for node in model.graph.node:
        node.domain = "ai.onnx"
    model.opset_import.append(helper.make_opsetid("ai.onnx", model.opset_import[0].version))
    saved(model, tmp_path / "renamed.onnx")
    assert [op.kind for op in read_model_file(tmp_path / "renamed.onnx").workload.operators]
