import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from advisor_samples import evaluation

from advisor.ledger import Calibration, Ledger, LedgerError
from advisor.rows import SCHEMA
from advisor.run import RunBusyError, create_run, locked, open_run
from cost_models.estimate import Estimate
from specs.errors import SpecError


def test_rows_come_back_equal(run):
    again = open_run(run.folder, read_only=True)
    assert again.spec == run.spec
    assert again.evaluations() == run.evaluations()
    assert again.ledger.facts()["spec_id"] == run.spec.id


def test_higher_fidelity_wins_whatever_came_last(run):
    run.ledger.add(evaluation(8, 0.97, fidelity="full"))
    run.ledger.add(evaluation(8, 0.50, fidelity="short"))
    mine = [e for e in run.evaluations() if e.id == evaluation(8).id]
    assert [e.metric("accuracy").value for e in mine] == [0.97]
    assert len([e for e in run.ledger.history() if e.id == evaluation(8).id]) == 3


def test_a_failed_full_training_does_not_lose_the_short_one(run):
    run.ledger.add(evaluation(16, status="failed", fidelity="full", reason="diverged"))
    assert next(e for e in run.evaluations() if e.id == evaluation(16).id).status == "done"


def test_measurements_and_trials_round_trip(run):
    run.ledger.add_measurement("abc", "host:onnxruntime", {"wall_ms": [1.0, 2.0]})
    assert run.ledger.measurements("abc") == [("abc", "host:onnxruntime", {"wall_ms": [1.0, 2.0]})]
    row = {"target": "t", "number": 3, "params": {"a": 1}, "data": {"values": [0.5], "constraints": {}}}
    run.ledger.add_trials([row])
    assert run.ledger.trials("t") == [{"number": 3, "params": {"a": 1}, "data": row["data"]}]


def test_readers_do_not_block_the_writer(run):
    reader = open_run(run.folder, read_only=True)
    before = len(reader.evaluations())
    run.ledger.add(evaluation(56))
    assert len(reader.evaluations()) == before + 1


@pytest.mark.parametrize("damage", [b"", b"garbage" * 100, None])
def test_damaged_ledgers_give_one_line(run, damage):
    path = run.folder / "ledger.db"
    run.ledger.close()
    for extra in run.folder.glob("ledger.db-*"):
        extra.unlink()
    path.write_bytes(path.read_bytes()[:5000] if damage is None else damage)
    with pytest.raises((SpecError, LedgerError)) as caught:
        open_run(run.folder).evaluations()
    assert "ledger" in str(caught.value)


def test_a_foreign_database_is_refused(tmp_path):
    sqlite3.connect(tmp_path / "ledger.db").execute("create table x (y)")
    with pytest.raises((SpecError, LedgerError), match="ledger"):
        open_run(tmp_path)


def test_a_damaged_row_is_named(run):
    with sqlite3.connect(run.folder / "ledger.db") as connection:
        connection.execute("update evaluations set data = '{\"candidate\": 3}' where row = 1")
    with pytest.raises(SpecError, match="damaged row"):
        run.evaluations()


def test_damaged_trials_and_measurements_are_one_line(run):
    run.ledger.add_measurement("a", "t", {})
    run.ledger.add_trials([{"target": "t", "number": 0, "params": {}, "data": {}}])
    with sqlite3.connect(run.folder / "ledger.db") as connection:
        connection.execute("update measurements set data = 'x'")
        connection.execute("update trials set params = '{'")
    for read in (run.ledger.measurements, lambda: run.ledger.trials("t")):
        with pytest.raises(SpecError, match="damaged row"):
            read()


def test_no_run_and_taken_directories(tmp_path, spec, monkeypatch):
    with pytest.raises(SpecError, match="no run here"):
        Ledger.open(tmp_path / "ledger.db")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    with pytest.raises(SpecError, match="not empty"):
        create_run(spec, tmp_path / "taken", {})
    monkeypatch.chdir(tmp_path)
    assert [str(create_run(spec, None, {}).folder) for _ in range(2)] == ["runs/small", "runs/small-2"]


def test_one_coordinator_at_a_time(run):
    code = (
        "import sys; from pathlib import Path; from advisor.run import locked\n"
        f"with locked(Path({str(run.folder)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline().strip() == "held"
        with pytest.raises(RunBusyError, match=f"process {other.pid}"), locked(run.folder):
            pass
        other.kill()
    with locked(run.folder):
        pass  # the lock died with its holder


def latency(value):
    return {"latency_ms": Estimate(value, value / 1.1, value * 1.1, "predicted", 24)}


def calibrated(run, *factors):
    """One calibration a factor, each moving every latency by it; their ids."""
    made = []
    for factor in factors:
        rows = [e for e in run.evaluations() if e.status == "done"]
        rescored = {e.id: latency(e.metric("latency_ms").value * factor) for e in rows}
        event = Calibration("host:onnxruntime", 8, 0.2, 0.05, 5, (rows[0].id,), {"model": "1"})
        made.append(run.ledger.record_calibration(event, rescored).id)
    return made


def of(evaluations, width):
    return next(e for e in evaluations if e.id == evaluation(width).id)


def test_a_calibration_is_recorded_with_its_errors(run):
    first, second = calibrated(run, 1.1, 0.9)
    found = open_run(run.folder, read_only=True).ledger.calibrations()
    assert [c.id for c in found] == [first, second]
    assert (found[0].target, found[0].measurements) == ("host:onnxruntime", 8)
    assert (found[0].error_before, found[0].error_after, found[0].compared) == (0.2, 0.05, 5)
    assert (found[0].measured, found[0].versions) == ((evaluation(8).id,), {"model": "1"})
    assert 0 < found[0].time <= found[1].time


def test_rescored_metrics_are_the_latest_and_earlier_ones_stay_readable(run):
    before = run.evaluations()
    first, _ = calibrated(run, 2.0, 0.5)
    assert of(run.evaluations(), 8).metric("latency_ms").value == pytest.approx(1.0)
    assert of(run.evaluations(), 8).metric("latency_ms").source == "predicted"
    assert of(run.ledger.evaluations(at=first), 8).metric("latency_ms").value == pytest.approx(2.0)
    assert run.ledger.evaluations(at=0) == before
    assert run.ledger.history() == before
    # what the calibration did not name stays as it was
    assert of(run.evaluations(), 8).metric("accuracy") == of(before, 8).metric("accuracy")


def test_columns_hold_the_rescored_figures_too(run):
    calibrated(run, 3.0)
    columns = run.ledger.columns()
    place = columns.place[evaluation(8).id, "host:onnxruntime"]
    assert columns.metric("latency_ms").value[place] == pytest.approx(3.0)
    assert columns.metric("accuracy").value[place] == 0.9
    assert run.front().feasible == 1  # latency.max is 5 ms: 6, 9 and 27 ms are beyond it


def test_a_row_evaluated_after_a_calibration_is_not_rescored_by_it(run):
    (first,) = calibrated(run, 2.0)
    run.ledger.add(evaluation(8, 0.97, 1.25, fidelity="full"))
    assert of(run.evaluations(), 8).metric("latency_ms").value == 1.25
    run.ledger.add(evaluation(16, status="failed", fidelity="full", reason="diverged"))
    assert of(run.evaluations(), 16).metric("latency_ms").value == pytest.approx(4.0)
    assert of(run.ledger.evaluations(at=first), 16).metric("latency_ms").value == pytest.approx(4.0)


def test_unknown_calibrations_and_candidates_are_refused(run):
    with pytest.raises(SpecError, match=r"no such calibration.*allowed: 0"):
        run.ledger.evaluations(at=3)
    event = Calibration("host:onnxruntime", 1, None, None)
    for rescored, words in (
        ({"unknown": latency(1.0)}, "before it was evaluated"),
        ({evaluation(8).id: {"accuracy": Estimate.exact(1.0)}}, "no calibration changes accuracy"),
    ):
        with pytest.raises(ValueError, match=words):
            run.ledger.record_calibration(event, rescored)
    assert run.ledger.calibrations() == []  # together or not at all


def test_what_a_calibration_changed_is_seen_though_rows_were_added_since(run):
    calibrated(run, 2.0)
    again = of(run.evaluations(), 8)
    measured = {**again.metrics, "latency_ms": Estimate(1.9, 1.8, 2.0, "measured", 90),
                "latency_p50_ms": Estimate(1.9, 1.8, 2.0, "measured", 90)}  # fmt: skip
    run.ledger.add(replace(again, metrics=measured, details={"measured": "here"}))
    for at, value, source in ((0, 1.0, "measured"), (1, 2.0, "predicted"), (None, 1.9, "measured")):
        row, columns = of(run.ledger.evaluations(at=at), 8), run.ledger.columns(at=at)
        assert row.metric("latency_ms").value == pytest.approx(value)
        assert row.metric("latency_ms").source == source
        assert columns.metric("latency_ms").value[columns.place[row.id, row.target]] == pytest.approx(value)
        assert row.details == {"measured": "here"}
    assert "latency_p50_ms" not in of(run.ledger.evaluations(at=0), 8).metrics


def as_version_1(run):
    """The same run as the version before calibrations wrote it."""
    run.ledger.close()
    with sqlite3.connect(run.folder / "ledger.db") as connection:
        for table in ("figures", "calibrations", "rescored"):
            connection.execute(f"drop table {table}")
        connection.execute("delete from run where key = 'figures'")
        connection.execute("update run set value = '1' where key = 'schema'")
    connection.close()


def test_a_ledger_of_the_first_version_is_read_as_it_is(run):
    before, front = run.evaluations(), run.front().members
    as_version_1(run)
    data = (run.folder / "ledger.db").read_bytes()
    again = open_run(run.folder, read_only=True)
    assert again.evaluations() == before
    assert again.front().members == front
    assert again.ledger.calibrations() == []
    assert (run.folder / "ledger.db").read_bytes() == data


def test_a_ledger_of_the_first_version_is_upgraded_when_continued(run):
    before = run.evaluations()
    as_version_1(run)
    again = open_run(run.folder)
    assert again.evaluations() == before
    again.ledger.add(evaluation(56))
    calibrated(again, 2.0)
    assert len(open_run(run.folder, read_only=True).evaluations()) == len(before) + 1
    assert again.ledger.facts()["schema"] == str(SCHEMA)


def test_figures_packed_by_another_version_are_derived_anew(run):
    calibrated(run, 2.0)
    front = run.front().members
    run.ledger.close()
    with sqlite3.connect(run.folder / "ledger.db") as connection:
        connection.execute("update run set value = 'other,metrics' where key = 'figures'")
        connection.execute("update figures set packed = x'00'")
        connection.execute("update rescored set packed = x'00'")
    connection.close()
    assert open_run(run.folder, read_only=True).front().members == front
    assert open_run(run.folder).front().members == front
    assert open_run(run.folder, read_only=True).front().members == front


def test_a_newer_ledger_is_refused_with_what_to_do(run):
    run.ledger.set_fact("schema", "99")
    with pytest.raises(SpecError, match="another version; seen '99'; allowed: 2; next: use the newer"):
        open_run(run.folder)


def test_several_rows_are_stored_together_or_not_at_all(run):
    before = len(run.ledger.history())
    damaged = evaluation(56)
    damaged = replace(damaged, details={"not": object()})
    with pytest.raises(TypeError):
        run.ledger.add_all([evaluation(64), damaged])
    assert len(run.ledger.history()) == before
    run.ledger.add_all([evaluation(64 + i) for i in range(8)])
    assert len(run.ledger.history()) == before + 8
    assert len(run.ledger.columns()) == before + 8


def test_damaged_figures_are_one_line(run):
    with sqlite3.connect(run.folder / "ledger.db") as connection:
        connection.execute("update figures set packed = x'0011' where row = 1")
    with pytest.raises(SpecError, match="damaged row"):
        run.front()


def test_figures_read_in_several_parts_are_those_read_at_once(run, monkeypatch):
    whole = run.ledger.columns()
    monkeypatch.setattr("advisor.stock.AT_ONCE", 2)
    parts = Ledger.open(run.folder / "ledger.db", read_only=True).columns()
    assert (parts.ids, parts.statuses) == (whole.ids, whole.statuses)
    for name in ("latency_ms", "accuracy"):
        assert parts.metric(name).value.tolist()[:4] == whole.metric(name).value.tolist()[:4]
