"""Intervals of measurements hold what a repetition gives."""

import math

import pytest

from advisor.measure.protocol import MeasurePlan, measure_file
from advisor.measure.spread import BETWEEN, LOADED, SHARED_CORE, loaded, repeat_of
from cost_models.measurement import Measurement


def sitting(*blocks_us, others=0.0):
    return {"block_ns": [us * 1e3 for us in blocks_us], "others": others}


def test_the_interval_reaches_over_what_other_processes_took():
    low, high = repeat_of([sitting(20, 20), sitting(23, 23), sitting(19, 19)], 20e3)
    assert low == pytest.approx(0.95 * (1 - BETWEEN))
    assert high == pytest.approx(1.15 * (1 + BETWEEN))


def test_without_spread_another_sitting_still_differs():
    low, high = repeat_of([sitting(20, 20, 20)], 20e3)
    assert (low, high) == (pytest.approx(1 - BETWEEN), pytest.approx(1 + BETWEEN))


def test_beside_other_work_it_reaches_to_the_speed_that_was_not_seen():
    one = repeat_of([sitting(20, 20, others=0.5)], 20e3)
    assert one[0] == pytest.approx((1 - BETWEEN) / SHARED_CORE)
    assert one[1] == pytest.approx((1 + BETWEEN) * SHARED_CORE)
    both = repeat_of([sitting(*[20] * 10, *[32] * 10, others=0.5)], 20e3)
    assert both == (pytest.approx(1 - BETWEEN), pytest.approx(SHARED_CORE * (1 + BETWEEN)))


def test_load_is_told_where_the_system_tells_it():
    assert loaded([sitting(1), sitting(1, others=2 * LOADED)])
    assert not loaded([sitting(1, others=LOADED / 2), sitting(1, others=None)])


def test_every_statistic_has_the_interval_of_repetitions():
    found = Measurement("host:onnxruntime", "x", (1.0,) * 1000, repeat=(0.9, 1.2), tail=(0.7, 1.5))
    for stat, low, high in (("p50", 0.9, 1.2), ("mean", 0.9, 1.2), ("p95", 0.7, 1.5), ("p99", 0.7, 1.5)):
        estimate = found.latency(stat)
        assert (estimate.low, estimate.value, estimate.high) == (pytest.approx(low), 1.0, pytest.approx(high))
    assert Measurement("host:onnxruntime", "x", error="no board").latency().reason == "no board"


def test_work_beside_a_measurement_makes_it_noisy(tmp_path, monkeypatch):
    from advisor.measure import protocol

    answer = {"wall_ns": [20_000] * 50, "cpu_ns": [], "reference_ns": [1000], "peak_rss_bytes": None, "inputs": [],
              "version": "1", "block_ns": [20_000.0] * 3}  # fmt: skip
    plan = MeasurePlan(processes=3, max_processes=3)
    for others, noisy in ((0.0, False), (0.6, True)):
        monkeypatch.setattr(protocol, "_process", lambda *_, others=others: {**answer, "others": others})
        found = measure_file(tmp_path / "m.onnx", "x", "host:onnxruntime", "onnxruntime", plan, None)
        assert found.noisy is noisy
        estimate = found.latency()
        assert math.isclose(estimate.value, 0.02)
        assert (estimate.high > 0.03) is noisy
