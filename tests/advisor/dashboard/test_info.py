from dataclasses import replace

import pytest

from advisor.dashboard.info import (
    STATES,
    Axis,
    available_axes,
    axis_of,
    candidate_rows,
    chart_rows,
    closest,
    figure_text,
    limit_lines,
    limit_options,
    limit_text,
    margin_text,
    missed,
    relaxed_spec,
    suited_axis,
    wants_log,
)
from advisor.front import front, front_info
from advisor.report.text import figure_text as report_text
from cost_models.estimate import Estimate
from specs.errors import SpecError
from specs.spec import parse_spec

LATENCY = Axis("latency_ms", "latency", "ms", 1.0)
ACCURACY = Axis("accuracy", "accuracy", "", 1.0)


@pytest.fixture
def info(spec, evaluation):
    rows = [evaluation(8, 0.93, 1.0, measured=True), evaluation(16, 0.97, 3.0), evaluation(32, 0.99, 30.0)]
    return front_info(spec, front(spec, rows))


def test_rows_of_the_chart_in_the_axes_units(info):
    rows = chart_rows(info, LATENCY, ACCURACY)
    assert [(row["x"], row["y"], row["state"], row["provenance"]) for row in rows] == [
        (1.0, 0.93, "on the front", "measured"),
        (3.0, 0.97, "on the front", "predicted"),
    ]
    assert (rows[1]["x_low"], rows[1]["x_high"]) == (1.5, 6.0)
    assert rows[1]["x_text"] == report_text(Estimate(3.0, 1.5, 6.0, "predicted"), "ms")
    assert rows[0]["missed"] == "none"
    assert rows[0]["candidate"] == "dscnn depth=2 growth=1 kernel=3 stem_stride=1 width=8 · fp32"


def test_infeasible_rows_are_shown_on_request_with_what_they_miss(info):
    rows = chart_rows(info, LATENCY, ACCURACY, infeasible=True)
    assert [row["state"] for row in rows] == ["on the front", "on the front", "infeasible"]
    # 30 ms predicted within a factor of two: the 90 % quantile is 51.5 ms
    assert rows[2]["missed"] == "latency 415 % beyond"
    assert {row["state"] for row in rows} <= set(STATES)


def test_a_target_alone(info):
    assert chart_rows(info, LATENCY, ACCURACY, target="host:litert") == []
    assert len(chart_rows(info, LATENCY, ACCURACY, target="host:onnxruntime")) == 2


def test_a_row_without_one_of_the_figures_is_left_out(info):
    assert chart_rows(info, Axis("energy_mj", "energy", "mJ", 1.0), ACCURACY, infeasible=True) == []


def test_the_weaker_provenance_of_the_two_figures_counts(info):
    flash = axis_of(info, "flash_bytes")
    assert [row["provenance"] for row in chart_rows(info, flash, LATENCY)] == ["measured", "predicted"]
    assert [row["provenance"] for row in chart_rows(info, flash, axis_of(info, "macs"))] == ["computed", "computed"]


def test_an_undecided_candidate_is_neither(spec, evaluation):
    unknown = replace(evaluation(8), metrics={**evaluation(8).metrics, "flash_bytes": Estimate.absent("no file")})
    info = front_info(spec, front(spec, [unknown]))
    assert [row["state"] for row in chart_rows(info, LATENCY, ACCURACY)] == ["not decided"]
    assert closest(info["evaluations"][0]).startswith("accuracy: ")


def test_axes_are_the_metrics_with_values(info):
    assert available_axes(info) == ["latency_ms", "flash_bytes", "accuracy", "macs"]
    assert available_axes({"evaluations": []}) == []


def test_an_axis_takes_the_unit_of_its_largest_figure(info):
    assert axis_of(info, "latency_ms") == Axis("latency_ms", "latency", "ms", 1.0)
    assert axis_of(info, "flash_bytes") == Axis("flash_bytes", "flash", "KiB", 1024.0)
    assert axis_of(info, "macs") == Axis("macs", "multiply-accumulates", "k", 1000.0)
    assert suited_axis("latency_ms", 0.02) == Axis("latency_ms", "latency", "us", 1e-3)
    assert suited_axis("battery_d", 800) == Axis("battery_d", "battery life", "y", 365.25)
    assert suited_axis("unit_cost_usd", 3) == Axis("unit_cost_usd", "unit cost", "USD", 1.0)
    assert suited_axis("accuracy", 0.9).title == "accuracy"
    assert suited_axis("latency_ms", 4).title == "latency (ms)"


def test_figures_are_those_the_limit_is_held_against(evaluation):
    text = """
schema: 1
name: t
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
limits: {latency: {max: 50 ms, scope: pipeline}}
pipeline: {capture: 12 ms}
"""
    spec = parse_spec(text)
    info = front_info(spec, front(spec, [evaluation(8, 0.93, 1.0, measured=True)]))
    assert chart_rows(info, LATENCY, ACCURACY)[0]["x"] == 13.0


def test_limits_on_the_axes_become_lines(spec, info):
    flash = axis_of(info, "flash_bytes")
    assert limit_lines(spec, LATENCY, ACCURACY) == [
        {"axis": "x", "value": 10.0, "text": "latency p95 ≤ 10 ms", "soft": False},
        {"axis": "y", "value": 0.9, "text": "accuracy ≥ 0.9", "soft": False},
    ]
    assert limit_lines(spec, flash, axis_of(info, "macs")) == [
        {"axis": "x", "value": 100.0, "text": "flash of the model alone ≤ 100 KiB", "soft": False}
    ]


def test_a_limit_in_words():
    text = """
schema: 1
name: t
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
limits:
  latency: {max: 200 ms, stat: p99, scope: pipeline}
  peak_ram: {max: 320 KiB, reserved: 96 KiB}
  unit_cost: {max: 12 USD, soft: true}
"""
    assert [limit_text(limit) for limit in parse_spec(text).limits] == [
        "latency p99 of the pipeline ≤ 200 ms",
        "peak RAM incl. 96 KiB reserved ≤ 320 KiB",
        "unit cost ≤ 12 USD (soft)",
    ]


def test_bounds_to_choose_from_rise_and_hold_the_specs_own(spec):
    for limit in spec.limits:
        options = limit_options(limit)
        assert options == sorted(set(options))
        assert limit.bound in options
    latency, flash, accuracy = (limit_options(limit) for limit in spec.limits)
    assert (latency[0], latency[-1]) == (0.1, 1000.0)
    assert (flash[0], flash[-1]) == (1020.0, 10_200_000.0)
    assert (accuracy[0], accuracy[1], accuracy[-1]) == (0.0, 0.005, 1.0)


def test_an_odd_share_is_among_its_options(spec):
    limit = replace(spec.limit("accuracy"), bound=0.9123)
    assert 0.9123 in limit_options(limit)


def test_other_limits_give_another_front(spec, evaluation):
    rows = [evaluation(8, 0.93, 1.0, measured=True), evaluation(32, 0.99, 30.0, measured=True)]
    moved = relaxed_spec(spec, {"latency": 40.0})
    assert moved.limit("latency").bound == 40.0
    assert moved.limit("latency").stat == spec.limit("latency").stat
    assert moved.limit("accuracy") == spec.limit("accuracy")
    assert (len(front(spec, rows).members), len(front(moved, rows).members)) == (1, 2)
    assert relaxed_spec(spec, {}) == spec


@pytest.mark.parametrize("changes", [{"energy": 3.0}, {"latency": -1.0}, {"latency": float("nan")}])
def test_a_change_that_is_none_is_refused(spec, changes):
    with pytest.raises(SpecError):
        relaxed_spec(spec, changes)


def test_figures_in_words():
    assert figure_text(Estimate.exact(2048.0).to_dict(), "B") == "2 KiB (computed)"
    assert figure_text({"value": None, "reason": "no meter"}, "mJ") == "unknown: no meter"
    assert figure_text(None, "mJ") == "unknown: unknown"


@pytest.mark.parametrize(
    ("margin", "unit", "text"),
    [
        (None, "ms", "not known"),
        (0.0, "ms", "0 % to spare"),
        (-0.25, "ms", "25 % to spare"),
        (0.5, "B", "50 % beyond"),
        (0.02, "", "0.02 off"),
        (-0.03, "", "0.03 to spare"),
    ],
)
def test_margins_in_words(margin, unit, text):
    assert margin_text({"margin": margin, "unit": unit}) == text


def test_missed_limits_the_farthest_first(spec, evaluation):
    info = front_info(spec, front(spec, [evaluation(200, 0.8, 30.0, measured=True)]))
    assert missed(info["evaluations"][0]) == ["latency 200 % beyond", "flash 100 % beyond", "accuracy 0.1 off"]


def test_a_table_of_candidates(info):
    keys = [f"{row['id']}@{row['target']}" for row in info["evaluations"]]
    rows = candidate_rows(info, [keys[1], "gone@host:onnxruntime"])
    assert rows == [
        {
            "id": info["evaluations"][1]["id"],
            "target": "host:onnxruntime",
            "accuracy": "0.97 (0.95–0.99, measured, n=300)",
            "latency": report_text(Estimate(3.0, 1.5, 6.0, "predicted"), "ms"),
            "closest limit": "accuracy: 0.07 to spare",
            "training": "full",
            "candidate": "dscnn depth=2 growth=1 kernel=3 stem_stride=1 width=16 · fp32",
        }
    ]
    assert [row["limits missed"] for row in candidate_rows(info, margins=True)] == [
        "none known to be missed",
        "none known to be missed",
        "latency 415 % beyond",
    ]


def test_a_candidate_without_limits_is_close_to_none(info):
    assert closest({**info["evaluations"][0], "margins": []}) == "no limit to compare with"


def test_a_log_axis_where_figures_and_limits_lie_far_apart():
    assert wants_log([{"x": 1.0}, {"x": 11.0}], [])
    assert not wants_log([{"x": 1.0}, {"x": 10.0}], [])
    assert wants_log([{"x": 1.0}], [{"axis": "x", "value": 20.0}, {"axis": "y", "value": 1.0}])
    assert not wants_log([{"x": 0.0}, {"x": 11.0}], [])
    assert not wants_log([], [])
