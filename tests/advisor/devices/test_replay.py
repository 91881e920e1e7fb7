import json

import pytest

from advisor.devices.address import open_device
from advisor.devices.local import LocalDevice
from advisor.devices.replay import ReplayDevice, recorded
from advisor.measure.protocol import MeasurePlan
from advisor.model import Artifact
from advisor.search.costing import measurement_row
from advisor.testing import DeviceContract
from cost_models.measurement import Fingerprint, Measurement
from specs import catalog
from specs.errors import SpecError

PLAN = MeasurePlan()
TARGET = "stm32h743:tflm"
BOARD = Fingerprint("stm32h743", "Cortex-M7", 1, 480e6, "none", "bare metal", {"tflm": "1"})


def write(tmp_path, *lines, name="recording.jsonl"):
    path = tmp_path / name
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def artifact(tmp_path, sha256="", path="artifacts/0a1b2c3d4e/short/model.tflite"):
    return Artifact(tmp_path / path, "tflm", "int8", "NHWC", sha256, 100)


def device(path):
    return open_device(f"replay:{path}", catalog.target(TARGET))


class TestReplayDevice(DeviceContract):
    @pytest.fixture
    def device(self, tmp_path):
        data = measurement_row(Measurement(TARGET, "ab" * 32, (1.0, 1.1, 1.2, 1.3), fingerprint=BOARD))
        return device(write(tmp_path, recorded("0a1b2c3d4e", data).strip()))

    @pytest.fixture
    def artifact(self, tmp_path):
        return artifact(tmp_path, "ab" * 32, "anything.tflite")


def test_found_by_hash_or_by_the_candidate_in_the_path(tmp_path):
    replay = device(write(tmp_path, {"sha256": "f" * 64, "wall_ms": [5.0]}, {"candidate": "0a1b2c3d4e",
                                                                             "wall_ms": [7.0]}))  # fmt: skip
    assert replay.run(artifact(tmp_path, "f" * 64), PLAN).wall_ms == (5.0,)
    assert replay.run(artifact(tmp_path), PLAN).wall_ms == (7.0,)
    assert "no recording" in replay.run(artifact(tmp_path, path="artifacts/other/model.tflite"), PLAN).error


def test_several_recordings_of_one_model_come_in_their_order(tmp_path):
    lines = [{"candidate": "0a1b2c3d4e", "wall_ms": [ms]} for ms in (1.0, 2.0)]
    replay = device(write(tmp_path, *lines, {"candidate": "0a1b2c3d4e", "error": "board silent"}))
    found = [replay.run(artifact(tmp_path), PLAN) for _ in range(4)]
    assert [m.wall_ms for m in found] == [(1.0,), (2.0,), (), ()]
    assert found[3].error == "board silent"


def test_recordings_of_other_targets_are_not_this_ones(tmp_path):
    lines = [{"candidate": "0a1b2c3d4e", "target": target, "wall_ms": [ms]}
             for target, ms in (("esp32:tflm", 9.0), (TARGET, 3.0))]  # fmt: skip
    assert device(write(tmp_path, *lines)).run(artifact(tmp_path), PLAN).wall_ms == (3.0,)


def test_comma_separated_values(tmp_path):
    text = "candidate,wall_ms,error\n0a1b2c3d4e,1.5 1.6 1.7,\nfeedc0ffee,,too large\n"
    path = write(tmp_path, text, name="recording.csv")
    found = device(path).run(artifact(tmp_path), PLAN)
    assert found.wall_ms == (1.5, 1.6, 1.7)
    assert found.target == TARGET
    assert device(path).run(artifact(tmp_path, path="feedc0ffee/m.tflite"), PLAN).error == "too large"


def test_at_most_the_plans_samples(tmp_path):
    replay = device(write(tmp_path, {"candidate": "0a1b2c3d4e", "wall_ms": [1.0] * 50}))
    assert len(replay.run(artifact(tmp_path), MeasurePlan(max_samples=7)).wall_ms) == 7


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "recording.jsonl:2: not a measurement"),
        ("[1]", "not a measurement"),
        ('{"wall_ms": [1.0]}', "no model is named"),
        ('{"candidate": "a"}', "neither samples nor an error"),
        ('{"candidate": "a", "wall_ms": ["fast"]}', "not a measurement"),
        ('{"candidate": "a", "wall_ms": "12"}', "samples are a list"),
        ('{"candidate": "a", "wall_ms": [-1.0]}', "no time"),
        ('{"candidate": "a", "wall_ms": [NaN]}', "no time"),
        ('{"candidate": "a", "wall_ms": [1.0], "fingerprint": {"chip": "x"}}', "not a measurement"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    path = write(tmp_path, {"candidate": "b", "wall_ms": [1.0]}, line)
    with pytest.raises(SpecError) as caught:
        device(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_addresses_name_a_device_and_its_file(tmp_path):
    assert isinstance(open_device("local", catalog.target("host:onnxruntime")), LocalDevice)
    with pytest.raises(SpecError, match="cannot read the recording"):
        device(tmp_path / "missing.jsonl")
    with pytest.raises(SpecError, match="write replay:FILE"):
        open_device("replay", catalog.target(TARGET))
    with pytest.raises(SpecError, match="did you mean 'replay'"):
        open_device("replya:x", catalog.target(TARGET))


def test_a_plug_in_table_row():
    from advisor import plugins

    assert plugins.load("devices", "replay") is ReplayDevice
