import json

import pytest

from advisor import cli, profile
from advisor.calibrate import run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(profile.HOME, str(tmp_path / "profile"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["host:onnx"], 2, "unknown runtime"),
        (["stm32h743:tflm"], 2, "no device is attached"),
        (["host:tflm"], 2, "no measurement set"),
        (["host:litert", "--networks", "3"], 2, "8 to 60"),
        (["host:litert", "--networks", "61"], 2, "8 to 60"),
        (["host:litert", "--minutes", "nan"], 2, "unusable time"),
    ],
)
def test_wrong_requests_are_one_line(arguments, status, words, capsys):
    assert cli.main(["calibrate", *arguments]) == status
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert words in said


def test_an_interruption_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "collect", interrupted)
    assert cli.main(["calibrate", "host:litert"]) == 130
    assert "advisor calibrate host:litert" in capsys.readouterr().err


def test_a_calibration_reports_its_error_as_text_and_json(monkeypatch, capsys):
    from advisor.calibrate.design import macs
    from advisor.measure.many import Timing

    def collected(_, items, file, *rest):
        for item in items:
            us = 3 + len(item.graph.ops) + macs(item.graph) / 1e4
            file.append(Timing(item.id, us / 100, 0.0, us * 1e3, 1e5, file.version), 0)
        return True

    monkeypatch.setattr(run, "collect", collected)
    assert cli.main(["calibrate", "host:litert", "--networks", "12", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["target"], document["complete"]) == (1, "host:litert", True)
    assert document["precisions"]["int8"]["networks"] == 12
    assert document["precisions"]["fp32"]["median_error"] >= 0
    assert cli.main(["calibrate", "host:litert", "--networks", "12", "--fresh"]) == 0
    assert "kept out" in capsys.readouterr().out
