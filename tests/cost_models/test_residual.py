import numpy as np
import pytest

from advisor.calibrate.collect import workload_of
from advisor.calibrate.design import network_items
from cost_models.anatomy import PARTS, shares_of
from cost_models.kernels import COLUMN, lower
from cost_models.residual import fit_residual
from specs import catalog

TARGET = catalog.target("raspberry-pi-4:litert")


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
        errors.append(error(fit_residual(chosen, predicted_ms(chosen), real_ms(chosen), TARGET), rest))
    assert bare > 0.5
    assert errors[0] < bare / 1.5
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.12


def test_the_interval_holds_what_was_not_measured_and_widens_far_from_it(networks):
    chosen, rest = networks[::2], networks[1::2]
    fitted = fit_residual(chosen, predicted_ms(chosen), real_ms(chosen), TARGET)
    factor, half = fitted.apply(rest, predicted_ms(rest))
    miss = np.abs(np.log(predicted_ms(rest) * factor / real_ms(rest)))
    assert np.mean(miss <= half) >= 0.8
    few = fit_residual(chosen[:3], predicted_ms(chosen[:3]), real_ms(chosen[:3]), TARGET)
    assert few.apply(rest, predicted_ms(rest))[1].mean() > half.mean()
    assert (
        few.apply(rest, 1e4 * predicted_ms(rest))[1].min() >= few.apply(chosen[:3], predicted_ms(chosen[:3]))[1].min()
    )


def test_a_level_that_is_right_is_left_alone(networks):
    """A calibrated model's error is noise: three measurements of it must not move what was not measured."""
    rng = np.random.default_rng(0)
    true = predicted_ms(networks) * np.exp(rng.normal(0, 0.08, len(networks)))
    moved, seen = [], []
    for start in range(20):
        chosen, taken = networks[start : start + 3], true[start : start + 3]
        fitted = fit_residual(chosen, predicted_ms(chosen), taken, TARGET)
        moved.append(np.abs(np.log(fitted.apply(networks, predicted_ms(networks))[0])).mean())
        seen.append(abs(np.log(taken / predicted_ms(chosen)).mean()))
    assert np.mean(moved) < 0.7 * np.mean(seen)


def test_a_wrong_part_is_told_from_the_others(networks):
    """A machine slower on depthwise MACs alone: networks with few of them keep their time."""
    shares = shares_of(networks, TARGET)
    depthwise = shares[:, [i for i, part in enumerate(PARTS) if part.endswith("dwconv")]].sum(axis=1)
    true = predicted_ms(networks) * (1 + 3 * depthwise)
    chosen, rest = list(range(0, len(networks), 3)), [i for i in range(len(networks)) if i % 3]
    base = predicted_ms(networks)
    fitted = fit_residual([networks[i] for i in chosen], base[chosen], true[chosen], TARGET)
    factor, _ = fitted.apply([networks[i] for i in rest], base[rest])
    level = np.exp(np.median(np.log(true[chosen] / base[chosen])))
    found = np.median(np.abs(base[rest] * factor / true[rest] - 1))
    assert found < 0.05
    assert found < np.median(np.abs(base[rest] * level / true[rest] - 1)) / 3


def test_what_one_precision_gets_wrong_says_little_of_the_other():
    """Float kernels as predicted, int8 ones more than twice as slow, each from a handful: neither drags the other."""
    mixed = [workload_of("litert", item) for item in network_items(40, 5, ("fp32", "int8"))]
    slow = np.array([str(workload.precision) == "int8" for workload in mixed])
    base, true = predicted_ms(mixed), predicted_ms(mixed) * np.where(slow, 2.2, 0.9)
    chosen = [*np.flatnonzero(slow)[:8], *np.flatnonzero(~slow)[:8]]
    rest = [i for i in range(len(mixed)) if i not in chosen]
    fitted = fit_residual([mixed[i] for i in chosen], base[chosen], true[chosen], TARGET)
    factor, _ = fitted.apply([mixed[i] for i in rest], base[rest])
    off = np.abs(base[rest] * factor / true[rest] - 1)
    assert np.median(off[slow[rest]]) < 0.05
    assert np.median(off[~slow[rest]]) < 0.05


def test_measurements_without_a_prediction_are_left_out(networks):
    some, ms = networks[:5], real_ms(networks[:5])
    fitted = fit_residual(some, np.array([np.nan, 0.0, *predicted_ms(some[2:])]), ms, TARGET)
    assert fitted.n == 3
    with pytest.raises(ValueError, match="no measurement"):
        fit_residual(some, np.full(5, np.nan), ms, TARGET)
