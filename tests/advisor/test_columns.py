"""Judging many at once equals judging one by one."""

from dataclasses import replace

import numpy as np
import pytest
from advisor_samples import DIGITS, evaluation
from hypothesis import given
from hypothesis import strategies as st

from advisor.columns import PACKED, SOURCES, columns_of, judge, pack, reachable, unpacked
from advisor.score import feasible, impossible, margins, violation
from cost_models.estimate import Estimate
from specs.spec import parse_spec

LIMITS = """limits:
  latency: {max: 10 ms, scope: pipeline}
  peak_ram: {max: 64 KiB, reserved: 8 KiB}
  flash: {max: 100 KiB}
  energy: {max: 2 mJ, soft: true}
  power: {max: 100 mW}
  battery: {min: 30 d, capacity: 1000 mAh, voltage: 3.7 V, every: 10 s}
  accuracy: {min: 0.8}
  unit_cost: {max: 5 USD}
pipeline: {capture: 2 ms}
"""
SPEC = parse_spec(DIGITS.split("limits:")[0] + LIMITS)

numbers = st.floats(1e-3, 1e6)
estimates = st.one_of(
    st.just(Estimate.absent("not known")),
    st.builds(lambda value, source: Estimate(value, None, None, source), numbers, st.sampled_from(SOURCES)),
    st.builds(
        lambda value, down, up, source: Estimate(value, value / down, value * up, source),
        numbers, st.floats(1, 3), st.floats(1, 3), st.sampled_from(SOURCES),
    ),
    st.builds(lambda value: Estimate(value, -value, value * 2, "predicted"), numbers),
)  # fmt: skip
metrics = st.dictionaries(st.sampled_from(PACKED), estimates).filter(
    # a chip's memory is never known without what is needed of it, nor signal processing without an interval
    lambda found: (
        all(f"{n}_bytes" in found for n in ("chip_ram", "chip_flash") if f"{n}_size_bytes" in found)
        and ("frontend_ms" not in found or found["frontend_ms"].value is None or found["frontend_ms"].low is not None)
    )
)


@given(st.lists(metrics, max_size=5))
def test_margins_feasibility_and_violation_equal_the_scores(several):
    rows = [replace(evaluation(8 + i), metrics=found) for i, found in enumerate(several)]
    judged = judge(SPEC, columns_of(rows))
    for i, row in enumerate(rows):
        expected = margins(SPEC, row.metrics)
        for margin in expected:
            found = judged.margin(i, margin.limit)
            assert found == (None if margin.value is None else pytest.approx(margin.value, rel=1e-9, abs=1e-12))
        assert {1: True, 0: False, -1: None}[int(judged.feasible[i])] == feasible(expected)
        assert judged.violation[i] == pytest.approx(violation(expected), rel=1e-9, abs=1e-12)


@given(st.lists(metrics, max_size=5))
def test_what_may_be_trained_equals_the_score(several):
    # what is skipped before training was never measured
    priced = [{n: replace(e, source="computed" if e.source == "measured" else e.source) for n, e in found.items()}
              for found in several]  # fmt: skip
    rows = [replace(evaluation(8 + i), metrics=found) for i, found in enumerate(priced)]
    expected = sum(not impossible(SPEC, row.metrics) for row in rows)
    assert reachable(SPEC, columns_of(rows), np.arange(len(rows))) == expected


def test_a_figure_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="fast"):
        pack({"latency_ms": Estimate("fast", 1.0, 1.0, "measured")})


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="length"):
        unpacked([b"short"])
