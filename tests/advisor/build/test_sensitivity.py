import numpy as np
import pytest
from quantized import accuracy, built, digits, run, trained, widened

from advisor.build.sensitivity import Budget, choose_float, sensitivities
from advisor.network.description import Builder
from advisor.runtimes.litert import LiteRt
from advisor.runtimes.onnxruntime import OnnxRuntime
from cost_models.read import read_workload

BROKEN = "conv0"


def mixed(network, weights, calibration, floating):
    bits = {f"{name}.bits": np.asarray(32, np.float32) for name in floating}
    return built(network, {**weights, **bits}, calibration, "mixed")


@pytest.mark.parametrize("scheme", ["tflite", "onnx"])
def test_a_broken_layer_ranks_first(scheme):
    network, folded, calibration = trained()
    found = sensitivities(network, widened(network, folded, BROKEN, 1000), calibration, scheme)
    assert found[0].layer == BROKEN
    assert found[0].sqnr_db < 10 < found[1].sqnr_db
    assert found[0].divergence > 2 * found[1].divergence
    names = {s.layer for s in found}
    assert "input" in names
    assert {la.name for la in network.layers if la.kind in ("conv", "dwconv", "dense")} <= names


@pytest.mark.parametrize(("runtime", "scheme"), [(OnnxRuntime(), "onnx"), (LiteRt(), "tflite")], ids=["onnx", "tflite"])
def test_mixed_beats_int8_where_one_layer_is_broken(runtime, scheme, tmp_path):
    network, folded, calibration = trained()
    spoilt = widened(network, folded, BROKEN, 1000)
    x, labels = digits()[2]
    chosen = choose_float(network, spoilt, calibration, scheme, 0.01)
    assert BROKEN in chosen.floating
    assert len(chosen.floating) < len(network.layers) / 2
    assert chosen.disagreement < chosen.int8_disagreement
    plain = run(runtime, built(network, spoilt, calibration), tmp_path / "int8", x)
    model = mixed(network, spoilt, calibration, chosen.floating)
    found = run(runtime, model, tmp_path / "mixed", x)
    assert accuracy(found.argmax(1), labels) > accuracy(plain.argmax(1), labels) + 0.02
    full = run(runtime, built(network, spoilt, calibration, "fp32"), tmp_path / "fp32", x)
    assert accuracy(found.argmax(1), labels) >= accuracy(full.argmax(1), labels) - 0.02
    kept = read_workload(next((tmp_path / "mixed").rglob("model.*")))
    assert {8, 32} <= {tensor.bits for tensor in kept.tensors}


def test_nothing_stays_in_float_beyond_the_budget():
    network, folded, calibration = trained()
    spoilt = widened(network, folded, BROKEN, 1000)
    for budget in (Budget(flash_bytes=0), Budget(ram_bytes=0), Budget(float_macs=0.0)):
        chosen = choose_float(network, spoilt, calibration, "onnx", 0.01, budget)
        assert chosen.flash_bytes <= budget.flash_bytes
        assert chosen.ram_bytes <= budget.ram_bytes
        assert chosen.float_macs <= budget.float_macs


def test_networks_of_every_kind_of_layer_can_be_probed():
    b = Builder("test", (8, 8, 3))
    b.conv(8, 3, activation="hard-swish")
    b.pool("max-pool")
    source = b.last
    b.dwconv(3, activation="relu6")
    b.squeeze_excite()
    b.add(source, b.last, "relu")
    b.pool("avg-pool")
    network = b.classifier(4)
    from advisor.testing import built_model

    model = built_model(network, "int8")
    for scheme in ("tflite", "onnx"):
        found = sensitivities(network, model.weights, model.calibration, scheme)
        assert all(np.isfinite(s.sqnr_db) and s.sqnr_db > 3 for s in found)
        assert choose_float(network, model.weights, model.calibration, scheme, 0.0).floating
