"""Which layer answers, what it says of itself, and that a user's measurements correct it."""

import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest

from cost_models import fit_learned, learned
from cost_models.analytic import AnalyticModel, lower_bound_ms
from cost_models.layered import LayeredModel, basis
from cost_models.measurement import Measurement
from cost_models.work_groups import GROUPS, group_work
from cost_models.workload import Operator, Tensor, Workload
from specs import catalog


def network(channels=32, layers=4, precision="fp32"):
    tensors = tuple(Tensor((56, 56, channels)) for _ in range(layers + 1))
    macs, params = 56 * 56 * 9 * channels**2, 9 * channels**2
    operators = tuple(
        Operator("conv", f"conv{i}", (i,), (i + 1,), macs, params, 4 * params, (3, 3), (1, 1)) for i in range(layers)
    )
    return Workload("net", tensors, operators, (0,), (layers,), precision, "onnx")


def test_a_chip_with_published_networks_is_learned_not_analytic():
    target = catalog.target("raspberry-pi-4:ncnn")
    costs = LayeredModel().predict([network()], target)[0]
    latency = costs.metrics["latency_ms"]
    assert latency.n > 20
    assert latency.low < latency.value < latency.high
    assert latency.low >= lower_bound_ms(network(), target).value
    assert any("published networks on this chip" in note for note in costs.notes)
    assert "published networks on this chip" in basis(target)


def test_an_unmeasured_target_falls_back():
    target = catalog.target("stm32h743:tflm")
    assert LayeredModel().predict([network()], target) == AnalyticModel().predict([network()], target)


def test_intervals_widen_beyond_what_was_measured():
    model, target = learned.load(), catalog.target("raspberry-pi-4:ncnn")
    usual, huge = network(), network(channels=4096, layers=8)
    width = [float(np.log(high / low)) for _, low, high in zip(*model.latency_ms([usual, huge], target), strict=True)]
    assert width[1] > 1.4 * width[0]


@pytest.mark.parametrize("name", ["raspberry-pi-4:ncnn", "stm32h743:tflm"])
def test_three_measurements_correct_a_target(name):
    target = catalog.target(name)
    some = [network(c) for c in (16, 24, 48)]
    wrong_by = 1.7
    truth = [wrong_by * c.metrics["latency_ms"].value for c in LayeredModel().predict(some, target)]
    samples = [(w, Measurement(name, "", wall_ms=(t,) * 5)) for w, t in zip(some, truth, strict=True)]
    corrected = LayeredModel().fit(samples)
    before = LayeredModel().predict([network(32)], target)[0].metrics["latency_ms"].value
    costs = corrected.predict([network(32)], target)[0]
    assert costs.metrics["latency_ms"].value == pytest.approx(wrong_by * before, rel=0.1)
    assert any("measured on the target" in note for note in costs.notes)


def test_explained_layers_add_up_to_the_total():
    costs = LayeredModel().explain(network(), catalog.target("raspberry-pi-4:ncnn"))
    assert sum(layer.latency_ms for layer in costs.layers) == pytest.approx(costs.metrics["latency_ms"].value)


def test_work_is_counted_in_the_group_that_does_it():
    work = dict(zip(GROUPS, group_work([network(channels=32, layers=1)])[0], strict=True))
    assert work["winograd"] == 56 * 56 * 9 * 32 * 32
    assert work["winograd io"] == 2 * 56 * 56 * 32
    assert work["calls"] == 1
    assert work["conv"] == work["int8 conv"] == 0
    quantized = dict(zip(GROUPS, group_work([network(layers=1, precision="int8")])[0], strict=True))
    assert quantized["int8 winograd"] == work["winograd"]


def test_the_shipped_fit_is_that_of_the_shipped_facts(tmp_path):
    data = files("cost_models") / "data"
    for name in ("ncnn_facts.csv", "ncnn_networks.json"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    report = fit_learned.refit(None, None, tmp_path)
    assert "57 boards" in report[0]
    new, shipped = (json.loads((folder / "learned.json").read_text()) for folder in (tmp_path, data))
    assert new["facts"] == shipped["facts"] == hashlib.sha256((data / "ncnn_facts.csv").read_bytes()).hexdigest()
    for chip, part in shipped["chips"].items():
        np.testing.assert_allclose(new["chips"][chip]["rates"], part["rates"], atol=0.01)  # other BLAS, other rounding


@pytest.mark.parametrize("name", ["raspberry-pi-4:ncnn", "stm32h743:tflm", "raspberry-pi-4:litert"])
def test_the_fast_path_says_the_same(name):
    target = catalog.target(name)
    several = [network(c, layers, precision) for c in (8, 64) for layers in (1, 5) for precision in ("fp32", "int8")]
    slow = [c.metrics["latency_ms"] for c in LayeredModel().predict(several, target)]
    fast = LayeredModel().latency_ms(several, target)
    np.testing.assert_allclose(fast, np.array([(e.value, e.low, e.high) for e in slow]).T, rtol=1e-6)
