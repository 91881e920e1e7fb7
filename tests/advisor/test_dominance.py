import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.dominance import BLOCK, non_dominated


def beats(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True))


def by_definition(rows):
    return [
        i
        for i, p in enumerate(rows)
        if not any(beats(q, p) and (q != p or j < i) for j, q in enumerate(rows) if i != j)
    ]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@given(st.data())
def test_kept_are_those_nothing_dominates_and_of_equal_ones_the_first(objectives, data):
    rows = data.draw(st.lists(st.tuples(*[st.integers(0, 4)] * objectives), max_size=14))
    assert non_dominated(rows) == by_definition(rows)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_more_points_than_a_block(objectives):
    rows = np.random.default_rng(objectives).integers(0, 30, (3 * BLOCK, objectives))
    assert non_dominated(rows) == by_definition([tuple(row) for row in rows.tolist()])


def test_no_points_and_no_objectives():
    assert non_dominated([]) == []
    assert non_dominated([(), ()]) == [0]
