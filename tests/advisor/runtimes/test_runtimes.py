import numpy as np
import pytest

from advisor.evaluate import sqnr_db
from advisor.model import Artifact
from advisor.runtimes.litert import LiteRt
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.runtimes.tflite_file import slim
from advisor.runtimes.tflm import Tflm
from advisor.space.families import DSCNN, TCN, MobileNet
from advisor.testing import RuntimeContract, built_model, reference_logits
from cost_models.read import read_workload
from specs import catalog
from specs.errors import ToolchainError


class TestOnnxRuntime(RuntimeContract):
    quantizations = ("fp32", "int8")

    @pytest.fixture
    def runtime(self):
        return OnnxRuntime()


class TestLiteRt(RuntimeContract):
    quantizations = ("fp32", "fp16", "int8")

    @pytest.fixture
    def runtime(self):
        return LiteRt()


class TestTflm(RuntimeContract):
    @pytest.fixture
    def runtime(self):
        return Tflm()


def network(family=None, shape=(16, 16, 3)):
    family = family or DSCNN()
    values = {d.name: d.grid()[0] for d in family.dimensions(shape)}
    return family.build(values, shape, 5)


def test_neural_compressor_pt2e_keeps_the_decisions(tmp_path):
    model = built_model(network(), "int8-pt2e")
    artifact = OnnxRuntime().export(model, tmp_path)
    found = OnnxRuntime().open(artifact).run(model.calibration)
    reference = reference_logits(model)
    # its recipe keeps activations to 7 bits (no saturation on older x86): some 6 dB less than the 8-bit recipe
    assert sqnr_db(reference, found) > 12
    assert (reference.argmax(1) == found.argmax(1)).mean() >= 0.85
    workload = read_workload(artifact.path)
    assert workload.precision == "int8"
    assert "neural-compressor" in artifact.notes[0]


@pytest.mark.parametrize("family", [DSCNN(), MobileNet(), TCN()], ids=lambda f: f.name)
def test_full_int8_keeps_every_operator_in_int8(family, tmp_path):
    shape = (64, 6) if family.name == "tcn" else (16, 16, 3)
    artifact = LiteRt().export(built_model(network(family, shape), "int8"), tmp_path)
    workload = read_workload(artifact.path)
    assert workload.precision == "int8"
    assert {t.bits for t in workload.tensors} == {8}
    assert not [op for op in workload.operators if op.kind == "quantize"]


def test_tflm_tells_the_arena_it_planned(tmp_path):
    from cost_models.memory import plan_arena

    artifact = Tflm().export(built_model(network(), "int8"), tmp_path)
    session = Tflm().open(artifact)
    assert session.arena_bytes() == plan_arena(read_workload(artifact.path), "tflm").bytes


def test_slim_files_are_smaller_and_compute_the_same(tmp_path):
    import tensorflow as tf

    from advisor.network.to_keras import to_keras

    model = built_model(network(), "fp32")
    raw = tf.lite.TFLiteConverter.from_keras_model(to_keras(model.network, model.weights)).convert()
    (tmp_path / "raw.tflite").write_bytes(raw)
    (tmp_path / "slim.tflite").write_bytes(slim(raw))
    outputs = [
        LiteRt().open(Artifact(tmp_path / name, "litert", "fp32", "NHWC", "", 0)).run(model.calibration)
        for name in ("raw.tflite", "slim.tflite")
    ]
    np.testing.assert_array_equal(*outputs)
    assert len(slim(raw)) < len(raw)


def test_unknown_quantization_is_a_toolchain_error(tmp_path):
    for runtime in (OnnxRuntime(), LiteRt()):
        with pytest.raises(ToolchainError, match="allowed"):
            runtime.export(built_model(network(), "int4"), tmp_path)


def test_support_names_the_reason():
    assert Tflm().supports(catalog.target("stm32h743:tflm"), "int8").ok
    refused = Tflm().supports(catalog.target("stm32h743:tflm"), "fp16")
    assert not refused.ok
    assert "fp16" in refused.reason
