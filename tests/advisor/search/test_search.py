"""The search itself: real data, real training, real processes, a few candidates."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from advisor_samples import DIGITS, candidate

from advisor import cli
from advisor.evaluate import Request
from advisor.pipeline import resume, search
from advisor.progress import silent
from advisor.report.answers import answer_info
from advisor.report.front import front_text
from advisor.run import open_run
from advisor.search.workers import WorkerPool
from specs.errors import SpecError
from specs.spec import parse_spec


def test_a_search_ends_with_a_measured_and_tested_front(finished):
    assert finished.exit_status == 0
    assert len(finished.front.ranked) >= 2
    for row in finished.front.members:
        figures = row.evaluation.metrics
        assert figures["latency_ms"].source == "measured"
        assert figures["latency_ms"].n > 100
        assert figures["predicted_latency_ms"].source in ("assumed", "predicted")
        assert figures["accuracy"].n > 200
        assert row.evaluation.details["test_accuracy"]["n"] == 359
        assert figures["flash_bytes"].value == (finished.run.folder / row.evaluation.artifact).stat().st_size
        assert figures["energy_mj"].value is None
        assert figures["energy_mj"].reason


def test_where_no_measurement_is_asked_for_none_is_made(tmp_path):
    spec = parse_spec(
        DIGITS.replace("trials: 4", "trials: 2")
        .replace("measurements: 4", "measurements: 0")
        .replace("time: 60 s", "time: 8 s")
    )
    done = search(spec, tmp_path / "run", silent)
    assert done.run.ledger.measurements() == []
    assert {row.evaluation.metrics["latency_ms"].source for row in done.front.ranked} <= {"assumed", "predicted"}
    assert all(row.evaluation.details["test_accuracy"]["n"] == 359 for row in done.front.members)


def test_who_joins_the_front_by_the_last_measurements_is_measured_too(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("advisor.pipeline._NAMED", ("accuracy",))  # whoever joins four candidates' front has a name
    shutil.copytree(finished.run.folder, tmp_path / "run")
    run = open_run(tmp_path / "run")
    leader = max((row.evaluation for row in finished.front.members), key=lambda e: e.metric("accuracy").value)
    other = next(e for e in run.evaluations() if e.artifact and e.id != leader.id)
    # the leader was measured as too quick, so nobody looked at the other until the full protocol corrects that
    too_quick = replace(leader.metric("latency_ms"), value=1e-6, low=1e-6, high=1e-6)
    run.ledger.add(_without(leader, "full_protocol", latency_ms=too_quick))
    hidden = replace(leader.metric("accuracy"), value=leader.metric("accuracy").value - 1e-9)
    quick = replace(other.metric("latency_ms"), value=1e-5, low=1e-5, high=1e-5, source="predicted")
    run.ledger.add(_without(other, "measured", "full_protocol", accuracy=hidden, latency_ms=quick))
    assert other.id not in {row.evaluation.id for row in run.front().members}
    again = resume(run.folder, silent)
    joined = {row.evaluation.id: row.evaluation for row in again.front.members}
    assert all(e.metric("latency_ms").source == "measured" for e in joined.values())
    measured = next(e for e in again.run.evaluations() if e.id == other.id)
    assert measured.metric("latency_ms").source == "measured"


def _without(evaluation, *facts, **metrics):
    details = {name: fact for name, fact in evaluation.details.items() if name not in facts}
    return replace(evaluation, details=details, metrics={**evaluation.metrics, **metrics})


def test_a_finished_run_tells_where_its_time_went(finished):
    info = answer_info(finished.run, finished.front)
    assert {"trained", "artifact", "device"} <= set(info["spent_s"])
    assert all(seconds >= 0 for seconds in info["spent_s"].values())
    measuring = round(info["spent_s"]["device"])
    assert f"measuring {measuring} s" in front_text(finished.run.spec, info)


@pytest.mark.parametrize("name", ["spent_s", "left_out:host:onnxruntime"])
@pytest.mark.parametrize("text", ["{broken", "[]"])
def test_a_damaged_fact_is_one_line_with_status_2(finished, tmp_path, name, text, capsys):
    folder = shutil.copytree(finished.run.folder, tmp_path / "run")
    open_run(folder).ledger.set_fact(name, text)
    assert cli.main(["front", str(folder)]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert f"{name}: damaged fact in the ledger" in said


def test_resuming_a_finished_run_repeats_nothing(finished):
    before = finished.run.evaluations()
    again = resume(finished.run.folder, silent)
    assert [e.id for e in again.run.evaluations()] == [e.id for e in before]
    assert len(again.run.ledger.measurements()) == len(finished.run.ledger.measurements())


def test_killed_searches_continue_with_nothing_lost_and_nothing_twice(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(DIGITS.replace("trials: 4", "trials: 3"))
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "advisor.cli", "search", str(spec), "--run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if (folder / "ledger.db").exists() and open_run(folder, read_only=True).ledger.history():
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = [e for e in open_run(folder, read_only=True).ledger.history() if e.status == "done"]
    assert kept
    done = resume(folder, silent)
    history = done.run.ledger.history()
    assert [e.to_dict() for e in history if e.status == "done"][: len(kept)] == [e.to_dict() for e in kept]
    # a candidate is trained once: every later row of it is the same training, measured
    for first in kept:
        rows = [e for e in history if e.id == first.id and e.fidelity == first.fidelity and e.status == "done"]
        assert len({e.details["seconds"] for e in rows}) == 1
    assert len(done.front.ranked) == 3


def test_ctrl_c_is_status_130_and_names_the_way_on(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(DIGITS)
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "advisor.cli", "search", str(spec), "--run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (folder / "lock").exists():
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == f"advisor: interrupted; continue with `advisor resume {folder}`"


def test_a_crashing_or_killed_worker_costs_one_evaluation(spec, tmp_path):
    request = Request(candidate(), ("onnxruntime",), "full", tmp_path, 0, False)
    other = Request(candidate(16, "fp32"), ("onnxruntime",), "short", tmp_path, 0, False)
    killed = set()

    def kill(*_):
        # whoever trains the first request dies, also when it is tried again
        if pool.at_work(0) is request:
            killed.add(pool.pids[0])
            os.kill(pool.pids[0], signal.SIGKILL)

    with WorkerPool(spec.to_dict(), spec.folder.absolute(), 1) as pool:
        outcomes = {id(outcome.request): outcome for outcome in pool.run([request, other], kill)}
    assert len(killed) == 2
    assert "died twice, with signal 9" in outcomes[id(request)].error
    assert outcomes[id(other)].error == ""
    assert outcomes[id(other)].results[0].accuracy.value > 0.5


def test_a_candidate_that_cannot_be_built_is_a_failed_outcome(spec, tmp_path):
    from dataclasses import replace

    broken = replace(candidate(), architecture="timm:no_such_model", structure="timm:no_such_model")
    with WorkerPool(spec.to_dict(), spec.folder.absolute(), 1) as pool:
        (outcome,) = pool.run([Request(broken, ("onnxruntime",), "short", tmp_path, 0, False)])
    assert "timm has no such model" in outcome.error


def test_a_script_without_a_main_guard_can_search(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from advisor.search.workers import WorkerPool\n"
        f"from specs.spec import parse_spec\nspec = parse_spec({DIGITS!r})\n"
        "print('once')\n"
        "with WorkerPool(spec.to_dict(), Path('.').absolute(), 1) as pool: assert pool.pids\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "once\n")


def test_requests_not_begun_when_time_is_up_have_no_outcome(spec, tmp_path):
    requests = [Request(candidate(w), ("onnxruntime",), "short", tmp_path, 0, False) for w in (8, 16)]
    with WorkerPool(spec.to_dict(), spec.folder.absolute(), 1) as pool:
        assert list(pool.run(requests, stop=lambda: True)) == []


def test_changed_data_is_not_silently_mixed(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.run.folder, folder)
    open_run(folder).ledger.set_fact("data_fingerprint", "other")
    with pytest.raises(SpecError, match="data changed"):
        resume(folder, silent)
