import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor import profile
from cost_models.calibrate import Calibration, Part
from cost_models.measurement import Fingerprint
from specs.errors import SpecError

HERE = Fingerprint("host", "CPU X", 2, 1e9, "none", "Linux", {"onnxruntime": "1.31.1"})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(profile.HOME, str(tmp_path / "home"))
    return tmp_path / "home"


def calibration(target="host:onnxruntime"):
    part = Part("direct", None, np.array([1.0, 0.0]), np.zeros(3), 0.1, 20, 0, 0.05, 0.1, 0.01, 9.0)
    return Calibration(target, {"fp32": part}, profile.conditions(HERE), "ab")


def test_what_is_saved_is_loaded_by_target():
    path = profile.save_calibration(calibration())
    profile.save_calibration(calibration("host:litert"))
    assert set(profile.load_calibrations()) == {"host:onnxruntime", "host:litert"}
    assert profile.load_calibration("host:onnxruntime").parts["fp32"].networks == 20
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".part"] == []
    assert profile.load_calibration("stm32h743:tflm") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 7, "target": "x"}', "NaN", "\0\1"]
)
def test_a_damaged_file_is_one_warning_and_not_there(text, home):
    path = profile.save_calibration(calibration())
    path.write_text(text)
    with pytest.warns(UserWarning, match="not a usable calibration") as caught:
        assert profile.load_calibrations() == {}
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def test_infinite_figures_and_monsters_are_refused(home):
    path = profile.save_calibration(calibration())
    data = json.loads(path.read_text())
    data["parts"]["fp32"]["rates"] = [1e999, 0]
    path.write_text(json.dumps(data))
    with pytest.warns(UserWarning, match="no number"):
        assert profile.load_calibration("host:onnxruntime") is None
    with path.open("wb") as file:
        file.truncate(profile.MAX_FILE_BYTES + 1)
    with pytest.warns(UserWarning, match="larger than"):
        assert profile.load_calibration("host:onnxruntime") is None


def test_a_calibration_of_other_conditions_is_not_used_silently():
    assert profile.usable(calibration(), HERE) is None
    newer = replace(HERE, versions={"onnxruntime": "1.32"})
    assert "onnxruntime 1.31.1, now 1.32" in profile.usable(calibration(), newer)
    assert "advisor calibrate host:onnxruntime" in profile.usable(calibration(), replace(HERE, cpu="CPU Y"))


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(profile.HOME)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert profile.home() == tmp_path / "edge-advisor"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert profile.home() == Path.home() / ".local" / "share" / "edge-advisor"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(profile.HOME, str(tmp_path / "file"))
    with pytest.raises(SpecError, match=profile.HOME):
        profile.save_calibration(calibration())
    assert profile.load_calibrations() == {}
