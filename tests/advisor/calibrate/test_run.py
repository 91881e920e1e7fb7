import json

import pytest

from advisor import profile
from advisor.calibrate import run
from advisor.calibrate.collect import collect
from advisor.calibrate.design import network_items
from advisor.calibrate.samples import SampleFile
from advisor.calibrate.summary import calibration_summary
from advisor.measure.many import Timing
from cost_models.calibrate import SCHEMA
from specs import catalog
from specs.errors import SpecError, ToolchainError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(profile.HOME, str(tmp_path / "profile"))
    return tmp_path / "profile"


def test_timings_resume_after_an_interruption(tmp_path):
    path = tmp_path / "samples.jsonl"
    file = SampleFile(path, "cpu", "1")
    file.append(Timing("a", 2.0, 0.1, 5.0, 2.5, "1", (("n", "Conv", 1.0, [[1]], [[1]]),)), 0)
    file.append(Timing("b", error="no such operator"), 0)
    with path.open("a") as out:
        out.write('{"item": "c", "rou')  # torn by a power cut
    again = SampleFile(path, "cpu", "1")
    assert set(again.samples) == {("a", 0), ("b", 0)}
    assert again.of("a")[0].nodes[0][1] == "Conv"
    assert again.of("b") == []
    assert SampleFile(path, "another cpu", "1").samples == {}
    assert not SampleFile(path, "cpu", "2").of("a")


def test_rounds_that_disagree_are_decided_by_another(tmp_path):
    file = SampleFile(tmp_path / "s", "cpu", "1")
    for turn, ratio in enumerate((1.0, 1.3)):
        file.append(Timing("a", ratio), turn)
        file.append(Timing("b", 1 + turn / 100), turn)
    assert file.disagree("a")
    assert not file.disagree("b")


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_networks_are_timed_beside_the_reference(runtime, tmp_path):
    item = network_items(8, 0, ("int8",))[0]
    target = catalog.target(f"host:{runtime}")
    file = run.open_samples(target)
    assert collect(runtime, [item], file, lambda _: None)
    for timing in file.of(item.id):
        assert timing.ratio == pytest.approx(timing.wall_ns / timing.reference_ns, rel=0.5)
        assert bool(timing.nodes) == (runtime == "onnxruntime")
    assert len(SampleFile(file.path, file.cpu, file.version).of(item.id)) >= 2


def test_an_expired_deadline_stops_before_the_next_process(tmp_path):
    item = network_items(8, 0, ("int8",))[0]
    assert not collect("litert", [item], SampleFile(tmp_path / "s", "c", "v"), lambda _: None, deadline=0.0)


def test_targets_that_cannot_be_measured_here_are_one_line():
    with pytest.raises(SpecError, match="host:onnxruntime, host:litert"):
        run.check_target(catalog.target("stm32h743:tflm"))
    with pytest.raises(SpecError, match="no measurement set"):
        run.check_target(catalog.target("host:tflm"))


def test_a_missing_runtime_says_how_to_install_it(monkeypatch):
    from advisor.devices import local

    monkeypatch.setattr(local, "_PACKAGES", {"litert": "no-such-package-here"})
    with pytest.raises(ToolchainError, match="pip install no-such-package-here"):
        run.open_samples(catalog.target("host:litert"))


def test_too_few_measurements_are_no_calibration():
    target = catalog.target("host:litert")
    with pytest.raises(ToolchainError, match="too few networks"):
        run.calibration_of(target, run.measurement_set(8), run.open_samples(target))


def test_a_calibration_is_fitted_stored_and_summarized(home):
    """From made-up timings: a microsecond a thousand multiplications, whatever the kernel."""
    from advisor.calibrate.design import macs

    target = catalog.target("host:litert")
    file = run.open_samples(target)
    items = run.measurement_set(12)
    for item in items:
        for turn in range(2):
            us = 3 + len(item.graph.ops) + macs(item.graph) / 1e4
            file.append(Timing(item.id, us / 100, 0.0, us * 1e3, 1e5, file.version), turn)
    found = run.calibrate(target, networks=12)
    assert found.complete
    assert found.calibration.error[0] < 0.3
    assert json.loads((home / "calibrations" / "host-litert.json").read_text())["schema"] == SCHEMA
    assert profile.load_calibrations()["host:litert"].digest == found.calibration.digest
    lines = calibration_summary(target)
    assert any("fp32" in line and "12 measured networks" in line and "kept out" in line for line in lines)
    assert calibration_summary(catalog.target("host:onnxruntime")) == []
