"""Bundles: what they prove, and that nothing altered passes."""

import json
import shutil
import subprocess
import sys

import pytest

from advisor import cli
from advisor.bundle import export_bundle
from advisor.front import pick
from advisor.run import open_run
from advisor.verify import check_sums, verify_bundle
from specs.errors import SpecError, VerificationError


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


@pytest.mark.parametrize("damage", ["model.onnx", "manifest.json"])
def test_predict_py_of_a_damaged_bundle_says_so(bundle, tmp_path, damage):
    copy = tmp_path / "b"
    shutil.copytree(bundle, copy)
    whole = (copy / damage).read_bytes()
    (copy / damage).write_bytes(whole[: len(whole) // 2] if damage == "model.onnx" else b"{}")
    command = [sys.executable, "-B", "predict.py", "parity.npz"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("predict.py: cannot use this bundle: it is damaged (")
    assert done.stderr.count("\n") == 1


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
