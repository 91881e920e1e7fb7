"""Hypervolume and its expected gain against counting points."""

import numpy as np
import pytest

from advisor.search.acquisition import expected_gain, hypervolume, non_dominated

CORNER = 1.0


def drawn(objectives, n, seed=0):
    return np.random.default_rng(seed).random((n, objectives))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_hypervolume_is_the_share_of_points_that_are_dominated(objectives):
    front, counted = drawn(objectives, 6), drawn(objectives, 40_000, seed=1)
    dominated = (counted[:, None] >= front).all(2).any(1).mean()
    assert hypervolume(front, np.full(objectives, CORNER)) == pytest.approx(dominated, abs=0.01)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_gain_of_a_candidate_is_that_of_its_outcomes_on_average(objectives):
    """The last objective is known exactly, unless it is the only one."""
    front, worst = drawn(objectives, 5), np.full(objectives, CORNER)
    mean, sd = drawn(objectives, 4, seed=2), np.full((4, objectives), 0.2)
    if objectives > 1:
        sd[:, -1] = 0
    noise = np.random.default_rng(3).normal(size=(1500, objectives))
    before = hypervolume(front, worst)
    told = expected_gain(mean, sd, front, worst)
    for i in range(4):
        outcomes = mean[i] + sd[i] * noise
        counted = np.mean([hypervolume(np.vstack([front, one]), worst) - before for one in outcomes])
        assert told[i] == pytest.approx(counted, rel=0.1, abs=0.004)


def test_what_is_certain_not_to_help_gains_nothing():
    front = np.array([[0.2, 0.5], [0.5, 0.2]])
    told = expected_gain(np.array([[0.6, 0.6], [0.3, 1.2], [0.1, 0.6]]), np.zeros((3, 2)), front, np.ones(2))
    assert told[:2].tolist() == [0, 0]
    assert told[2] == pytest.approx(0.1 * 0.4)


def test_of_equal_points_the_first_is_on_the_front():
    points = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
    assert non_dominated(points).tolist() == [0, 1]
    assert non_dominated(np.column_stack([points, np.zeros(4)])).tolist() == [0, 1]
