"""What `estimate` and `measure` say of files that give no figures: the path once, our words, nothing of a runtime's."""

import pytest
from onnx import helper
from own_models import perceptron, saved

from advisor import cli


def strange(folder):
    model = perceptron()
    model.graph.node[2].op_type, model.graph.node[2].domain = "Foo", "my"
    model.opset_import.append(helper.make_opsetid("my", 1))
    return saved(model, folder / "strange.onnx")


def text(folder):
    (folder / "text.onnx").write_text("no model at all\n" * 9)
    return folder / "text.onnx"


@pytest.mark.parametrize("verb", ["estimate", "measure"])
def test_a_file_is_named_once(tmp_path, capsys, verb):
    more = ["--target", "host:onnxruntime"] if verb == "estimate" else ["--quick", "--seconds", "0.05"]
    assert cli.main([verb, str(text(tmp_path)), *more]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"advisor: {tmp_path / 'text.onnx'}: not a model file; ")
    assert said.count("text.onnx") == 1


@pytest.mark.parametrize(
    ("make", "more", "told"),
    [
        (strange, [], "ONNX Runtime does not run my::Foo; next: convert the model without them"),
        (lambda folder: saved(perceptron(), folder / "net.onnx"), ["--target", "host:litert"],
         "LiteRT runs tflite, not onnx; next: name another --target"),
    ],
)  # fmt: skip
def test_why_nothing_was_measured_is_told_in_our_words(tmp_path, capsys, make, more, told):
    assert cli.main(["measure", str(make(tmp_path)), "--quick", "--seconds", "0.05", *more]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith(told)
    assert "ONNXRuntimeError" not in said
