import os
import sqlite3
from pathlib import Path

import pytest

from advisor.dashboard.state import (
    artifact_path,
    is_finished,
    is_running,
    read,
    run_folders,
    stamp,
    state_of,
)
from advisor.run import create_run, locked
from specs.errors import SpecError


def test_runs_are_found_in_the_runs_folder_latest_first(new_run, evaluation, tmp_path):
    new_run([evaluation(8)], "old")
    new_run([evaluation(8)], "new")
    for name, time in (("old", 1_000_000), ("new", 2_000_000)):
        for file in (tmp_path / "runs" / name).glob("ledger.db*"):
            os.utime(file, (time, time))
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "file").write_text("not a run")
    assert list(run_folders(tmp_path)) == ["new", "old"]
    assert list(run_folders(tmp_path / "runs")) == ["new", "old"]
    assert run_folders(tmp_path / "runs" / "new") == {"new": tmp_path / "runs" / "new"}


def test_a_folder_without_runs_or_that_does_not_exist_has_none(tmp_path):
    assert run_folders(tmp_path) == {}
    assert run_folders(tmp_path / "nowhere") == {}


def test_links_that_lead_out_of_the_folder_are_no_runs(new_run, evaluation, tmp_path):
    new_run([evaluation(8)], "mine")
    (tmp_path / "elsewhere" / "runs").mkdir(parents=True)
    (tmp_path / "elsewhere" / "runs" / "stolen").symlink_to(tmp_path / "runs" / "mine")
    assert run_folders(tmp_path / "elsewhere") == {}


def test_a_finished_run_is_read_and_done(finished):
    content = read(finished.folder)
    assert content.problem == ""
    assert content.spec == finished.spec
    assert len(content.evaluations) == 6
    assert content.front.verdict == "feasible"
    assert is_finished(content)
    assert state_of(finished.folder, content) == "done"


@pytest.mark.parametrize("name", ["a b", "ha#sh", "qu?est", "per%41cent", "ü;&=:"])
def test_a_folder_of_any_name_is_read_and_no_other_file_is_made(spec, evaluation, tmp_path, name):
    run = create_run(spec, tmp_path / name / "runs" / "demo", {})
    run.ledger.add(evaluation(8))
    run.ledger.close()
    assert read(run.folder).problem == ""
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_reading_writes_nothing(finished):
    before = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    read(finished.folder)
    assert {path: path.read_bytes() for path in before} == before


def test_the_stamp_changes_with_the_ledger(finished, evaluation):
    from advisor.ledger import Ledger

    before = stamp(finished.folder)
    assert stamp(finished.folder) == before
    ledger = Ledger.open(finished.folder / "ledger.db")
    ledger.add(evaluation(56))
    assert stamp(finished.folder) != before
    ledger.close()


def test_the_lock_tells_a_running_search(finished):
    content = read(finished.folder)
    with locked(finished.folder):
        assert is_running(finished.folder)
        assert state_of(finished.folder, content) == "running"
    assert not is_running(finished.folder)


@pytest.mark.parametrize("text", ["", "none", "99999999999", "-1", "²"])
def test_a_lock_that_names_no_process_is_no_search(finished, text):
    (finished.folder / "lock").write_text(text)
    assert not is_running(finished.folder)


def test_looking_at_a_running_search_does_not_disturb_it(finished):
    with locked(finished.folder):
        is_running(finished.folder)
    with locked(finished.folder):
        pass


def test_a_run_that_did_not_say_it_finished_was_interrupted(new_run, evaluation):
    run = new_run([evaluation(8)], ended=False)
    assert state_of(run.folder, read(run.folder)) == "interrupted"


def test_a_run_without_any_row_was_interrupted(new_run):
    run = new_run([], ended=False)
    assert state_of(run.folder, read(run.folder)) == "interrupted"


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("create table songs (title text)")
    connection.commit()
    connection.close()


def _text(path: Path) -> None:
    path.write_text("this is no database, it only has the name of one" * 100)


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [_truncate, _empty, _foreign, _text, _gone])
def test_a_damaged_ledger_is_a_state_not_an_exception(finished, damage):
    for extra in finished.folder.glob("ledger.db-*"):
        extra.unlink()
    damage(finished.folder / "ledger.db")
    content = read(finished.folder)
    assert "ledger.db" in content.problem or "no run here" in content.problem
    assert "\n" not in content.problem
    assert state_of(finished.folder, content) == "damaged"
    assert finished.folder.name in run_folders(finished.folder.parent)


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        "null",
        "{}",
        "not json",
        '{"candidate": 1}',
        '{"metrics": [], "candidate": {"architecture": "x", "params": {}, "shape": [], "pruning": [], '
        '"quantization": "fp32", "structure": ""}, "target": "t", "fidelity": "full", "status": "done", '
        '"reason": "", "trial": null, "artifact": "", "artifact_sha256": "", "details": {}}',
    ],
)
def test_a_row_that_is_no_evaluation_is_damage(finished, data):
    connection = sqlite3.connect(finished.folder / "ledger.db")
    connection.execute("update evaluations set data = ? where row = 1", (data,))
    connection.commit()
    connection.close()
    assert "ledger.db" in read(finished.folder).problem


def test_a_figure_that_is_no_number_is_damage(finished):
    connection = sqlite3.connect(finished.folder / "ledger.db")
    connection.execute("""update evaluations set data = replace(data, '"value":1.0', '"value":"fast"') where row = 1""")
    connection.commit()
    connection.close()
    assert "damaged ledger" in read(finished.folder).problem


def test_the_artifact_of_an_evaluation(finished, evaluation):
    assert artifact_path(finished.folder, finished_row(finished, 0)).name == "model.onnx"
    with pytest.raises(SpecError, match="the model file is gone"):
        artifact_path(finished.folder, finished_row(finished, 1))
    with pytest.raises(SpecError, match="has no model file"):
        artifact_path(finished.folder, finished_row(finished, 2))


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "a\0b", "artifacts/../../secret"])
def test_an_artifact_outside_the_run_is_refused(finished, evaluation, path):
    with pytest.raises(SpecError, match="not inside the run"):
        artifact_path(finished.folder, evaluation(8, artifact=path))


def finished_row(run, index):
    return read(run.folder).evaluations[index]
