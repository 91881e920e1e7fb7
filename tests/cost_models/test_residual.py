import json

import numpy as np
import pytest

from advisor.calibrate.collect import workload_of
from advisor.calibrate.design import network_items
from cost_models.kernels import COLUMN, lower
from cost_models.residual import Residual, fit_residual


@pytest.fixture(scope="module")
def networks():
    return [workload_of("litert", item) for item in network_items(60, 3, ("fp32",))]


def predicted_ms(workloads):
    return np.array([0.01 + w.macs / 5e6 for w in workloads])


def real_ms(workloads):
    """A machine twice as slow as predicted, and slower still on depthwise convolutions and on every call."""
    found = []
    for workload in workloads:
        rows = lower([workload], "direct").rows
        depthwise = rows[rows[:, COLUMN["groups"]] > 1, COLUMN["macs"]].sum()
        found.append(0.02 + workload.macs / 2.5e6 + 2 * depthwise / 2.5e6 + 0.001 * len(rows))
    return np.array(found)


def error(residual, workloads):
    factor, _ = residual.apply(workloads, predicted_ms(workloads))
    return float(np.median(np.abs(predicted_ms(workloads) * factor / real_ms(workloads) - 1)))


def test_three_measurements_bring_the_level_and_thirty_the_shape(networks):
    """Chosen evenly; what is left over after three is what the level cannot say (bare: a factor of two and more)."""
    rest = networks[1::2]
    bare = float(np.median(np.abs(predicted_ms(rest) / real_ms(rest) - 1)))
    errors = []
    for count in (3, 30):
        chosen = networks[:: len(networks) // count][:count] if count == 3 else networks[::2]
        errors.append(error(fit_residual(chosen, predicted_ms(chosen), real_ms(chosen)), rest))
    assert bare > 0.5
    assert errors[0] < bare / 1.5
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.12


def test_the_interval_holds_what_was_not_measured_and_widens_far_from_it(networks):
    chosen, rest = networks[::2], networks[1::2]
    fitted = fit_residual(chosen, predicted_ms(chosen), real_ms(chosen))
    factor, half = fitted.apply(rest, predicted_ms(rest))
    miss = np.abs(np.log(predicted_ms(rest) * factor / real_ms(rest)))
    assert np.mean(miss <= half) >= 0.8
    few = fit_residual(chosen[:3], predicted_ms(chosen[:3]), real_ms(chosen[:3]))
    assert few.apply(rest, predicted_ms(rest))[1].mean() > half.mean()
    assert (
        few.apply(rest, 1e4 * predicted_ms(rest))[1].min() >= few.apply(chosen[:3], predicted_ms(chosen[:3]))[1].min()
    )


def test_it_survives_json_unchanged(networks):
    fitted = fit_residual(networks[:20], predicted_ms(networks[:20]), real_ms(networks[:20]))
    again = Residual.from_dict(json.loads(json.dumps(fitted.to_dict())))
    predicted = predicted_ms(networks)
    for mine, theirs in zip(fitted.apply(networks, predicted), again.apply(networks, predicted), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("change", [{"schema": 99}, {"log_ratio": [1.0]}, {"points": [[float("nan")] * 5] * 20}])
def test_what_does_not_fit_together_is_refused(networks, change):
    fitted = fit_residual(networks[:20], predicted_ms(networks[:20]), real_ms(networks[:20]))
    with pytest.raises(ValueError, match=r"schema|fit together"):
        Residual.from_dict({**fitted.to_dict(), **change})


def test_measurements_without_a_prediction_are_left_out(networks):
    some, ms = networks[:5], real_ms(networks[:5])
    fitted = fit_residual(some, np.array([np.nan, 0.0, *predicted_ms(some[2:])]), ms)
    assert fitted.n == 3
    with pytest.raises(ValueError, match="no measurement"):
        fit_residual(some, np.full(5, np.nan), ms)
