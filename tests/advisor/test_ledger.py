import sqlite3
import subprocess
import sys

import pytest
from advisor_samples import evaluation

from advisor.ledger import Ledger, LedgerError
from advisor.run import RunBusyError, create_run, locked, open_run
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
