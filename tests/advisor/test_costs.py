from dataclasses import replace

import numpy as np
import pytest

from advisor import profile
from advisor.costs import cost_model
from advisor.devices.local import LocalDevice
from cost_models.calibrate import Calibration, Part
from specs import catalog

HOST, BOARD = "host:onnxruntime", "stm32h743:tflm"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(profile.HOME, str(tmp_path / "home"))


def stored(target, versions):
    part = Part("direct", None, np.array([1.0, 0.0]), np.zeros(3), 0.1, 20, 0, 0.05, 0.1, 0.01, 9.0)
    profile.save_calibration(Calibration(target, {"fp32": part}, versions, "ab"))


def here():
    return profile.conditions(LocalDevice(catalog.target(HOST)).fingerprint())


def test_without_calibrations_only_shipped_knowledge_speaks():
    assert cost_model(catalog.target(HOST), catalog.target(BOARD)).calibrations == {}


def test_a_calibration_of_this_machine_is_used_for_its_target_only():
    stored(HOST, here())
    assert set(cost_model(catalog.target(HOST), catalog.target(BOARD)).calibrations) == {HOST}
    assert cost_model(catalog.target(BOARD)).calibrations == {}


@pytest.mark.parametrize("name", sorted(here()))
def test_one_taken_under_other_conditions_is_left_out(name):
    stored(HOST, {**here(), name: "another"})
    assert cost_model(catalog.target(HOST)).calibrations == {}


def test_a_boards_calibration_does_not_depend_on_this_machine():
    stored(BOARD, {"onnxruntime": "0.0"})
    model = cost_model(replace(catalog.target(BOARD)))
    assert set(model.calibrations) == {BOARD}
