import json
from dataclasses import replace

import pytest
from advisor_samples import DIGITS, evaluation
from hypothesis import given
from hypothesis import strategies as st

from advisor import cli
from advisor.changes import changed
from advisor.commands.common import print_json
from advisor.front import front, front_info, knee, non_dominated, pick
from advisor.ledger import Calibration
from advisor.report.calibration import learned_text
from advisor.report.front import front_text
from cost_models.estimate import Estimate
from specs.errors import SpecError
from specs.spec import parse_spec


def test_front_holds_the_feasible_non_dominated(run):
    found = run.front()
    assert found.verdict == "feasible"
    assert found.exit_status == 0
    assert [r.evaluation.metric("accuracy").value for r in found.members] == [0.95, 0.90]
    assert (found.skipped, found.failed, len(found.ranked)) == (1, 1, 4)


def test_a_limit_changes_the_front_without_new_evaluations(run):
    tighter = parse_spec(DIGITS.replace("max: 5 ms", "max: 1.5 ms"))
    assert [r.evaluation.metric("latency_ms").value for r in run.front(tighter).members] == [1.0]


def test_nothing_feasible_gives_the_least_violating_with_margins(run):
    hopeless = parse_spec(DIGITS.replace("max: 5 ms", "max: 0.5 ms"))
    found = run.front(hopeless)
    assert (found.verdict, found.exit_status) == ("none found", 4)
    assert [r.evaluation.metric("latency_ms").value for r in found.fallback] == [1.0, 2.0, 3.0, 9.0]
    assert found.fallback[0].violation == pytest.approx(1.0)
    text = front_text(hopeless, front_info(hopeless, found))
    assert "latency misses 500 us by 100 %" in text


def test_an_unknown_figure_under_a_hard_limit_is_not_feasible_and_says_why(run):
    limited = parse_spec(DIGITS.replace("limits:\n", "limits:\n  energy: {max: 1 mJ}\n"))
    found = run.front(limited)
    assert found.exit_status == 4
    assert found.fallback[0].feasible is None
    assert "energy unknown: no power states" in front_text(limited, front_info(limited, found))


def test_info_is_json_and_carries_every_margin(run):
    info = json.loads(json.dumps(front_info(run.spec, run.front()), allow_nan=False))
    assert info["schema"] == 1
    assert info["counts"] == {"evaluated": 4, "feasible": 3, "on_front": 2, "brief": 0, "skipped": 1, "failed": 1}
    row = info["evaluations"][0]
    assert {m["limit"] for m in row["margins"]} == {"latency", "flash", "accuracy"}
    assert row["metrics"]["energy_mj"] == {"value": None, "reason": "no power states"}


def test_picks(run):
    found = run.front()
    assert pick(found, "accuracy").evaluation.metric("accuracy").value == 0.95
    assert pick(found, "latency").evaluation.metric("latency_ms").value == 1.0
    infeasible = next(r for r in found.ranked if r.feasible is False)
    assert pick(found, infeasible.evaluation.id) is infeasible
    with pytest.raises(SpecError, match="knee, accuracy"):
        pick(found, "best")


def test_several_targets_have_a_front_each(spec):
    rows = [evaluation(8, 0.9, 1.0), evaluation(16, 0.8, 4.0, target="stm32h743:tflm")]
    assert {r.evaluation.target for r in front(spec, rows).members} == {"host:onnxruntime", "stm32h743:tflm"}


def test_knee_is_the_bend():
    assert knee([(0.0, 10.0), (1.0, 2.0), (10.0, 0.0)]) == 1


def test_knee_of_three_is_no_end_that_two_objectives_agree_on():
    accurate, small, between = (0.0, 9.0, 9.0), (13.0, 1.0, 1.0), (1.0, 4.5, 4.5)
    assert knee([accurate, small, between]) == 2


points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
def test_knee_gives_up_no_objective_while_it_need_not(rows):
    worst = [max(column) for column in zip(*rows, strict=True)]
    varied = [i for i in range(3) if worst[i] > min(row[i] for row in rows)]
    compromises = [row for row in rows if all(row[i] < worst[i] for i in varied)]
    assert not compromises or rows[knee(rows)] in compromises


@given(points)
def test_no_member_of_a_front_is_dominated_and_everything_else_is(rows):
    kept = non_dominated(rows)

    def beats(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    assert len({rows[i] for i in kept}) == len(kept)
    for i in kept:
        assert not any(beats(q, rows[i]) for q in rows)
    for i in set(range(len(rows))) - set(kept):
        assert any(beats(q, rows[i]) or (q == rows[i] and j < i) for j, q in enumerate(rows) if j != i)


def test_the_baseline_keeps_what_it_beats_off_the_front(spec):
    rows = [evaluation(8, 0.90, 1.0), evaluation(16, 0.95, 2.0), evaluation(24, 0.94, 3.0)]
    beaten = {rows[1].id}
    found = front(spec, rows, baseline=lambda e: e.id in beaten)
    assert [r.evaluation.id for r in found.members] == [rows[2].id, rows[0].id]
    assert next(r.note for r in found.ranked if r.evaluation.id == rows[1].id) == "the baseline is better beyond noise"
    assert "baseline is better" in front_text(spec, front_info(spec, found), every=True)


def test_where_the_baseline_beats_everything_nothing_is_recommended(spec):
    found = front(spec, [evaluation(8, 0.90, 1.0), evaluation(16, 0.95, 2.0)], baseline=lambda _: True)
    assert (found.verdict, found.exit_status, len(found.members), found.feasible) == ("none found", 4, 0, 2)
    assert [r.note for r in found.ranked] == ["the baseline is better beyond noise"] * 2


def test_a_long_front_lists_everything_on_request_only(spec, monkeypatch):
    monkeypatch.setattr("advisor.front.LISTED", 3)
    rows = [evaluation(8, 0.90, 1.0), evaluation(16, 0.95, 2.0), evaluation(24, 0.94, 3.0), evaluation(32, 0.2, 9.0)]
    info = front_info(spec, front(spec, rows))
    assert [row["on_front"] for row in info["evaluations"]] == [True, True]
    assert info["omitted"] == 2
    assert info["counts"]["evaluated"] == 4
    assert len(front_info(spec, front(spec, rows), every=True)["evaluations"]) == 4


def test_documents_are_read_of_what_is_shown_only(run, monkeypatch):
    columns = run.ledger.columns()
    read = []
    load = columns.load
    found = front(run.spec, replace(columns, load=lambda places: read.extend(places) or load(places)))
    assert len(read) == len(found.members) == 2
    assert [r.evaluation for r in found.ranked] == [e for e in run.evaluations() if e.status == "done"]


def test_what_calibrations_changed_is_shown(run, capsys):
    slower = evaluation(16)
    event = Calibration(slower.target, 6, 0.31, 0.06, 3)
    rescored = {slower.id: {"latency_ms": Estimate(8.0, 7.0, 9.0, "predicted", 6)}}
    made = run.ledger.record_calibration(event, rescored).id
    assert cli.main(["front", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert (
        f"calibration {made} of host:onnxruntime: 6 measurements, prediction error 31.0 % → 6.0 % (median of 3)" in said
    )
    assert f"1 gained, 1 lost on the front; gained {evaluation(24).id}; lost {slower.id} (misses latency)" in said
    assert f"{slower.id} p50 latency: 2 ms" in said
    assert cli.main(["front", str(run.folder), "--json", "--since", str(made)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibrations"][0]["error_after"] == 0.06
    assert document["changes"] == {"since": made, "gained": [], "lost": [], "moved": []}
    assert cli.main(["front", str(run.folder), "--since", "7"]) == 2
    assert "no such calibration" in capsys.readouterr().err


def test_the_front_of_one_target(run, capsys):
    run.ledger.add(evaluation(56, 0.999, 1.0, target="host:litert"))
    assert cli.main(["front", str(run.folder), "--target", "host:litert", "--json"]) == 0
    assert {row["target"] for row in json.loads(capsys.readouterr().out)["evaluations"]} == {"host:litert"}


def test_a_prediction_is_set_beside_the_median_that_was_measured(spec):
    """The spec limits the 95 % quantile; predictions are of the median."""
    limited = parse_spec(DIGITS.replace("latency: {max: 5 ms}", "latency: {max: 5 ms, stat: p95}"))
    row = evaluation(8)
    known = {**row.metrics, "latency_ms": Estimate(1.0, 0.5, 2.0, "predicted")}
    clocked = {**row.metrics, "latency_ms": Estimate(3.0, 2.9, 3.1, "measured", 99),
               "latency_p50_ms": Estimate(1.5, 1.4, 1.6, "measured", 99)}  # fmt: skip
    again = {**clocked, "latency_ms": Estimate(3.5, 3.4, 3.6, "measured", 99)}
    fronts = [front(limited, [replace(row, metrics=metrics)]) for metrics in (known, clocked, again)]
    (moved,) = changed(fronts[0], fronts[1]).moved
    assert (moved.metric, moved.statistic, moved.before.value, moved.after.value) == ("latency_ms", "p50", 1.0, 1.5)
    (moved,) = changed(fronts[1], fronts[2]).moved
    assert (moved.statistic, moved.before.value, moved.after.value) == ("p95", 3.0, 3.5)
    said = changed(fronts[0], fronts[1]).to_dict()["moved"][0]
    assert (said["statistic"], said["after"]["value"]) == ("p50", 1.5)


@pytest.mark.parametrize(
    ("before", "after", "count", "words"),
    [
        (0.484, 0.484, 1, "prediction error 48.4 % before; what it is now cannot be told from 1 measurement"),
        (0.484, None, 1, "prediction error 48.4 % before; what it is now cannot be told from 1 measurement"),
        (0.49, 0.88, 2, "prediction error 49.0 % → 88.0 % (median of 2): the correction did not help yet"),
        (0.49, 0.08, 3, "prediction error 49.0 % → 8.0 % (median of 3)"),
        (None, None, 0, "prediction error unknown: nothing that was predicted was measured"),
    ],
)
def test_a_calibration_says_plainly_whether_it_helped(before, after, count, words):
    made = Calibration("host:onnxruntime", count, before, after, count)
    assert learned_text(made.to_dict()) == words


def test_an_unknown_pick_lists_what_can_be_picked(spec, run):
    with pytest.raises(SpecError, match="no such candidate") as raised:
        pick(run.front(), "nosuch")
    assert f"allowed: knee, accuracy, latency, smallest, safest, {evaluation(16).id}" in str(raised.value)
    tight = replace(spec, limits=tuple(replace(limit, bound=limit.bound / 1e6) for limit in spec.limits[:1]))
    with pytest.raises(SpecError, match="no such candidate") as raised:
        pick(front(tight, run.evaluations()), "nosuch")
    assert "knee" not in str(raised.value)


def test_json_is_one_document_whatever_it_holds(capsys):
    for document in ({}, {"a": [], "b": [1, {"c": [2]}], "d": {"e": 'é\n"'}, "f": None}):
        print_json(document)
        assert json.loads(capsys.readouterr().out) == document
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"a": [float("nan")]})
