"""Transfer from other targets: right with few samples, honest intervals, nothing lost when stored."""

from __future__ import annotations

import io

import numpy as np
import pytest

from cost_models.transfer import TransferModel, choose, learn_prior
from specs.errors import DataError

CHIPS = ["a", "a", "b", "c", "d", "e", "f", "g"]


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    """600 candidates with three costs; each chip pays its own price for them, and the target another."""
    rng = np.random.default_rng(0)
    costs = rng.gamma(2, 1, (600, 3)) + 0.1
    prices = np.exp(rng.normal(0, 1, (9, 3)))
    prices[1] = prices[0] * [1, 1.05, 1]
    logs = np.log(costs @ prices.T)
    measured = logs + rng.normal(0, 0.03, logs.shape)
    return {"sources": logs[:, :8], "measured": measured[:, :8], "target": measured[:, 8], "costs": np.log(costs)}


@pytest.fixture(scope="module")
def prior(world):
    return learn_prior(world["sources"], world["costs"], measured_log=world["measured"], groups=CHIPS)


def fit(world, prior, chosen):
    sources, costs = world["sources"], world["costs"]
    return TransferModel.fit(prior, sources[chosen], costs[chosen], np.exp(world["target"][chosen]))


def test_three_samples_beat_the_average_source_and_more_samples_help(world, prior):
    def error(n: int) -> float:
        errors = []
        for seed in range(10):
            chosen = np.random.default_rng(seed).choice(600, n, replace=False)
            told = fit(world, prior, chosen).predict(world["sources"], world["costs"])
            errors.append(np.median(np.abs(np.log(told.latency_ms) - world["target"])))
        return float(np.mean(errors))

    average = world["sources"].mean(1)
    shifted = np.abs(world["target"] - average - np.median(world["target"] - average))
    assert error(3) < np.median(shifted)
    assert error(20) < 0.05
    assert error(20) < error(3)


@pytest.mark.parametrize("n", [5, 20, 100])
def test_intervals_hold_nine_of_ten(world, prior, n):
    held = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chosen = rng.choice(600, n, replace=False)
        told = fit(world, prior, chosen).predict(world["sources"], world["costs"])
        unseen = np.setdiff1d(np.arange(600), chosen)
        actual = np.exp(world["target"])
        held.append(np.mean((told.low_ms <= actual)[unseen] & (actual <= told.high_ms)[unseen]))
    assert 0.84 <= np.mean(held) <= 0.98


def test_an_interrupted_measurement_does_not_spoil_the_rest(world, prior):
    chosen = np.random.default_rng(1).choice(600, 20, replace=False)
    latency = np.exp(world["target"][chosen])
    latency[4] *= 8
    model = TransferModel.fit(prior, world["sources"][chosen], world["costs"][chosen], latency)
    told = model.predict(world["sources"], world["costs"])
    assert np.median(np.abs(np.log(told.latency_ms) - world["target"])) < 0.1


def test_a_stored_model_predicts_the_same(world, prior):
    model = fit(world, prior, np.arange(7))
    file = io.BytesIO()
    np.savez(file, **model.to_arrays())
    file.seek(0)
    again = TransferModel.from_arrays(np.load(file, allow_pickle=False))
    first, second = (m.predict(world["sources"], world["costs"]) for m in (model, again))
    assert np.array_equal(first.latency_ms, second.latency_ms)
    assert np.array_equal(first.high_ms, second.high_ms)
    assert again.n == 7
    with pytest.raises(DataError, match="stored transfer model"):
        TransferModel.from_arrays({"schema": 1})


def test_what_to_measure_is_chosen_without_repeats_and_repeatably(world, prior):
    chosen = [choose(prior, world["sources"], world["costs"], 40, np.random.default_rng(3)) for _ in range(2)]
    assert len(set(chosen[0].tolist())) == 40
    assert np.array_equal(*chosen)


def test_one_source_and_no_features_are_enough(world):
    prior = learn_prior(world["sources"][:, :1])
    model = TransferModel.fit(prior, world["sources"][:1, :1], None, [3.0])
    told = model.predict(world["sources"][:, :1])
    assert told.latency_ms[0] == pytest.approx(3.0, rel=0.05)
    assert (told.low_ms < told.latency_ms).all()


def test_a_target_of_another_magnitude_is_followed(world, prior):
    chosen = np.arange(5)
    latency = 300 * np.exp(world["target"][chosen])
    model = TransferModel.fit(prior, world["sources"][chosen], world["costs"][chosen], latency)
    told = model.predict(world["sources"], world["costs"])
    assert np.median(told.latency_ms / np.exp(world["target"])) == pytest.approx(300, rel=0.15)


@pytest.mark.parametrize("latency", [[], [1.0, 0.0], [1.0, float("nan")], [-1.0, 2.0], [1.0, 2.0, 3.0]])
def test_latencies_that_cannot_be_are_refused(world, prior, latency):
    with pytest.raises(DataError, match="latenc"):
        TransferModel.fit(prior, world["sources"][:2], world["costs"][:2], latency)


def test_inputs_of_another_shape_are_refused(world, prior):
    with pytest.raises(DataError, match="source predictions"):
        TransferModel.fit(prior, world["sources"][:2, :3], world["costs"][:2], [1.0, 2.0])
    with pytest.raises(DataError, match="features"):
        TransferModel.fit(prior, world["sources"][:2], None, [1.0, 2.0])
    with pytest.raises(DataError, match="finite"):
        learn_prior(np.full((5, 2), np.nan))
    with pytest.raises(DataError, match="cannot be chosen"):
        choose(prior, world["sources"], world["costs"], 601, np.random.default_rng(0))
