"""The analytic model: bounds, monotony, completeness; figures of a file as the command line prints them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models.analytic import AnalyticModel, lower_bound_ms
from cost_models.base import CostModel
from cost_models.estimate_file import estimate_file
from cost_models.flash import flash_items, format_overhead_bytes
from cost_models.read import read_workload
from cost_models.workload import Operator, Tensor, Workload
from specs.chip import Target

METRICS = {"latency_ms", "peak_ram_bytes", "flash_bytes", "energy_mj", "power_mw"}
MODEL: CostModel = AnalyticModel()
Make = Callable[..., Target]
TARGETS = [("cortex-m4", "tflm"), ("cortex-m7", "stm32cube-ai"), ("cortex-a72", "litert"),
           ("cortex-a53", "onnxruntime"), ("cortex-m55", "tflm"), ("nothing-known", "tflm")]  # fmt: skip


def network(widths: list[int], *, precision: Any = "int8", kernel: int = 3) -> Workload:
    """A chain of convolutions on 16 x 16."""
    bits = 8 if precision == "int8" else 32
    tensors = [Tensor((16, 16, width), bits) for width in widths]
    operators = []
    for index, (inside, outside) in enumerate(pairwise(widths)):
        params = kernel * kernel * inside * outside
        operators.append(
            Operator(
                "conv", f"c{index}", (index,), (index + 1,), 256 * params, params, params * bits // 8, (kernel, kernel)
            )
        )
    return Workload("chain", tuple(tensors), tuple(operators), (0,), (len(widths) - 1,), precision)


@pytest.mark.parametrize(("core", "runtime"), TARGETS)
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_every_metric_has_a_figure_or_a_reason(make_target: Make, core: str, runtime: str, precision: str) -> None:
    target = make_target(core, runtime)
    (costs,) = MODEL.predict([network([3, 8, 16], precision=precision)], target)
    assert set(costs.metrics) == METRICS
    for estimate in costs.metrics.values():
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high
    assert costs.metrics["latency_ms"].source in ("predicted", "assumed")
    assert {item.name for item in costs.items if item.metric == "flash_bytes"} == {"model", "runtime"}


def test_what_is_unknown_has_a_reason(make_target: Make) -> None:
    (costs,) = MODEL.predict([network([3, 8])], make_target(clock_hz=None, power=False))
    assert "clock" in costs.metrics["latency_ms"].reason
    assert costs.metrics["energy_mj"].reason == "nobody measured it"
    assert "unknown" in lower_bound_ms(network([3, 8]), make_target(clock_hz=None)).reason


@settings(deadline=None, max_examples=60)
@given(
    widths=st.lists(st.integers(1, 64), min_size=2, max_size=6),
    more=st.integers(1, 32),
    where=st.integers(0, 5),
    core=st.sampled_from([*TARGETS[:4], ("cortex-a53", "ncnn")]),
)
def test_wider_is_never_cheaper_and_nothing_beats_the_bound(
    make_target_once: Make, widths: list[int], more: int, where: int, core: tuple[str, str]
) -> None:
    target = make_target_once(*core)
    wider = list(widths)
    wider[where % len(wider)] += more
    small, large = network(widths), network(wider)
    before, after = MODEL.predict([small, large], target)
    # RAM is not in it: a greedy planner may pack a larger network tighter
    for metric in METRICS - {"power_mw", "peak_ram_bytes"}:
        one, other = before.metrics[metric], after.metrics[metric]
        assert one.value is not None
        assert other.value is not None
        assert other.value >= one.value
        assert one.low is not None
        assert other.low is not None
        assert other.low >= one.low
    for work, costs in ((small, before), (large, after)):
        bound = lower_bound_ms(work, target)
        assert bound.value is not None
        assert costs.metrics["latency_ms"].low is not None
        assert bound.value <= costs.metrics["latency_ms"].low


def test_lower_bound_is_all_cores_at_their_peak(make_target: Make) -> None:
    work = network([3, 8])
    # Cortex-M4: two int8 MACs a cycle
    assert lower_bound_ms(work, make_target(clock_hz=100e6)).value == pytest.approx(work.macs / 2 / 100e6 * 1e3)
    four = make_target("cortex-a72", "litert", clock_hz=1.5e9, count=4)
    one = make_target("cortex-a72", "litert", clock_hz=1.5e9)
    first, second = lower_bound_ms(work, one).value, lower_bound_ms(work, four).value
    assert first is not None
    assert second == pytest.approx(first / 4)


def test_layers_add_up_to_the_latency(make_target: Make) -> None:
    work = network([3, 8, 16, 16])
    costs = AnalyticModel().explain(work, make_target())
    assert [layer.macs for layer in costs.layers] == [op.macs for op in work.operators]
    assert sum(layer.latency_ms or 0 for layer in costs.layers) == pytest.approx(costs.metrics["latency_ms"].value)
    assert AnalyticModel().predict([work], make_target())[0].layers == ()


def test_unknown_operators_widen_the_interval(make_target: Make) -> None:
    work = network([3, 8])
    odd = dataclasses.replace(work, unknown_ops=("Fancy",))
    known, unknown = (costs.metrics["latency_ms"] for costs in MODEL.predict([work, odd], make_target()))
    assert known.high is not None
    assert unknown.high is not None
    assert unknown.high > known.high


def test_runtime_that_lacks_an_operator_says_so(make_target: Make) -> None:
    work = network([3, 8])
    odd = dataclasses.replace(work, operators=(dataclasses.replace(work.operators[0], kind="other", op="FlexErf"),))
    assert MODEL.predict([odd], make_target())[0].unsupported == ("FlexErf",)
    assert MODEL.predict([work], make_target())[0].unsupported == ()
    half = dataclasses.replace(work, precision="fp16")
    assert MODEL.predict([half], make_target())[0].unsupported == ("fp16 arithmetic",)


@pytest.mark.parametrize("format_", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_file_size_is_weights_and_overhead_until_there_is_a_file(
    make_target: Make, format_: Any, precision: str
) -> None:
    work = dataclasses.replace(network([3, 8, 16], precision=precision), format=format_)
    low, likely, high = format_overhead_bytes(work)
    assert 0 < low < likely < high
    model = flash_items(work, make_target())[0]
    assert (model.name, model.bytes) == ("model", work.weight_bytes + likely)
    exact = flash_items(dataclasses.replace(work, file_bytes=12345), make_target())[0]
    assert (exact.low_bytes, exact.bytes, exact.high_bytes, exact.source) == (12345, 12345, 12345, "computed")


def test_format_overhead_covers_published_files(published: Path) -> None:
    outside = []
    paths = sorted(published.rglob("*int8.tflite"))
    for path in paths:
        work = read_workload(path)
        assert work.file_bytes is not None
        low, _, high = format_overhead_bytes(work)
        if not low <= work.file_bytes - work.weight_bytes <= high:
            outside.append(path.name)
    assert not outside


def test_estimate_of_a_file(tmp_path: Path, tflite: Any, make_target: Make) -> None:
    b = tflite()
    path = tmp_path / "m.tflite"
    path.write_bytes(b.build(b.softmax(b.dense(b.mean(b.conv(b.input(1, 8, 8, 3), 4)), 2))))
    entry = estimate_file(path, make_target())
    assert (entry["status"], entry["target"], entry["model"]) == ("ok", "testchip:tflm", str(path))
    assert len(entry["sha256"]) == 64
    assert set(entry["metrics"]) == METRICS
    assert entry["metrics"]["latency_ms"]["source"] == "predicted"
    assert estimate_file(path, make_target(formats=("onnx",)))["status"] == "incompatible"


def test_estimate_of_no_file(tmp_path: Path, make_target: Make) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    entry = estimate_file(tmp_path / "bad.onnx", make_target())
    assert entry["status"] == "failed"
    assert "bad.onnx" in entry["error"]
    assert estimate_file(tmp_path / "none.onnx", make_target())["status"] == "failed"


def test_published_boards_are_predicted_within_their_interval(make_target: Make, published: Path) -> None:
    # MLPerf Tiny reference submission, Nucleo-L4R5ZI at 120 MHz (mlcommons/tiny_results_v0.5)
    measured = {
        "anomaly_detection__trained_models__ad01_int8": 10.05,
        "image_classification__trained_models__pretrainedResnet_quant": 704.2,
        "keyword_spotting__trained_models__kws_ref_model": 181.9,
        "visual_wake_words__trained_models__vww_96_int8": 600.6,
    }
    for name, latency_ms in measured.items():
        work = read_workload(published / "mlcommons_tiny" / f"benchmark__training__{name}.tflite")
        estimate = MODEL.predict([work], make_target())[0].metrics["latency_ms"]
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= latency_ms <= estimate.high
