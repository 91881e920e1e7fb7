from dataclasses import replace

import numpy as np
import pytest
import torch

from advisor.build.cheap import likelihood, train_briefly
from advisor.build.plans import TrainPlan
from advisor.build.train import TrainingFailedError, logits, predict
from advisor.network.to_torch import get_weights, to_torch
from advisor.space.families import DSCNN

PLAN = TrainPlan(passes=3000, min_epochs=1, batch=32)


def data(count=160, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = rng.normal(0, 0.3, (count, 8, 8, 1)).astype(np.float32)
    x[:, :4] += y[:, None, None, None]
    return x, y.astype(np.int64)


def network():
    return DSCNN().build({"width": 8, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}, (8, 8, 1), 2)


def test_a_brief_training_learns_and_repeats():
    found = []
    for seed in (0, 0, 1):
        module = to_torch(network(), seed=0)
        train_briefly(module, data(), replace(PLAN, seed=seed), "timeseries-classification")
        found.append(get_weights(module))
        x, y = data(80, seed=1)
        assert (predict(module, x) == y).mean() > 0.9
    for key, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][key])
    assert any(not np.array_equal(value, found[2][key]) for key, value in found[0].items())


@pytest.mark.parametrize("count", [5, 33])
def test_a_handful_of_samples_is_enough_to_run(count):
    module = to_torch(network())
    train_briefly(module, data(count), replace(PLAN, passes=400), "image-classification")
    assert np.isfinite(logits(module, data(count)[0])).all()


def test_what_cannot_be_trained_is_an_outcome(monkeypatch):
    x, y = data()
    x[3] = np.inf
    with pytest.raises(TrainingFailedError, match="diverged"):
        train_briefly(to_torch(network()), (x, y), PLAN, "timeseries-classification")
    module = to_torch(network())
    monkeypatch.setattr(module, "forward", lambda _: torch.empty(2**56))
    with pytest.raises(TrainingFailedError, match="memory"):
        train_briefly(module, data(), PLAN, "timeseries-classification")


def test_the_likelihood_tells_apart_what_counting_ties():
    labels = np.array([0, 1, 0, 1])
    clear = np.array([[4, 0], [0, 4], [3, 0], [0, 0.5]], np.float32)
    doubtful = np.array([[0.3, 0], [0, 4], [0.2, 0], [0, 0.1]], np.float32)
    assert (clear.argmax(1) == doubtful.argmax(1)).all()
    assert likelihood(clear, labels).value > likelihood(doubtful, labels).value


def test_the_likelihood_does_not_depend_on_how_sure_a_network_is():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    found = rng.normal(0, 1, (400, 3)).astype(np.float32)
    found[np.arange(400), labels] += 1
    one, tenfold = likelihood(found, labels), likelihood(4 * found + 7, labels)
    assert one.value == pytest.approx(tenfold.value, rel=1e-4)
    assert one.low < one.value < one.high < 1
    assert one.n == 400


def test_knowing_nothing_scores_chance():
    labels = np.arange(40) % 4
    assert likelihood(np.zeros((40, 4), np.float32), labels).value == pytest.approx(0.25)


def test_rare_classes_count_alike_when_balance_is_asked():
    labels = np.array([0] * 90 + [1] * 10)
    frequent, rare = np.zeros((2, 100, 2), np.float32)
    frequent[:, 0] = 2  # always the frequent class
    rare[:90, 0], rare[90:, 1] = 0.8, 3
    rare[45:90, 1] = 1.0
    assert likelihood(frequent, labels).value > 0.6
    assert likelihood(frequent, labels, balanced=True).value < likelihood(rare, labels, balanced=True).value
