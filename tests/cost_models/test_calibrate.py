import json
import random

import numpy as np
import pytest

from advisor.calibrate.collect import workload_of
from advisor.calibrate.design import KERNELS, kernel_items, network_items
from cost_models.calibrate import Calibration, fit_calibration
from cost_models.kernel_model import KernelTimes, fit_kernel_model
from cost_models.kernels import COLUMN, lower
from cost_models.measurement import Measurement


def truth_us(kinds, rows):
    """A made-up machine: a call, padded multiplications by kind, bytes moved."""
    rate = {"depthwise": 30.0, "first": 25.0, "grouped": 20.0}
    padded = np.ceil(rows[:, COLUMN["outer"]] / 16) * 16 / rows[:, COLUMN["outer"]]
    per_mac = np.array([rate.get(kind.partition(":")[0], 8.0) for kind in kinds])
    moved = rows[:, COLUMN["inputs"]] + rows[:, COLUMN["outputs"]]
    return 0.6 + per_mac * rows[:, COLUMN["macs"]] / 1e6 * padded + moved / 2e4 + rows[:, COLUMN["weight_bytes"]] / 1e5


def measured(workload, noise=0.0, rng=None, target="host:litert"):
    kernels = lower([workload], "direct")
    ms = (5 + truth_us(kernels.kind, kernels.rows).sum()) / 1e3
    return Measurement(target, workload.name, (float(ms * np.exp(noise * (rng.standard_normal() if rng else 0))),))


@pytest.fixture(scope="module")
def networks():
    return [(i.family, workload_of("litert", i)) for i in network_items(40, 5, ("fp32",))]


@pytest.fixture(scope="module")
def kernels():
    parts = []
    rng = np.random.default_rng(0)
    for item in kernel_items(KERNELS // 2, 5, ("fp32",)):
        lowered = lower([workload_of("litert", item)], "direct")
        us = truth_us(lowered.kind, lowered.rows) * np.exp(0.03 * rng.standard_normal(len(lowered.kind)))
        parts.append(KernelTimes(tuple(lowered.kind), lowered.rows, us, (item.id,) * len(us)))
    return KernelTimes.joined(parts)


@pytest.fixture(scope="module")
def calibration(networks, kernels):
    samples = [(w, measured(w, 0.02, np.random.default_rng(i))) for i, (_, w) in enumerate(networks[:28])]
    return fit_calibration(samples, {"fp32": ("direct", kernels)}, groups=[f for f, _ in networks[:28]],
                           versions={"runtime": "1"})  # fmt: skip


def test_networks_it_has_not_seen_are_predicted_with_honest_intervals(calibration, networks):
    rest = [w for _, w in networks[28:]]
    value, low, high = calibration.latency_ms(rest)
    real = np.array([measured(w).wall_ms[0] for w in rest])
    assert np.median(np.abs(value / real - 1)) < 0.08
    assert np.mean((low <= real) & (real <= high)) >= 0.75
    assert ((low < value) & (value < high)).all()
    assert calibration.n > 28
    assert 0 < calibration.error[0] <= calibration.error[1]


def test_a_calibration_survives_json(calibration, networks):
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    workloads = [w for _, w in networks[:6]]
    np.testing.assert_allclose(again.latency_ms(workloads)[0], calibration.latency_ms(workloads)[0], rtol=1e-4)
    assert (again.target, again.digest, again.versions) == ("host:litert", calibration.digest, {"runtime": "1"})


@pytest.mark.parametrize("change", [
    {"schema": 99}, {"parts": {"fp32": {}}}, {"parts": 3}, {"target": None, "versions": 7},
])  # fmt: skip
def test_what_is_no_calibration_is_refused(calibration, change):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Calibration.from_dict({**calibration.to_dict(), **change})


def test_precisions_without_measurements_have_no_figure(calibration):
    item = network_items(8, 6, ("int8",))[0]
    value, low, high = calibration.latency_ms([workload_of("litert", item)])
    assert np.isnan([value[0], low[0], high[0]]).all()
    assert not calibration.covers("int8")


def test_three_measurements_correct_a_prior(networks):
    def prior(workloads):
        return np.array([measured(w).wall_ms[0] * 3 for w in workloads])

    workloads = [w for _, w in networks]
    found = fit_calibration([(w, measured(w)) for w in workloads[:3]], prior=prior)
    value, low, high = found.latency_ms(workloads[3:], prior)
    real = np.array([measured(w).wall_ms[0] for w in workloads[3:]])
    np.testing.assert_allclose(value, real, rtol=0.01)
    assert (low <= real).all()
    assert (high >= real).all()


def test_networks_alone_are_enough_for_a_rough_model(networks):
    order = random.Random(1).sample(networks, len(networks))
    found = fit_calibration([(w, measured(w)) for _, w in order[:30]])
    value, _, _ = found.latency_ms([w for _, w in order[30:]])
    real = np.array([measured(w).wall_ms[0] for _, w in order[30:]])
    assert np.median(np.abs(value / real - 1)) < 0.5


def test_failed_measurements_and_mixed_targets_are_no_basis(networks):
    (_, first), (_, second) = networks[:2]
    with pytest.raises(ValueError, match="valid measurements"):
        fit_calibration([(first, Measurement("a:b", "x", error="died"))])
    with pytest.raises(ValueError, match="one target"):
        fit_calibration([(first, measured(first)), (second, measured(second, target="a:b"))])


def test_intervals_widen_outside_the_measured_range(calibration, kernels):
    model = fit_kernel_model(kernels)
    inside = kernels.rows[[kernels.kinds.index("conv1")]]
    outside = inside.copy()
    outside[:, COLUMN["outer"]] *= 1000
    far = model.predict(["conv1", "conv1", "recurrent"], np.vstack([inside, outside, inside]))[1]
    assert far[0] == 0
    assert far[1] > 0.5
    assert far[2] == 1


def test_kernels_timed_alone_only_say_the_same_whatever_surrounds_them(kernels):
    """What they miss of a network's caches is told by whole networks: made-up surroundings must not change them."""
    model = fit_kernel_model(kernels)
    other = kernels.rows.copy()
    other[:, COLUMN["around"]] = 1e8
    found, again = model.predict(kernels.kinds, kernels.rows), model.predict(kernels.kinds, other)
    assert np.median(np.abs(found[0] / kernels.us - 1)) < 0.06
    for mine, theirs in zip(found, again, strict=True):
        np.testing.assert_allclose(mine, theirs)
