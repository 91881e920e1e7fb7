from dataclasses import replace

import pytest

from advisor.dashboard import front_page
from advisor.dashboard.charts import front_chart
from advisor.dashboard.info import axis_of, chart_rows, limit_lines
from advisor.front import front, front_info
from advisor.ledger import Calibration, Ledger
from advisor.run import locked


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def slider(app, name):
    return next(widget for widget in app.select_slider if widget.key.endswith(f":{name}"))


def test_without_a_run_it_says_how_to_make_one(show, said, tmp_path):
    app = show("front_page")
    assert f"No run in {tmp_path} yet" in said(app)
    assert "advisor search" in said(app)


def test_a_finished_run_shows_counts_chart_and_members(finished, show, said):
    app = show("front_page")
    assert "Done: 2 of 4 candidates are on the front." in said(app)
    assert metrics(app) == {
        "evaluated": "4",
        "feasible": "3",
        "on the front": "2",
        "skipped untrained": "1",
        "failed": "1",
    }
    assert len(app.get("vega_lite_chart")) == 1
    table = app.dataframe[0].value
    assert list(table["id"]) == [row.evaluation.id for row in finished.front().members]
    assert "measured" in table["latency"][1]
    assert [expander.label for expander in app.expander] == ["Failed (1)", "Skipped before training (1)"]


def test_moving_a_limit_answers_from_the_ledger_and_writes_nothing(finished, show, said):
    before = (finished.folder / "ledger.db").read_bytes()
    app = show("front_page")
    slider(app, "latency").set_value(100.0).run()
    assert "With the limits moved: 4 feasible instead of 3. 1 were never trained" in said(app)
    assert "Moved: latency" in said(app)
    assert len(app.dataframe[0].value) == 3
    app.button[0].click().run()
    assert "With the limits moved" not in said(app)
    assert slider(app, "latency").value == 10.0
    assert (finished.folder / "ledger.db").read_bytes() == before


def test_a_limit_no_candidate_meets_shows_the_nearest(finished, show, said):
    app = show("front_page")
    slider(app, "accuracy").set_value(1.0).run()
    assert "0 feasible instead of 3" in said(app)
    assert "Nearest misses" in said(app)
    assert next(iter(app.dataframe[0].value["limits missed"])) == "accuracy 0.03 off"
    assert next(toggle for toggle in app.toggle if toggle.label == "Infeasible").value is True


def test_axes_can_be_chosen(finished, show):
    app = show("front_page")
    across, up = app.selectbox[1], app.selectbox[2]
    assert across.options == ["latency", "flash", "accuracy", "multiply-accumulates"]
    assert up.value == "accuracy"
    across.select("accuracy").run()
    assert not app.exception
    assert app.selectbox[2].value == "latency_ms"


def test_a_run_that_ended_without_a_feasible_candidate(new_run, evaluation, show, said):
    new_run([evaluation(8, 0.5), evaluation(16, 0.6)])
    app = show("front_page")
    assert "no candidate meets every hard limit" in said(app)
    assert "advisor feasibility" in said(app)
    assert list(app.dataframe[0].value["limits missed"]) == ["accuracy 0.3 off", "accuracy 0.4 off"]
    assert len(app.get("vega_lite_chart")) == 1  # infeasible ones are all there is


def test_a_running_search_is_followed(finished, evaluation, show, said):
    with locked(finished.folder):
        app = show("front_page")
        assert "Searching." in said(app)
        assert metrics(app)["evaluated"] == "4"
        ledger = Ledger.open(finished.folder / "ledger.db")
        ledger.add(evaluation(56, 0.95, 2.0))
        app.run()
        ledger.close()
        assert metrics(app)["evaluated"] == "5"
    app.run()
    assert "Done:" in said(app)


def test_a_search_that_has_just_begun(new_run, show, said):
    run = new_run([])
    with locked(run.folder):
        assert "No candidate has been trained yet." in said(show("front_page"))


def test_a_search_that_ends_while_the_page_refreshes_itself(finished, monkeypatch, show, said):
    states = iter(["running", "done", "done", "done"])
    monkeypatch.setattr("advisor.dashboard.common.state_of", lambda folder, content: next(states))
    assert "Done:" in said(show("front_page"))


def test_an_interrupted_run_says_how_to_go_on(new_run, evaluation, show, said):
    run = new_run([evaluation(8, tested=False)], ended=False)
    app = show("front_page")
    assert "Interrupted before its end." in said(app)
    assert f"advisor resume {run.folder}" in said(app)
    assert metrics(app)["evaluated"] == "1"


def test_an_interrupted_run_without_rows(new_run, show, said):
    new_run([], ended=False)
    text = said(show("front_page"))
    assert "Interrupted" in text
    assert "No candidate was trained." in text


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0 and then nothing", b"text"])
def test_a_damaged_ledger_is_said_with_what_to_do(finished, show, said, data):
    for extra in finished.folder.glob("ledger.db-*"):
        extra.unlink()
    (finished.folder / "ledger.db").write_bytes(data)
    text = said(show("front_page"))
    assert "This run cannot be read." in text
    assert "advisor search" in text


def test_one_damaged_run_does_not_hide_the_others(finished, new_run, show, said):
    broken = new_run([], "broken")
    (broken.folder / "ledger.db").write_bytes(b"")
    app = show("front_page", chosen_run="demo")
    assert "Done:" in said(app)
    app.selectbox[0].select("broken").run()
    assert "This run cannot be read." in said(app)
    assert not app.exception


@pytest.mark.parametrize("name", ["../demo", "/etc", "gone", "<script>alert(1)</script>", "![x](http://example.com/x)"])
def test_a_name_that_is_no_run_here_opens_nothing(finished, show, said, name):
    app = show("front_page", chosen_run=name)
    assert f"There is no run '{name}' in this folder" in said(app)
    assert app.selectbox[0].value == "demo"


def test_names_are_shown_as_written_not_as_markup(new_run, evaluation, show):
    new_run([evaluation(8)], "a*b_[c](http:x)")
    app = show("front_page")
    shown = next(caption.value for caption in app.caption if "runs" in caption.value)
    assert r"a\*b\_\[c\]\(http\:x\)" in shown


def test_a_spec_without_limits(new_run, evaluation, show, said):
    text = "schema: 1\nname: free\ntask: {kind: image-classification, data: digits}\ntargets: [host:onnxruntime]\n"
    new_run([evaluation(8), evaluation(16, 0.9)], "free", text)
    app = show("front_page")
    assert "everything is feasible" in said(app)
    assert not app.select_slider


def test_one_target_of_several(new_run, evaluation, show):
    text = """
schema: 1
name: two
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime, host:litert]
limits: {accuracy: {min: 0.9}}
"""
    new_run([evaluation(8), replace(evaluation(8, 0.91), target="host:litert")], "two", text)
    app = show("front_page")
    assert len(app.dataframe[0].value) == 2
    target = next(box for box in app.selectbox if box.label == "Target")
    assert target.options == [front_page.EVERY, "host:onnxruntime", "host:litert"]
    target.select("host:litert").run()
    assert list(app.dataframe[0].value["target"]) == ["host:litert"]


def test_a_selected_row_becomes_the_candidate_to_look_at(finished, show):
    chosen = finished.front().members[1].evaluation
    app = show("front_page", members_table={"selection": {"rows": [1], "columns": []}})
    assert app.session_state["chosen_candidate"] == f"{chosen.id}@{chosen.target}"


def test_the_chart_tells_measured_from_predicted_and_draws_the_limits(spec, evaluation):
    info = front_info(spec, front(spec, [evaluation(8, 0.93, 1.0, measured=True), evaluation(16, 0.97, 3.0)]))
    x, y = axis_of(info, "latency_ms"), axis_of(info, "accuracy")
    drawn = front_chart(chart_rows(info, x, y), limit_lines(spec, x, y), x, y, log=True).to_dict()
    points = drawn["layer"][2]
    assert points["encoding"]["shape"]["scale"] == {
        "domain": ["measured", "predicted"],
        "range": ["circle", "triangle-up"],
    }
    assert points["encoding"]["color"]["scale"]["domain"] == ["on the front"]
    assert points["encoding"]["x"]["title"] == "latency (ms)"
    assert points["encoding"]["x"]["scale"]["type"] == "log"
    data = [drawn["datasets"][layer["data"]["name"]] for layer in drawn["layer"][3:]]
    assert data[0] == [{"x": 10.0, "text": "latency p95 ≤ 10 ms"}]
    assert data[2] == [{"y": 0.9, "text": "accuracy ≥ 0.9"}]


def test_the_baseline_stands_beside_the_front(new_run, evaluation, show, said):
    given = replace(evaluation(8, 0.99, 0.5, measured=True), status="given")
    given = replace(given, candidate=replace(given.candidate, architecture="baseline"))
    new_run([given, evaluation(16, 0.97, 3.0)])
    app = show("front_page")
    assert "Baseline" in [header.value for header in app.subheader]
    table = app.dataframe[0].value
    assert list(table["id"]) == [given.id]
    assert "measured" in table["latency"][0]
    assert "better beyond noise than 1" in said(app)


def test_calibrations_are_listed_with_what_they_did(finished, evaluation, show, said):
    ledger = Ledger.open(finished.folder / "ledger.db")
    target = evaluation(8).target
    for before, after, count in ((0.3, 0.3, 1), (0.3, 0.8, 2), (0.3, 0.1, 3)):
        ledger.record_calibration(Calibration(target, count, before, after, count, (), {"CPU": "a CPU"}), {})
    ledger.close()
    app = show("front_page")
    table = app.dataframe[1].value
    assert list(table["calibration"]) == [1, 2, 3]
    assert "cannot be told from 1 measurement" in table["what it did"][0]
    assert "did not help yet" in table["what it did"][1]
    assert table["what it did"][2] == "prediction error 30.0 % → 10.0 % (median of 3)"
    assert table["measured with"][0] == "CPU a CPU"


def test_a_finished_run_tells_where_the_time_went(finished, show, said):
    assert "workers and device" not in said(show("front_page"))
    ledger = Ledger.open(finished.folder / "ledger.db")
    ledger.set_fact("spent_s", '{"cheap": 12.4, "trained": 60, "costs": 0.1}')
    ledger.close()
    assert "Time of workers and device: " in said(show("front_page"))
    assert "60 s" in said(show("front_page"))
    ledger = Ledger.open(finished.folder / "ledger.db")
    ledger.set_fact("spent_s", "{")
    ledger.close()
    assert "damaged fact in the ledger" in said(show("front_page"))


def test_without_baseline_or_calibration_nothing_is_said_of_them(finished, show):
    assert {header.value for header in show("front_page").subheader}.isdisjoint({"Baseline", "Calibrations"})
