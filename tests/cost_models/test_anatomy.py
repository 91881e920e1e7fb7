"""Parts of a network's time: what they add up to, and what an x86 core is known to take."""

import dataclasses

import numpy as np
import pytest

from advisor.calibrate.collect import workload_of
from advisor.calibrate.design import network_items
from cost_models.analytic import AnalyticModel
from cost_models.anatomy import PARTS, amounts, shares_of
from specs import catalog
from specs.chip import ComputeUnit


@pytest.fixture(scope="module")
def networks():
    return [workload_of("onnxruntime", item) for item in network_items(24, 3, ("fp32", "int8"))]


@pytest.fixture(scope="module")
def host():
    """An x86 core of known peak, whatever this machine is."""

    def made(runtime, vector=("avx512f", "avx2")):
        target = catalog.target(f"host:{runtime}")
        unit = ComputeUnit("core", "cpu", "x86", 2, 2.5e9, "made for this test", vector, {"fp32": 4e11, "int8": 16e11})
        return dataclasses.replace(target, chip=dataclasses.replace(target.chip, compute=(unit,)))

    return made


@pytest.mark.parametrize("name", ["stm32h743:tflm", "raspberry-pi-4:litert", "raspberry-pi-4:ncnn"])
def test_shares_of_every_target_add_up(networks, name):
    shares = shares_of(networks, catalog.target(name))
    assert shares.shape == (len(networks), len(PARTS))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= 0).all()


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_an_x86_network_takes_what_its_operators_take(networks, host, runtime):
    for work in networks[:6]:
        costs = AnalyticModel().explain(work, host(runtime))
        total = sum(layer.latency_ms for layer in costs.layers)
        assert total == pytest.approx(costs.metrics["latency_ms"].value, rel=1e-6)


def test_small_networks_take_their_calls(networks, host):
    """Little arithmetic does not make a network quicker than its calls."""
    small = min(networks, key=lambda work: work.macs)
    shares = dict(zip(PARTS, shares_of([small], host("onnxruntime"))[0], strict=True))
    calls = shares["run"] + sum(share for part, share in shares.items() if part.startswith("call"))
    assert calls > 0.3
    ms = {
        r: AnalyticModel().predict([small], host(r))[0].metrics["latency_ms"].value for r in ("onnxruntime", "litert")
    }
    assert ms["onnxruntime"] > 1.5 * ms["litert"]  # one fused graph against a call an operator


def test_channels_are_filled_up_to_whole_vectors(networks):
    work = next(w for w in networks if any(op.kind == "conv" for op in w.operators))
    macs = [i for i, part in enumerate(PARTS) if part.startswith("macs")]
    assert amounts(work, 1)[macs].sum() == pytest.approx(work.macs)
    assert amounts(work, 16)[macs].sum() >= amounts(work, 8)[macs].sum() >= work.macs
