from dataclasses import dataclass

import pytest
from quantized import KIND, PLAN, accuracy, built, digits, trained, widened

from advisor.build.compress import (
    DEFAULT_DROP,
    SCHEMES,
    TUNED,
    Setting,
    allowed_drop,
    compress_and_judge,
    loses_too_much,
)
from advisor.build.fake_quant import FakeQuant
from advisor.build.train import logits
from advisor.space import search_space
from specs.errors import ToolchainError
from specs.spec import parse_spec

HEAD = "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\ntargets: [stm32h743:tflm]\n"


@dataclass
class Found:
    accuracy: float
    facts: dict
    variant: str


def setting(tmp_path, drop=0.01, headroom=None):
    sets = digits()
    return Setting(sets[:2], PLAN, KIND, accuracy, tmp_path / "weights" / "net.short.0", drop, headroom)


def judge(model, facts, variant):
    """The simulated int8 file instead of an exported one."""
    x, labels = digits()[1]
    keep = [key.removesuffix(".bits") for key in model.weights if key.endswith(".bits")]
    module = FakeQuant(model.network, model.weights, model.calibration, "tflite", keep)
    return Found(accuracy(logits(module, x).argmax(1), labels), facts, variant)


def compressed(model, given, reached=1.0, runtime="litert"):
    return compress_and_judge(model, runtime, given, reached, judge, lambda found: found.accuracy)


def test_the_rule():
    assert loses_too_much(0.95, 0.93, 0.01)
    assert not loses_too_much(0.95, 0.94, 0.01)
    assert not loses_too_much(0.95, 0.97, 0.0)
    assert not loses_too_much(None, 0.5, 0.01)
    assert not loses_too_much(0.9, None, 0.01)
    assert allowed_drop(parse_spec(HEAD)) == DEFAULT_DROP
    limited = parse_spec(f"{HEAD}baseline: {{model: old.tflite}}\nlimits: {{accuracy_drop: {{max: 0.03}}}}\n")
    assert allowed_drop(limited) == 0.03


def test_plain_int8_stays_plain_where_it_loses_little(tmp_path):
    network, folded, calibration = trained()
    found = compressed(built(network, folded, calibration), setting(tmp_path, drop=0.2))
    assert (found.variant, found.facts) == ("", {})
    assert not list(tmp_path.rglob("*.npz"))


def test_int8_that_loses_too_much_is_fine_tuned_once_for_both_recipes(tmp_path):
    network, folded, calibration = trained()
    spoilt = widened(network, folded, "conv0", 300)
    plain = judge(built(network, spoilt, calibration), {}, "").accuracy
    found = compressed(built(network, spoilt, calibration), setting(tmp_path))
    assert found.variant == "finetuned"
    assert found.accuracy > plain
    assert found.facts["post_training_accuracy"] == plain
    assert "fine-tuned" in found.facts["notes"][0]
    kept = list(tmp_path.rglob("*.npz"))
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    again = compressed(built(network, spoilt, calibration, "int8-qat"), setting(tmp_path))
    assert again.accuracy == found.accuracy
    assert kept[0].stat().st_mtime_ns == stamp


def test_mixed_says_what_stays_in_float(tmp_path):
    network, folded, calibration = trained()
    spoilt = widened(network, folded, "conv0", 1000)
    model = built(network, spoilt, calibration, "mixed")
    found = compressed(model, setting(tmp_path))
    assert found.facts["mixed_float_layers"]
    assert "in float" in found.facts["notes"][0]
    full = compressed(model, setting(tmp_path, headroom=(0.0, 0.0)))
    assert full.facts["mixed_float_macs"] == 0
    assert found.accuracy > full.accuracy


def test_what_cannot_be_is_said_in_one_line(tmp_path):
    network, folded, calibration = trained()
    with pytest.raises(ToolchainError, match="needs a network that can be trained"):
        compressed(_file(calibration), setting(tmp_path))
    with pytest.raises(ToolchainError, match="ncnn"):
        compressed(built(network, folded, calibration, "mixed"), setting(tmp_path), runtime="ncnn")


def _file(calibration):
    from advisor.model import BuiltModel, SourceFile

    source = SourceFile(b"", "onnx", "fp32")
    return BuiltModel("model", (8, 8, 1), ("a", "b"), "int8-qat", calibration, source=source)


def test_the_space_and_the_builder_name_the_same_recipes_and_runtimes():
    assert set(TUNED) == set(search_space.TUNED)
    assert set(SCHEMES) == {"onnxruntime", "litert", "tflm"}
