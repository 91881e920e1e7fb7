from dataclasses import replace

import numpy as np
import pytest
import torch
from quantized import KIND, PLAN, accuracy, activation_scales, built, digits, run, trained, widened

from advisor.build.fake_quant import FakeQuant, round_kernel, without_norms
from advisor.build.qat import finetune, qat_plan
from advisor.build.train import logits
from advisor.network.to_torch import to_torch
from advisor.runtimes.litert import LiteRt
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.runtimes.tflm import Tflm
from advisor.space.families import DSCNN, TCN, MobileNet, ResNet
from advisor.testing import built_model

RUNTIMES = [(LiteRt(), "tflite"), (Tflm(), "tflite"), (OnnxRuntime(), "onnx")]
FAMILIES = {"dscnn": (DSCNN(), (16, 16, 3)), "mobilenet": (MobileNet(), (16, 16, 3)), "resnet": (ResNet(), (16, 16, 3)),
            "tcn": (TCN(), (64, 6))}  # fmt: skip


def simulated(model, scheme, x):
    return logits(FakeQuant(model.network, model.weights, model.calibration, scheme), x)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("runtime", "scheme"), RUNTIMES, ids=["litert", "tflm", "onnxruntime"])
def test_the_simulation_computes_what_the_exported_file_computes(family, runtime, scheme, tmp_path):
    maker, shape = FAMILIES[family]
    params = {d.name: d.grid()[-1 if d.name == "squeeze_excite" else 0] for d in maker.dimensions(shape)}
    model = built_model(maker.build(params, shape, 5), "int8")
    x = model.calibration
    module = FakeQuant(model.network, model.weights, x, scheme)
    deployed = replace(model, weights=module.weights())
    module = FakeQuant(model.network, deployed.weights, x, scheme)
    found = run(runtime, deployed, tmp_path, x)
    np.testing.assert_allclose(activation_scales(next(tmp_path.glob("model.*"))), module.scales(), rtol=1e-3)
    plain, wanted = logits(to_torch(without_norms(model.network), deployed.weights), x), logits(module, x)
    # the roundings are the same but for ties and the order of sums, which move a value by one level here and there
    assert np.corrcoef((found - plain).ravel(), (wanted - plain).ravel())[0, 1] > 0.6
    assert np.sum((found - wanted) ** 2) < np.sum((found - plain) ** 2)


@pytest.mark.parametrize(("runtime", "scheme"), RUNTIMES, ids=["litert", "tflm", "onnxruntime"])
def test_fine_tuning_brings_back_what_int8_lost_and_the_file_keeps_it(runtime, scheme, tmp_path):
    network, folded, calibration = trained()
    spoilt = widened(network, folded, "conv0", 300)
    sets = digits()
    x, labels = sets[2]
    plain = run(runtime, built(network, spoilt, calibration), tmp_path / "plain", x)
    done = finetune(network, spoilt, calibration, scheme, sets[0], sets[1], PLAN, KIND, accuracy)
    tuned = built(network, done.weights, calibration, "int8-qat")
    found = run(runtime, tuned, tmp_path / "tuned", x)
    lost = accuracy(run(runtime, built(network, spoilt, calibration, "fp32"), tmp_path / "float", x).argmax(1), labels)
    lost -= accuracy(plain.argmax(1), labels)
    assert lost > 0.02
    assert accuracy(found.argmax(1), labels) > accuracy(plain.argmax(1), labels) + lost / 2
    assert (found.argmax(1) == simulated(tuned, scheme, x).argmax(1)).mean() >= 0.99


def test_fine_tuning_never_ends_below_where_it_began():
    network, folded, calibration = trained()
    sets = digits()
    done = finetune(network, folded, calibration, "tflite", sets[0], sets[1], PLAN, KIND, lambda *_: 0.5)
    before = FakeQuant(network, folded, calibration, "tflite").weights()
    for key, value in done.weights.items():
        np.testing.assert_array_equal(value, before[key])


def test_kernels_lie_on_a_grid_that_is_found_again_exactly():
    kernel = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel[2] = 0
    rounded = round_kernel(kernel)
    assert torch.equal(round_kernel(rounded), rounded)
    for channel in rounded[[0, 1, 3, 4, 5]]:
        steps = channel / (channel.abs().max() / 127)
        assert torch.allclose(steps, steps.round(), atol=1e-3)


def test_gradients_pass_through_the_rounding():
    network, folded, calibration = trained()
    module = FakeQuant(network, folded, calibration, "tflite").train()
    module(module.samples).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_the_plan_is_short_and_gentle():
    short = qat_plan(PLAN)
    assert short.passes < 0.5 * PLAN.passes
    assert short.learning_rate < 0.5 * PLAN.learning_rate
