"""The search itself: real data, real training, real processes, a few candidates."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from advisor_samples import DIGITS, candidate

from advisor import cli
from advisor.bundle import export_bundle
from advisor.evaluate import Request
from advisor.front import pick
from advisor.pipeline import resume, search
from advisor.progress import silent
from advisor.run import open_run
from advisor.search.workers import WorkerPool
from advisor.verify import check_sums, verify_bundle
from specs.errors import SpecError, VerificationError
from specs.spec import parse_spec


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished search of four candidates; too short on time for full trainings."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return search(parse_spec(DIGITS.replace("time: 60 s", "time: 12 s")), folder, silent)


@pytest.fixture(scope="module")
def bundle(finished, tmp_path_factory):
    return export_bundle(finished.run, pick(finished.front, "knee"), tmp_path_factory.mktemp("out") / "bundle")


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


def test_bundles_prove_themselves(bundle, finished):
    verified = verify_bundle(bundle)
    assert len(verified.checks) == 3
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["spec_id"] == finished.run.spec.id
    assert manifest["labels"] == [str(i) for i in range(10)]
    assert manifest["test"]["figure"]["n"] == 359
    assert manifest["figures"]["latency_ms"]["source"] == "measured"
    assert manifest["tools"]["onnxruntime"][0].isdigit()


def test_predict_py_needs_numpy_and_the_runtime_only(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    guard = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in 'advisor specs cost_models torch tensorflow sklearn PIL'.split():\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "sys.argv = ['predict.py', 'parity.npz']\n"
        "import predict\n"
        "sys.exit(predict.main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", guard], cwd=tmp_path / "b", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")[:32]
    assert all(line.split("\t")[0] in map(str, range(10)) for line in lines)


@pytest.mark.parametrize("offset", [0, 1, 40, -1])
def test_any_altered_byte_is_found(bundle, tmp_path, offset):
    for name in sorted(path.name for path in bundle.iterdir() if path.is_file()):
        copy = tmp_path / f"{name}{offset}"
        shutil.copytree(bundle, copy)
        data = bytearray((copy / name).read_bytes())
        data[max(offset, -len(data)) if offset < 0 else min(offset, len(data) - 1)] ^= 1
        (copy / name).write_bytes(bytes(data))
        with pytest.raises(VerificationError):
            check_sums(copy)


def test_exporting_touches_nothing_of_the_user(finished, tmp_path):
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    row = pick(finished.front, "knee")
    export_bundle(finished.run, row, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out", "out.part"]
    assert (tmp_path / "out.part" / "notes.txt").read_text() == "mine"
    for taken in (tmp_path / "out", tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SpecError):
            export_bundle(finished.run, row, taken)


def test_compiled_code_in_a_bundle_is_an_extra_file(bundle, tmp_path):
    copy = tmp_path / "b"
    shutil.copytree(bundle, copy)
    (copy / "__pycache__").mkdir()
    with pytest.raises(VerificationError, match="__pycache__"):
        verify_bundle(copy)


def test_a_bundle_cannot_choose_how_it_is_judged(bundle, tmp_path):
    from advisor.verify import write_sums

    changes = (
        ("labels", ["a"] * 10),
        ("model", {"layout": "X"}),
        ("model", {"quantization": "x"}),
        ("preprocessing", {"numbers": {"shape": [100_000, 100_000, 1]}}),
    )
    for number, (key, value) in enumerate(changes):
        copy = tmp_path / str(number)
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value
        (copy / "manifest.json").write_text(json.dumps(manifest))
        write_sums(copy)
        with pytest.raises(VerificationError):
            verify_bundle(copy)


def test_extra_missing_and_linked_files_are_found(bundle, tmp_path):
    for change in ("extra", "missing", "link"):
        copy = tmp_path / change
        shutil.copytree(bundle, copy)
        if change == "extra":
            (copy / "more.bin").write_bytes(b"x")
        else:
            (copy / "labels.txt").unlink()
        if change == "link":
            (copy / "labels.txt").symlink_to(bundle / "labels.txt")
        with pytest.raises(VerificationError):
            verify_bundle(copy)


def test_a_consistent_but_wrong_model_fails_on_its_outputs(bundle, finished, tmp_path):
    from advisor.model import sha256_file
    from advisor.verify import write_sums

    copy = tmp_path / "b"
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    others = [e for e in finished.run.evaluations() if e.artifact and e.artifact_sha256 != manifest["model"]["sha256"]]
    shutil.copyfile(finished.run.folder / others[0].artifact, copy / manifest["model"]["file"])
    manifest["model"]["sha256"] = sha256_file(copy / manifest["model"]["file"])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    write_sums(copy)
    with pytest.raises(VerificationError, match="parity vectors"):
        verify_bundle(copy)


def test_manifests_cannot_point_outside_or_lie_about_their_form(bundle, tmp_path):
    from advisor.verify import write_sums

    for number, change in enumerate(
        ({"model": {"file": "../../etc/passwd"}}, {"model": 3}, {"runtime": "nope"}, {"schema": 9})
    ):
        copy = tmp_path / str(number)
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / "manifest.json").read_text()) | change
        (copy / "manifest.json").write_text(json.dumps(manifest))
        write_sums(copy)
        with pytest.raises((VerificationError, SpecError)):
            verify_bundle(copy)


def test_verify_exits_6_on_an_altered_bundle(bundle, tmp_path, capsys):
    assert cli.main(["verify", str(bundle)]) == 0
    copy = tmp_path / "b"
    shutil.copytree(bundle, copy)
    (copy / "labels.txt").write_text("other\n")
    assert cli.main(["verify", str(copy), "--json"]) == 6
    said = capsys.readouterr()
    assert "file was altered; seen 'labels.txt'" in said.err
    assert cli.main(["verify", str(tmp_path)]) == 2


def test_an_artifact_changed_after_its_evaluation_is_not_exported(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.run.folder, folder)
    run = open_run(folder)
    row = pick(run.front(), "knee")
    (folder / row.evaluation.artifact).write_bytes(b"something else")
    with pytest.raises(VerificationError, match="changed since it was evaluated"):
        export_bundle(run, row, tmp_path / "out")
