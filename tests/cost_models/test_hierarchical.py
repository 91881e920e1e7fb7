"""Rates learned over boards: exact work is found again, sparse boards borrow, intervals tell how little is known."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models.conformal import grouped_quantile, quantile
from cost_models.hierarchical import Hierarchy, fit_hierarchy


@pytest.fixture(scope="module")
def world():
    """Twelve boards whose rates vary by a common level and a little by group; 20 networks, 3 % noise."""
    rng = np.random.default_rng(0)
    work = rng.uniform(0.1, 1, (20, 4)) * np.array([1e9, 1e7, 1e6, 100])
    rates = np.log([1e-9, 2e-8, 1e-7, 1e-3]) + rng.normal(0, 1, (12, 1)) + rng.normal(0, 0.2, (12, 4))
    log_ms = np.log(np.exp(rates) @ work.T) + rng.normal(0, 0.03, (12, 20))
    return work, log_ms


@pytest.fixture(scope="module")
def model(world):
    work, log_ms = world
    return fit_hierarchy(work[:15], log_ms[:11, :15])


def test_unseen_networks_are_predicted_to_the_noise(world, model):
    work, log_ms = world
    for board, posterior in enumerate(model.boards):
        predicted, variance = posterior.predict(work[15:])
        assert np.median(np.abs(predicted - log_ms[board, 15:])) < 0.06  # noise of 0.03, and what the rates miss
        assert (variance > 0).all()


def test_five_measurements_make_a_new_board_known(world, model):
    work, log_ms = world
    chosen = model.informative(work[:15], 5)
    assert len(set(chosen)) == 5
    before, doubt_before = model.posterior(work[:0], log_ms[11, :0]).predict(work[15:])
    after, doubt_after = model.posterior(work[chosen], log_ms[11, chosen]).predict(work[15:])
    assert np.abs(after - log_ms[11, 15:]).max() < 0.15 < np.abs(before - log_ms[11, 15:]).max()
    assert (doubt_after < doubt_before).all()


def test_one_odd_measurement_hardly_moves_a_board(world, model):
    work, log_ms = world
    odd = log_ms[11, :10].copy()
    odd[3] += 2.0
    clean, _ = model.posterior(work[:10], log_ms[11, :10]).predict(work[15:])
    moved, _ = model.posterior(work[:10], odd).predict(work[15:])
    assert np.abs(moved - clean).max() < 0.1  # an unweighted fit would move by about 0.2


def test_survives_json_and_refuses_other_schemas(model):
    again = Hierarchy.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_allclose(again.mean, model.mean, atol=1e-5)
    with pytest.raises(ValueError, match="schema"):
        Hierarchy.from_dict({**model.to_dict(), "schema": 99})
    with pytest.raises(ValueError, match="covariance"):
        Hierarchy.from_dict({**model.to_dict(), "mean": [0.0]})


def test_gaps_and_unused_groups_are_allowed(world):
    work, log_ms = world
    gaps = log_ms.copy()
    gaps[::2, ::3] = np.nan
    fitted = fit_hierarchy(np.hstack([work, np.zeros((20, 1))]), gaps)
    assert np.isfinite(fitted.mean).all()
    assert np.isfinite(fitted.boards[0].predict(np.hstack([work, np.zeros((20, 1))]))[0]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=60), st.floats(0.5, 0.99))
def test_the_quantile_holds_at_least_its_share(scores, coverage):
    found = quantile(scores, coverage)
    assert np.mean(np.array(scores) <= found) >= min(coverage, 1.0) or found == max(scores)


def test_every_group_weighs_the_same():
    scores = np.full((100, 2), np.nan)
    scores[:, 0], scores[0, 1] = 1.0, 5.0  # a hundred good scores of one network, one bad of another
    assert grouped_quantile(scores) == 5.0
    assert np.isnan(quantile([]))
