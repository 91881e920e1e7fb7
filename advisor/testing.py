"""Contract tests for plug-in authors: subclass, set the fixture, run pytest.

class TestMyFamily(FamilyContract):
    @pytest.fixture
    def family(self): return MyFamily()
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.evaluate import sqnr_db
from advisor.measure.protocol import MeasurePlan
from advisor.model import Artifact, BuiltModel, Runtime
from advisor.network.description import Network, param_count
from advisor.network.to_workload import to_workload
from advisor.network.weights import fold
from advisor.space.families import Family
from advisor.space.prune import prune, prune_weights
from cost_models.base import CostModel
from cost_models.workload import Workload
from specs import catalog

SHAPES: tuple[tuple[int, ...], ...] = ((8, 8, 1), (32, 32, 3), (49, 10, 1), (64, 6), (17, 3))
"""Inputs every family must cope with: tiny, photo, features, series, odd lengths."""


def sample_networks(family: Family, count: int = 3, seed: int = 0) -> list[Network]:
    """Random members of a family, `count` for every shape of SHAPES."""
    rng = np.random.default_rng(seed)
    found = []
    for shape in SHAPES:
        for _ in range(count):
            grids = {d.name: d.grid() for d in family.dimensions(shape)}
            params = {name: grid[int(rng.integers(len(grid)))] for name, grid in grids.items()}
            found.append(family.build(params, shape, 5))
    return found


def trained_weights(network: Network, seed: int = 0) -> dict[str, Any]:
    """Weights as after training: normalisation statistics of real activations, not their initial values."""
    import torch

    from advisor.network.to_torch import get_weights, to_torch

    module = to_torch(network, seed=seed).train()
    generator = torch.Generator().manual_seed(seed)
    height, width, channels = network.input_shape
    with torch.no_grad():
        for _ in range(8):
            module(torch.randn(8, channels, height, width, generator=generator) + 0.3)
    return get_weights(module)


def built_model(network: Network, quantization: str, seed: int = 0) -> BuiltModel:
    """A built model of a network with plausible weights and calibration data."""
    weights = trained_weights(network, seed)
    calibration = np.random.default_rng(seed).normal(0.3, 1, (64, *network.input_shape)).astype(np.float32)
    classes = tuple(f"c{i}" for i in range(network.classes))
    return BuiltModel("model", network.input_shape, classes, quantization, calibration, network, fold(network, weights))


class FamilyContract:
    """What every architecture family promises."""

    @pytest.fixture
    def family(self) -> Family:
        raise NotImplementedError("return the family under test")

    def test_builds_networks_for_every_shape(self, family: Family) -> None:
        for network in sample_networks(family):
            assert network.classes == 5
            assert network.shapes[network.layers[-1].name] == (1, 1, 5)

    def test_same_parameters_same_network(self, family: Family) -> None:
        assert [n.id for n in sample_networks(family)] == [n.id for n in sample_networks(family)]

    def test_readings_agree(self, family: Family) -> None:
        """torch and Keras outputs agree to 1e-4; MACs and parameters equal those counted from the ONNX file."""
        for network in sample_networks(family, count=1, seed=1):
            weights = trained_weights(network)
            assert readings_difference(network, weights) < 1e-4
            macs, params = onnx_counts(network, weights)
            workload = to_workload(network, "int8")
            assert (workload.macs, workload.params) == (macs, params)

    def test_prunes_to_a_working_smaller_network(self, family: Family) -> None:
        from advisor.network.to_torch import get_weights, to_torch

        for network in sample_networks(family, count=2, seed=2):
            smaller = prune(network, [0.5] * family.stages)
            assert param_count(smaller) < param_count(network)
            weights = prune_weights(network, get_weights(to_torch(network)), smaller)
            for key, value in weights.items():
                if key.endswith(".kernel"):
                    assert value.shape == smaller.kernel_shape(smaller.layer(key.rpartition(".")[0]))

    def test_workload_is_monotone_in_ordered_dimensions(self, family: Family) -> None:
        """Feasibility's bounds rest on it: a smaller value of an ordered dimension never costs more parameters."""
        from advisor.space.families import Ints

        for shape in SHAPES:
            dimensions = family.dimensions(shape)
            base = {d.name: d.grid()[0] for d in dimensions}
            smallest = param_count(family.build(base, shape, 5))
            for dimension in dimensions:
                if isinstance(dimension, Ints):
                    larger = family.build({**base, dimension.name: dimension.grid()[-1]}, shape, 5)
                    assert param_count(larger) >= smallest


class RuntimeContract:
    """What every runtime promises for the precisions it exports."""

    quantizations: tuple[str, ...] = ("fp32", "int8")

    @pytest.fixture
    def runtime(self) -> Runtime:
        raise NotImplementedError("return the runtime under test")

    @pytest.fixture
    def network(self) -> Network:
        from advisor.space.families import ResNet

        return ResNet().build({"width": 8, "blocks": 1, "groups": 2, "stem_stride": 1}, (8, 8, 1), 5)

    def test_exported_file_computes_the_network(self, runtime: Runtime, network: Network, tmp_path: Path) -> None:
        for quantization in self.quantizations:
            model = built_model(network, quantization)
            artifact = runtime.export(model, tmp_path / quantization)
            assert artifact.path.parent == tmp_path / quantization
            assert artifact.size_bytes == artifact.path.stat().st_size
            session = runtime.open(artifact)
            try:
                found = session.run(model.calibration)
            finally:
                session.close()
            assert found.shape == (len(model.calibration), network.classes)
            # 20 dB is what a faithful int8 conversion reaches, 60 dB what half precision does
            least = {"fp32": 100.0, "fp16": 50.0}.get(quantization, 20.0)
            assert sqnr_db(reference_logits(model), found) >= least

    def test_export_is_repeatable(self, runtime: Runtime, network: Network, tmp_path: Path) -> None:
        model = built_model(network, self.quantizations[-1])
        first, second = (runtime.export(model, tmp_path / name).sha256 for name in "ab")
        assert first == second

    def test_refuses_a_file_that_is_no_model(self, runtime: Runtime, tmp_path: Path) -> None:
        from specs.errors import ModelFileError

        path = tmp_path / "broken"
        path.write_bytes(b"not a model at all" * 10)
        with pytest.raises(ModelFileError):
            runtime.open(Artifact(path, runtime.id, "fp32", "NHWC", "", path.stat().st_size))


class CostModelContract:
    """What every cost model promises on any target of the catalogue."""

    @pytest.fixture
    def model(self) -> CostModel:
        raise NotImplementedError("return the cost model under test")

    def test_prices_or_explains_every_target(self, model: CostModel) -> None:
        workload = _workload("int8")
        for target in catalog.targets():
            costs = model.predict([workload], target)[0]
            for name in ("latency_ms", "peak_ram_bytes", "flash_bytes", "energy_mj", "power_mw"):
                estimate = costs.metrics[name]
                if estimate.value is None:
                    assert estimate.reason
                else:
                    assert estimate.low is not None
                    assert estimate.high is not None
                    assert 0 <= estimate.low <= estimate.value <= estimate.high

    def test_batches_equal_singles(self, model: CostModel) -> None:
        target = catalog.target("stm32h743:tflm")
        several = [_workload("int8"), _workload("fp32")]
        together = model.predict(several, target)
        assert [c.metrics for c in together] == [model.predict([w], target)[0].metrics for w in several]


class DeviceContract:
    """What every transport promises."""

    @pytest.fixture
    def device(self) -> Any:
        raise NotImplementedError("return the device under test")

    @pytest.fixture
    def artifact(self) -> Artifact:
        raise NotImplementedError("return an artifact the device runs")

    def test_measures(self, device: Any, artifact: Artifact) -> None:
        found = device.run(artifact, MeasurePlan(seconds=0.1, warmup_s=0.02, processes=1, max_processes=1))
        assert found.error == ""
        assert len(found.wall_ms) > 3
        assert all(sample > 0 for sample in found.wall_ms)
        assert found.fingerprint == device.fingerprint()

    def test_a_bad_model_is_a_measurement_with_an_error(self, device: Any, tmp_path: Path) -> None:
        path = tmp_path / "broken.onnx"
        path.write_bytes(b"nonsense")
        found = device.run(Artifact(path, "onnxruntime", "fp32", "NCHW", "", 8), MeasurePlan(seconds=0.1, processes=1))
        assert found.error
        assert found.wall_ms == ()


def reference_logits(model: BuiltModel) -> Any:
    """The float network's logits on the calibration samples, by onnxruntime on the folded graph."""
    import onnxruntime

    from advisor.model import to_nchw
    from advisor.network.to_onnx import to_onnx

    assert model.network is not None
    session = onnxruntime.InferenceSession(to_onnx(model.network, model.weights).SerializeToString())
    rows = to_nchw(model.calibration)
    return np.concatenate([session.run(None, {"input": rows[i : i + 1]})[0] for i in range(len(rows))])


def readings_difference(network: Network, weights: dict[str, Any]) -> float:
    """Largest difference between the torch, Keras and ONNX readings, relative to the largest logit."""
    import onnxruntime
    import torch

    from advisor.network.to_keras import to_keras
    from advisor.network.to_onnx import to_onnx
    from advisor.network.to_torch import to_torch

    x = np.random.default_rng(0).normal(size=(2, *network.input_shape)).astype(np.float32)
    rows = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    folded = fold(network, weights)
    with torch.no_grad():
        reference = to_torch(network, weights).eval()(torch.from_numpy(rows)).numpy()
    session = onnxruntime.InferenceSession(to_onnx(network, folded).SerializeToString())
    keras_model = to_keras(network, folded)
    worst = 0.0
    for i in range(len(x)):
        for found in (session.run(None, {"input": rows[i : i + 1]})[0], np.asarray(keras_model(x[i : i + 1]))):
            worst = max(worst, float(np.abs(found - reference[i]).max()))
    return worst / max(1.0, float(np.abs(reference).max()))


def onnx_counts(network: Network, weights: dict[str, Any]) -> tuple[int, int]:
    """MACs and parameters counted from the exported ONNX graph by onnx's own shape inference."""
    import onnx
    from onnx import numpy_helper

    from advisor.network.to_onnx import to_onnx

    graph = onnx.shape_inference.infer_shapes(to_onnx(network, fold(network, weights))).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.output)}
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    macs = params = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        kernel, bias = constants[node.input[1]], constants[node.input[2]]
        positions = int(np.prod(shapes[node.output[0]][2:])) if node.op_type == "Conv" else 1
        macs += int(kernel.size) * positions
        params += int(kernel.size + bias.size)
    return macs, params


def _workload(precision: Any) -> Workload:
    from advisor.space.families import DSCNN

    family = DSCNN()
    params = {d.name: d.grid()[0] for d in family.dimensions((32, 32, 3))}
    return to_workload(family.build(params, (32, 32, 3), 10), precision)
