"""From a predicted median to the statistic a limit asks for."""

import math

import pytest

from advisor.search.costing import Tail
from cost_models.estimate import Estimate


def test_a_median_becomes_the_statistic_asked_for_with_both_uncertainties():
    found = Tail(1.5, 1.2, 1.8).of(Estimate(2.0, 1.6, 2.5, "predicted", 7))
    assert found.value == pytest.approx(3.0)
    assert math.log(found.value / found.low) == pytest.approx(math.hypot(math.log(2 / 1.6), math.log(1.5 / 1.2)))
    assert math.log(found.high / found.value) == pytest.approx(math.hypot(math.log(2.5 / 2), math.log(1.8 / 1.5)))
    assert (found.source, found.n) == ("predicted", 7)


def test_a_latency_that_is_not_known_stays_so():
    absent = Estimate.absent("no figure for this core")
    assert Tail(1.5, 1.2, 1.8).of(absent) == absent
