from dataclasses import replace

import numpy as np
import pytest
import torch

from advisor.build.augment import augment
from advisor.build.plans import PLANS, TrainPlan
from advisor.build.train import Rate, TrainingFailedError, predict, train
from advisor.network.to_torch import get_weights, to_torch
from advisor.network.weights import load_weights, save_weights
from advisor.space.families import DSCNN

PLAN = TrainPlan(passes=2000, min_epochs=4, batch=32)


def data(count=160, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    x = rng.normal(0, 0.3, (count, 8, 8, 1)).astype(np.float32)
    x[:, :4] += y[:, None, None, None]
    return x, y.astype(np.int64)


def network(classes=2):
    return DSCNN().build({"width": 8, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}, (8, 8, 1), classes)


def accuracy(predicted, labels):
    return float((predicted == labels).mean())


def test_learns_and_reports_what_it_leaves():
    module = to_torch(network())
    done = train(module, data(), data(60, seed=1), PLAN, "timeseries-classification", accuracy)
    x, y = data(60, seed=1)
    assert done.validation > 0.9
    assert accuracy(predict(module, x), y) == done.validation


def test_same_seed_same_weights():
    results = []
    for seed in (0, 0, 1):
        module = to_torch(network(), seed=seed)
        train(module, data(), data(60, seed=1), replace(PLAN, seed=seed), "image-classification", accuracy)
        results.append(get_weights(module))
    for key, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][key])
    assert any(not np.array_equal(value, results[2][key]) for key, value in results[0].items())


def test_divergence_is_an_outcome():
    x, y = data()
    x[3] = np.inf
    with pytest.raises(TrainingFailedError, match="diverged"):
        train(to_torch(network()), (x, y), data(20), PLAN, "timeseries-classification", accuracy)


def test_out_of_memory_is_an_outcome(monkeypatch):
    module = to_torch(network())
    monkeypatch.setattr(module, "forward", lambda _: torch.empty(2**56))
    with pytest.raises(TrainingFailedError, match="memory"):
        train(module, data(), data(20), PLAN, "timeseries-classification", accuracy)


@pytest.mark.parametrize("reached", [0.5, 1.0])
def test_validation_that_never_improves_ends_nothing(reached):
    plan = replace(PLAN, passes=16_000)
    done = train(to_torch(network()), data(), data(20), plan, "image-classification", lambda *_: reached)
    assert done.epochs == plan.epochs(160)


def test_what_is_learned_does_not_depend_on_who_validates():
    plan, weights = replace(PLAN, passes=16_000), []
    for reached in (iter(range(10**6)).__next__, lambda: 1):
        module = to_torch(network())
        train(module, data(), data(20), plan, "image-classification", lambda *_, score=reached: float(score()))
        weights.append(get_weights(module))
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key])


def test_a_class_imbalance_is_weighted_when_asked():
    x, y = data(200)
    keep = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:6]])
    module = to_torch(network())
    train(
        module,
        (x[keep], y[keep]),
        data(80, seed=2),
        replace(PLAN, balanced=True),
        "timeseries-classification",
        accuracy,
    )
    held = data(80, seed=3)
    recall = [(predict(module, held[0])[held[1] == c] == c).mean() for c in (0, 1)]
    assert min(recall) > 0.6


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("image-classification", (1, 8, 8)),
        ("audio-classification", (1, 49, 10)),
        ("audio-classification", (10, 49, 1)),
        ("audio-classification", (1, 800, 1)),
        ("timeseries-classification", (6, 64, 1)),
    ],
)
def test_augmentation_varies_and_repeats(kind, shape):
    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    first, second = (augment(x, kind, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == x.shape
    assert not torch.equal(first, x)
    assert torch.isfinite(first).all()


def test_features_over_time_vary_alike_for_families_of_images_and_of_sequences():
    x = torch.randn(8, 1, 49, 10, generator=torch.Generator().manual_seed(0))
    image, sequence = (
        augment(rows, "audio-classification", torch.Generator().manual_seed(5)) for rows in (x, x.permute(0, 3, 2, 1))
    )
    assert torch.equal(image, sequence.permute(0, 3, 2, 1))


def test_lengths_are_counted_in_samples_never_seconds():
    assert PLANS["short"].epochs(10**6) == PLANS["short"].min_epochs
    assert PLANS["full"].epochs(1000) == 150
    assert PLANS["full"].epochs(1) == PLANS["full"].max_epochs
    small, large = PLANS["short"].fitted(64), PLANS["short"].fitted(32 * 32)
    assert small.batch == 2 * large.batch


def test_weight_files_hold_arrays_only(tmp_path):
    save_weights(tmp_path / "w.npz", {"a.kernel": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(load_weights(tmp_path / "w.npz")["a.kernel"], np.ones((2, 3)))
    np.savez(tmp_path / "evil.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        load_weights(tmp_path / "evil.npz")


def test_the_rate_warms_up_and_falls_to_zero():
    rate = Rate(1.0, 100)
    values = [rate.at(step) for step in range(101)]
    assert max(values) == values[20] == 1.0
    assert values[100] == pytest.approx(0)
    assert values[20:] == sorted(values[20:], reverse=True)


def test_turning_axes_keeps_lengths_and_what_is_not_in_threes():
    from advisor.build.augment import _rotate

    x = torch.randn(16, 6, 20, 1, generator=torch.Generator().manual_seed(0))
    turned = _rotate(x, torch.Generator().manual_seed(1))
    for first in (0, 3):
        before, after = (v[:, first : first + 3].norm(dim=1) for v in (x, turned))
        assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(turned, x, atol=0.1)
    five = torch.zeros(4, 5, 20, 1)
    five[:, 0] = 1
    # gain and noise move a channel; nothing of it may appear in another beyond the noise
    varied = augment(five, "timeseries-classification", torch.Generator().manual_seed(2))
    assert varied[:, 1:].abs().max() < 0.2
