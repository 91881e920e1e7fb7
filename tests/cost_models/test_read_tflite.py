"""TFLite files as workloads: exact counts, hostile input, published networks where they are at hand."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_models.read import read_workload
from cost_models.workload import KINDS, Workload
from specs.errors import ModelFileError


def read(folder: Path, data: bytes) -> Workload:
    path = folder / "model"
    path.write_bytes(data)
    return read_workload(path)


def residual(tflite: Any) -> bytes:
    b = tflite()
    x = b.conv(b.input(1, 16, 16, 3), 8, stride=2)
    y = b.conv(b.conv(x, 0, depthwise=True), 8, kernel=1)
    result: bytes = b.build(b.softmax(b.dense(b.mean(b.add(x, y)), 4)))
    return result


def test_counts_kinds_and_shapes_are_exact(tmp_path: Path, tflite: Any) -> None:
    data = residual(tflite)
    work = read(tmp_path, data)
    assert [op.kind for op in work.operators] == ["conv", "dwconv", "conv", "add", "mean", "dense", "softmax"]
    assert [op.macs for op in work.operators] == [64 * 27 * 8, 64 * 9 * 8, 64 * 8 * 8, 0, 0, 32, 0]
    assert work.params == (216 + 8) + (72 + 8) + (64 + 8) + (32 + 4)
    assert work.weight_bytes == 216 + 72 + 64 + 32 + 4 * (8 + 8 + 8 + 4)
    assert work.operators[0].kernel == (3, 3)
    assert work.operators[0].stride == (2, 2)
    assert work.operators[0].activation == "relu"
    assert work.operators[1].groups == 8
    assert work.tensors[work.inputs[0]].shape == (16, 16, 3)
    assert all(tensor.bits == 8 for tensor in work.tensors)
    assert (work.precision, work.format, work.file_bytes) == ("int8", "tflite", len(data))
    assert work.unknown_ops == ()


def test_unknown_operator_keeps_its_name(tmp_path: Path, tflite: Any) -> None:
    b = tflite()
    x = b.input(1, 4, 4, 2)
    data = b.build(b.op("TOPK_V2", [x], b.tensor((1, 4, 4, 2))))
    work = read(tmp_path, data)
    assert (work.operators[0].kind, work.operators[0].op, work.unknown_ops) == ("other", "TOPK_V2", ("TOPK_V2",))


def test_custom_operator_keeps_its_name(tmp_path: Path, tflite: Any) -> None:
    b = tflite()
    x = b.input(1, 4, 4, 2)
    data = b.build(b.op("CUSTOM", [x], b.tensor((1, 4, 4, 2))))
    assert read(tmp_path, data).unknown_ops == ("CUSTOM",)


def test_hostile_counts_take_no_memory(tmp_path: Path, tflite: Any) -> None:
    data = bytearray(residual(tflite))
    tracemalloc.start()
    for place in range(8, len(data) - 4, max(4, len(data) // 400 * 4)):
        claim = bytearray(data)
        claim[place : place + 4] = b"\xff\xff\xff\x7f"
        with contextlib.suppress(ModelFileError):
            read(tmp_path, bytes(claim))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_reading_before_writing_is_refused(tmp_path: Path, tflite: Any) -> None:
    b = tflite()
    x, later = b.input(1, 4, 4, 2), b.tensor((1, 4, 4, 2))
    out = b.add(x, later)
    b.op("ADD", [x, x], later)
    with pytest.raises(ModelFileError, match="before it is written"):
        read(tmp_path, b.build(out))


@pytest.mark.parametrize("dims", [[1, 2**31 - 1, 2**31 - 1, 4], [1, -5, 4, 4], [1] * 60])
def test_absurd_dimensions_are_refused(tmp_path: Path, tflite: Any, dims: list[int]) -> None:
    b = tflite()
    x = b.input(1, 4, 4, 2)
    out = b.add(x, x)
    b.tensors[out].shape = dims
    with pytest.raises(ModelFileError, match="absurd"):
        read(tmp_path, b.build(out))


def test_dynamic_dimension_of_an_input_is_named(tmp_path: Path, tflite: Any) -> None:
    b = tflite()
    x = b.input(1, 4, 4, 2)
    b.tensors[x].shapeSignature = [-1, 4, 4, 2]
    out = b.add(x, x)
    assert read(tmp_path, b.build(out)).tensors[0].shape == (4, 4, 2)
    b.tensors[x].shapeSignature = [1, -1, 4, 2]
    with pytest.raises(ModelFileError, match=r"'t0'.*run time"):
        read(tmp_path, b.build(out))


def test_every_truncation_is_a_model_file_error(tmp_path: Path, tflite: Any) -> None:
    data = residual(tflite)
    for keep in range(0, len(data) - 1, max(1, len(data) // 60)):
        try:
            work = read(tmp_path, data[:keep])
        except ModelFileError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some truncations cut only padding and still read
        else:
            assert work.macs == 64 * 27 * 8 + 64 * 9 * 8 + 64 * 8 * 8 + 32


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(8, 4000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_files_never_raise_anything_else(tmp_path: Path, tflite: Any, places: list[tuple[int, int]]) -> None:
    data = bytearray(residual(tflite))
    for place, value in places:
        data[place % len(data)] = value
    data[4:8] = b"TFL3"
    try:
        work = read(tmp_path, bytes(data))
    except ModelFileError:
        return
    assert all(op.kind in KINDS for op in work.operators)


def test_published_networks_have_their_published_counts(published: Path) -> None:
    expected = {
        "anomaly_detection__trained_models__ad01_int8": (264_192, 265_864),
        "image_classification__trained_models__pretrainedResnet_quant": (12_501_632, 77_706),
        "keyword_spotting__trained_models__kws_ref_model": (2_656_768, 22_604),
        "visual_wake_words__trained_models__vww_96_int8": (7_489_664, 210_850),
    }
    for name, counts in expected.items():
        work = read_workload(published / "mlcommons_tiny" / f"benchmark__training__{name}.tflite")
        assert (work.macs, work.params) == counts
        assert work.precision == "int8"


def test_every_published_network_reads(published: Path) -> None:
    paths = [*published.rglob("*.tflite"), *published.rglob("*.onnx")]
    assert paths
    for path in paths:
        work = read_workload(path)
        assert work.macs > 0
        assert work.file_bytes == path.stat().st_size
