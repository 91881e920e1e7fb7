from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advisor.tasks.split import grouped, stratified


@given(st.lists(st.integers(2, 40), min_size=2, max_size=6), st.floats(0.05, 0.5))
def test_stratified_holds_out_the_share_of_every_class(sizes: list[int], share: float) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    held = stratified(y, share)
    for label, size in enumerate(sizes):
        count = int(held[y == label].sum())
        assert 1 <= count < size
        assert abs(count - size * share) <= 1
    np.testing.assert_array_equal(held, stratified(y, share))


@given(st.integers(3, 20), st.integers(2, 4), st.integers(0, 99))
def test_grouped_keeps_groups_whole(count: int, classes: int, seed: int) -> None:
    rng = np.random.RandomState(seed)
    groups = np.repeat([f"s{i}" for i in range(count)], 12)
    y = rng.randint(0, classes, len(groups))
    held = grouped(y, groups, 0.2)
    if held is None:  # no choice of whole groups covers every class: rare, and only where groups are few
        assert count < 8
        return
    assert not set(groups[held]) & set(groups[~held])
    assert set(y[held]) == set(y[~held]) == set(y)
    if count >= 8:
        assert 0.05 < held.mean() < 0.4


def test_grouped_gives_up_where_a_class_has_one_group() -> None:
    assert grouped(np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2]), 0.2) is None
    assert grouped(np.array([0, 1, 0, 1]), np.array([1, 1, 1, 1]), 0.2) is None
