import json
import subprocess
import sys

import pytest
from advisor_samples import DIGITS

from advisor import cli
from specs.template import template


def test_init_writes_a_spec_that_feasibility_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "mine.yaml", "--target", "stm32h743:tflm", "--data", "digits"]) == 0
    assert cli.main(["feasibility", "mine.yaml"]) == 0
    assert "stm32h743:tflm" in capsys.readouterr().out
    assert cli.main(["init", "mine.yaml"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == template(
        "mine", "image-classification", "digits", ["stm32h743:tflm"]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("max: 5 ms", "max: 5"), ("spec.yaml: limits.latency.max", "needs a unit")),
        (("max: 5 ms", "max: -5 ms"), ("limits.latency.max", "negative")),
        (("latency:", "latencyy:"), ("limits.latencyy", "did you mean 'latency'?")),
        (("host:onnxruntime", "host:onnx"), ("targets[0]", "unknown runtime", "onnxruntime")),
        (("host:onnxruntime", "stm32h74:tflm"), ("unknown chip", "stm32h74")),
        (("min: 0.5", "min: 1.5"), ("limits.accuracy.min", "0 to 1")),
        (("data: digits", "data: nowhere.npz"), ("nowhere.npz", "no such data set")),
    ],
)
def test_a_wrong_spec_is_one_line_with_its_place_before_any_work(change, words, tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(DIGITS.replace(*change))
    assert cli.main(["search", str(path), "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    for word in words:
        assert word in said
    assert not (tmp_path / "run").exists()


def test_a_proven_infeasible_spec_is_not_searched(tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(DIGITS.replace("max: 100 KiB, counts: model", "max: 100 B, counts: model"))
    assert cli.main(["search", str(path), "--run", str(tmp_path / "run")]) == 3
    assert "PROVEN INFEASIBLE" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_nothing_found_is_status_4_with_the_nearest(run, capsys, tmp_path):
    folder = run.folder
    run.ledger.set_fact("spec", DIGITS.replace("max: 5 ms", "max: 0.9 ms"))
    assert cli.main(["front", str(folder)]) == 4
    said = capsys.readouterr().out
    assert "nothing meets every hard limit" in said
    assert "latency misses 900 us by 11 %" in said


def test_front_prints_a_table_and_one_json_document(run, capsys):
    assert cli.main(["front", str(run.folder)]) == 0
    text = capsys.readouterr().out
    assert (
        "feasible · 4 candidates evaluated, 3 feasible, 2 on the front; 0 not taken beyond a brief training, 1 skipped"
        in text
    )
    assert cli.main(["front", str(run.folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert {"id", "candidate", "metrics", "margins", "feasible", "fidelity", "on_front"} <= set(
        document["evaluations"][0]
    )


def test_targets_lists_and_shows(capsys):
    assert cli.main(["targets"]) == 0
    assert "raspberry-pi-4" in capsys.readouterr().out
    assert cli.main(["targets", "--json", "--runtime", "tflm"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {t["target"].partition(":")[2] for t in document["targets"]} == {"tflm"}
    assert cli.main(["targets", "show", "stm32h743:tflm"]) == 0
    shown = capsys.readouterr().out
    for part in ("memories", "compute", "power states", "price", "latency figures", "DS12110"):
        assert part in shown
    assert cli.main(["targets", "show", "nonsense"]) == 2
    assert cli.main(["targets", "show"]) == 2


def test_a_report_never_overwrites_its_spec(tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(DIGITS)
    assert cli.main(["feasibility", str(path), "--html", str(path)]) == 2
    assert "overwrite the spec" in capsys.readouterr().err
    assert path.read_text() == DIGITS


def test_reasons_of_failures_are_shown(run, capsys):
    assert cli.main(["front", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert "failed (1×): diverged" in said
    assert f"not finished: continue with `advisor resume {run.folder}`" in said


def test_unknown_backbones_are_refused_before_any_work(tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(DIGITS.replace("[dscnn]", '["timm:resnet_18"]'))
    assert cli.main(["search", str(path), "--run", str(tmp_path / "run")]) == 2
    assert "timm has no such model; seen 'resnet_18'; next: did you mean" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_class_is_no_task(tmp_path, capsys):
    from PIL import Image

    (tmp_path / "pictures" / "only").mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (16, 16), (i * 40, 0, 0)).save(tmp_path / "pictures" / "only" / f"{i}.png")
    path = tmp_path / "spec.yaml"
    path.write_text(DIGITS.replace("data: digits", "data: pictures"))
    assert cli.main(["feasibility", str(path)]) == 2
    assert "fewer than two classes" in capsys.readouterr().err


def test_paths_that_cannot_be_reached_are_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert cli.main(["front", str(tmp_path / "file" / "below")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_no_run_is_one_line_with_the_next_command(tmp_path, capsys):
    for verb in ("front", "resume", "export"):
        assert cli.main([verb, str(tmp_path)]) == 2
        said = capsys.readouterr().err.strip()
        assert "no run here" in said
        assert "advisor search SPEC" in said
        assert len(said.splitlines()) == 1


def test_our_own_faults_are_one_line_and_status_1(monkeypatch, capsys):
    monkeypatch.setattr("specs.catalog.targets", lambda: 1 / 0)
    assert cli.main(["targets"]) == 1
    said = capsys.readouterr().err
    assert said == "advisor: unexpected fault: ZeroDivisionError: division by zero; see --debug\n"
    assert cli.main(["targets", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m advisor.cli targets --json | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0
