from collections import Counter

import pytest

from advisor.calibrate.design import MAX_MACS, kernel_items, macs, network_items
from advisor.calibrate.run import measurement_set


@pytest.mark.parametrize("count", [8, 30, 60])
def test_as_many_networks_as_asked_of_many_families_from_small_to_large(count):
    items = network_items(count, 0)
    by_precision = Counter(item.precision for item in items)
    assert by_precision == {"fp32": count, "int8": count}
    assert all(macs(item.graph) <= MAX_MACS for item in items)
    if count == 60:
        assert len({item.family for item in items}) >= 14
        sizes = sorted(macs(item.graph) for item in items)
        assert sizes[0] < 1e5
        assert sizes[-1] > 5e7


def test_the_set_is_the_same_every_time_and_its_ids_tell_content():
    first, second = (measurement_set(10) for _ in range(2))
    assert [i.id for i in first] == [i.id for i in second]
    assert {i.id for i in network_items(10, 0)} != {i.id for i in network_items(10, 1)}


def test_kernels_are_single_operators_of_every_group():
    items = kernel_items(120, 0, ("fp32",))
    assert all(len(item.graph.ops) == 1 for item in items)
    kinds = Counter(item.graph.ops[0].kind for item in items)
    assert {"conv", "dense", "add", "mul", "global-pool", "act", "softmax", "concat"} <= set(kinds)
    assert kinds["conv"] > 40
