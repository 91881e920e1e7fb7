import json

import numpy as np
import pytest

from advisor import cli
from advisor.devices.local import LocalDevice
from advisor.measure.protocol import MeasurePlan, agreeing
from advisor.model import Artifact
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.space.families import DSCNN
from advisor.testing import DeviceContract, built_model
from cost_models.measurement import Measurement
from specs import catalog


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    values = {d.name: d.grid()[0] for d in DSCNN().dimensions((8, 8, 1))}
    network = DSCNN().build(values, (8, 8, 1), 5)
    return OnnxRuntime().export(built_model(network, "fp32"), tmp_path_factory.mktemp("m"))


class TestLocalDevice(DeviceContract):
    @pytest.fixture
    def device(self):
        return LocalDevice(catalog.target("host:onnxruntime"))

    @pytest.fixture
    def artifact(self, model_file):
        return model_file


def test_statistics_of_a_measurement_are_those_of_its_samples():
    samples = tuple(float(v) for v in range(1, 101))
    found = Measurement("host:onnxruntime", "x", samples)
    assert found.latency("p50").value == pytest.approx(50.5)
    assert found.latency("max").value == 100
    assert found.latency("mean").value == pytest.approx(50.5)
    p95 = found.latency("p95")
    assert p95.low < p95.value < p95.high
    assert p95.n == 100
    assert Measurement("host:onnxruntime", "x", error="no board").latency().reason == "no board"


def test_agreement_takes_the_closest_processes():
    runs = [{"wall_ns": [ms] * 10} for ms in (100, 150, 101, 102)]
    chosen = agreeing(runs, 3)
    assert sorted(run["wall_ns"][0] for run in chosen) == [100, 101, 102]
    assert agreeing([{"wall_ns": [ms] * 10} for ms in (100, 150, 200)], 3) is None


def test_a_process_that_never_answers_is_an_error(model_file):
    plan = MeasurePlan(seconds=30, warmup_s=10, processes=1, timeout_s=0.5)
    found = LocalDevice(catalog.target("host:onnxruntime")).run(model_file, plan)
    assert "no answer within 0.5 s" in found.error


def test_measure_prints_the_results_shape_with_conditions(model_file, capsys):
    assert cli.main(["measure", str(model_file.path), "--quick", "--seconds", "0.1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = document["results"]
    assert (document["schema"], entry["status"], entry["target"]) == (1, "ok", "host:onnxruntime")
    assert entry["metrics"]["latency_ms"]["source"] == "measured"
    assert entry["metrics"]["latency_ms"]["n"] > 3
    assert entry["metrics"]["peak_ram_bytes"]["value"] > 1e6
    assert entry["conditions"]["fingerprint"]["versions"]["onnxruntime"]
    assert entry["sha256"] == model_file.sha256


def test_measure_takes_models_that_are_not_ours(tmp_path, capsys):
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        "foreign",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", 4]),
         helper.make_tensor_value_info("b", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, ["batch", 4])],
    )  # fmt: skip
    path = tmp_path / "foreign.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )
    assert cli.main(["measure", str(path), "--quick", "--seconds", "0.05", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["status"] == "ok"


def test_a_file_that_is_no_model_is_one_line(tmp_path, capsys):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"nonsense")
    assert cli.main(["measure", str(path), "--quick", "--seconds", "0.05"]) == 2
    assert "failed" in capsys.readouterr().out
    assert cli.main(["measure", str(tmp_path / "none.onnx")]) == 2
    assert "cannot" in capsys.readouterr().err
    assert cli.main(["measure", str(path), "--target", "stm32h743:tflm"]) == 2
    assert "host:onnxruntime, host:litert, host:tflm" in capsys.readouterr().err


def test_the_reference_is_interleaved(model_file):
    found = LocalDevice(catalog.target("host:onnxruntime")).run(
        model_file, MeasurePlan(seconds=0.2, processes=1, max_processes=1)
    )
    assert len(found.reference_ms) > 3
    assert np.median(found.reference_ms) > 0
    assert isinstance(found, Measurement)
    assert isinstance(model_file, Artifact)


def test_open_dimensions_and_texts_are_not_invented(tmp_path, capsys):
    from onnx import TensorProto, helper

    for kind, dims, words in (
        (TensorProto.FLOAT, ["n", 3, "h"], "known at run time only"),
        (TensorProto.STRING, [1], "numbers"),
    ):
        value = [helper.make_tensor_value_info(name, kind, dims) for name in ("a", "b")]
        graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "g", value[:1], value[1:])
        path = tmp_path / "m.onnx"
        path.write_bytes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
        )
        assert cli.main(["measure", str(path), "--quick", "--seconds", "0.05"]) == 2
        assert words in capsys.readouterr().err


def test_one_bad_file_among_good_ones_is_told_by_the_status(model_file, tmp_path, capsys):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nonsense")
    assert cli.main(["estimate", str(model_file.path), str(bad), "--target", "host:onnxruntime"]) == 2
    said = capsys.readouterr()
    assert f"{model_file.path} on host:onnxruntime: ok" in said.out
    assert said.err.startswith(f"advisor: {bad}: ")
