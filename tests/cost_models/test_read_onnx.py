"""ONNX files as workloads: exact counts on hand-built graphs, folding, fusion, and hostile input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cost_models.read import read_workload
from cost_models.workload import Workload
from specs.errors import ModelFileError

Nodes = list[onnx.NodeProto]


def constant(name: str, *shape: int, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def read(
    folder: Path,
    nodes: Nodes,
    constants: list[onnx.TensorProto],
    shape: list[int | str | None] | None = None,
    domains: tuple[str, ...] = (),
) -> Workload:
    """Writes a graph `x` → `y` and reads it back."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape or [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    path = folder / "model.bin"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    return read_workload(path)


def test_convolution_counts_are_exact(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2])]
    work = read(tmp_path, nodes, [constant("w", 16, 3, 3, 3), constant("b", 16)])
    assert work.macs == 4 * 4 * 3 * 3 * 3 * 16
    assert work.params == 3 * 3 * 3 * 16 + 16
    assert work.weight_bytes == 4 * work.params
    (op,) = work.operators
    assert (op.kind, op.kernel, op.stride, op.op) == ("conv", (3, 3), (2, 2), "Conv")
    assert work.tensors[work.inputs[0]].shape == (8, 8, 3)
    assert work.tensors[work.outputs[0]].shape == (4, 4, 16)
    assert (work.precision, work.format) == ("fp32", "onnx")
    assert work.file_bytes == (tmp_path / "model.bin").stat().st_size


def test_depthwise_and_grouped(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], group=3)]
    work = read(tmp_path, nodes, [constant("w", 6, 1, 3, 3)])
    assert (work.operators[0].kind, work.macs, work.params) == ("dwconv", 6 * 6 * 9 * 6, 54)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], group=2)]
    work = read(tmp_path, nodes, [constant("w", 6, 2, 1, 1)], [1, 4, 8, 8])
    assert (work.operators[0].kind, work.macs) == ("conv", 8 * 8 * 2 * 6)


def test_normalisation_and_activation_are_fused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "s", "s", "s", "s"], ["n"]),
        helper.make_node("Clip", ["n", "low", "high"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "h"], ["y"], transB=1),
    ]
    constants = [
        constant("w", 4, 3, 1, 1), constant("s", 4), numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"), constant("g", 10, 4), constant("h", 10),
    ]  # fmt: skip
    work = read(tmp_path, nodes, constants)
    assert [op.kind for op in work.operators] == ["conv", "global-avg-pool", "reshape", "dense"]
    assert work.operators[0].activation == "relu6"
    assert work.params == 12 + 4 + 50
    assert work.macs == 8 * 8 * 12 + 40
    assert len(work.tensors) == 5


def test_an_activation_two_operators_read_is_not_fused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Add", ["a", "r"], ["y"]),
    ]
    work = read(tmp_path, nodes, [constant("w", 4, 3, 1, 1)])
    assert [op.kind for op in work.operators] == ["conv", "activation", "add"]


def test_matmul_with_bias_is_dense(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    work = read(tmp_path, nodes, [constant("w", 32, 10), constant("b", 10)], [1, 32])
    assert [(op.kind, op.macs, op.params) for op in work.operators] == [("dense", 320, 330)]


def test_quantized_graph_has_eight_bit_tensors_and_weights(tmp_path: Path) -> None:
    def quantized(source: str, name: str) -> Nodes:
        return [
            helper.make_node("QuantizeLinear", [source, "s", "z"], [f"{name}_q"]),
            helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [name]),
        ]

    nodes = [
        *quantized("x", "xd"),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        *quantized("r", "rd"),
        helper.make_node("Add", ["rd", "rd"], ["t"]),
        *quantized("t", "y"),
    ]
    scale, zero = numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z")
    work = read(tmp_path, nodes, [scale, zero, constant("w", 4, 3, 1, 1, dtype=np.int8)])
    assert [op.kind for op in work.operators] == ["quantize", "conv", "add", "quantize"]
    conv = work.operators[1]
    assert (conv.activation, conv.params, conv.weight_bytes) == ("relu", 12, 12)
    assert [work.tensors[i].bits for i in (*conv.inputs, *conv.outputs)] == [8, 8]
    assert work.precision == "int8"
    assert work.tensors[work.inputs[0]].bits == work.tensors[work.outputs[0]].bits == 32


def test_shape_arithmetic_is_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.int64(0), "zero"),
        numpy_helper.from_array(np.array([0]), "axis"),
        numpy_helper.from_array(np.array([-1]), "rest"),
    ]
    work = read(tmp_path, nodes, constants, ["N", 3, 8, 8])
    assert [op.kind for op in work.operators] == ["reshape"]
    assert work.tensors[work.outputs[0]].shape == (192,)
    assert work.params == 0


def test_dynamic_batch_becomes_one_and_other_dynamic_dimensions_are_named(tmp_path: Path) -> None:
    assert read(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [], ["N", 3, 8, 8]).tensors[0].shape == (8, 8, 3)
    with pytest.raises(ModelFileError, match=r"'x'.*run time"):
        read(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [], [1, 3, "H", 8])


def test_where_shapes_end_at_an_unknown_operator_it_is_named(tmp_path: Path) -> None:
    """Taken for one that keeps its input's shape, the dense layer behind it does not fit."""
    nodes = [
        helper.make_node("Fancy", ["x"], ["f"], domain="acme"),
        helper.make_node("Flatten", ["f"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["y"]),
    ]
    with pytest.raises(ModelFileError, match=r"unknown operator 'acme::Fancy'.*next: export the model"):
        read(tmp_path, nodes, [constant("w", 10, 4)], domains=("acme",))


def test_unknown_operator_is_costed_by_its_bytes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Fancy", ["x"], ["a"], domain="acme"), helper.make_node("Relu", ["a"], ["y"])]
    work = read(tmp_path, nodes, [], domains=("acme",))
    assert work.unknown_ops == ("acme::Fancy",)
    assert [op.kind for op in work.operators] == ["other", "activation"]
    assert work.tensors[work.operators[0].outputs[0]].shape == (8, 8, 3)


def test_nodes_out_of_order_are_sorted_and_cycles_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Abs", ["x"], ["a"])]
    assert [op.op for op in read(tmp_path, nodes, []).operators] == ["Abs", "Relu"]
    cycle = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(ModelFileError, match="cycle"):
        read(tmp_path, [*cycle, helper.make_node("Abs", ["b"], ["y"])], [])


def test_missing_tensor_and_absurd_dimensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nothing writes"):
        read(tmp_path, [helper.make_node("Add", ["x", "gone"], ["y"])], [])
    with pytest.raises(ModelFileError, match="absurd"):
        read(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [], [1, 2**40, 2**20, 3])


def test_claimed_weights_need_not_exist(tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    work = read(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], [weight])
    assert work.params == 12
    assert work.file_bytes == (tmp_path / "model.bin").stat().st_size
    (tmp_path / "w.data").write_bytes(b"0" * 48)
    weight.external_data[0].value = "w.data"
    work = read(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], [weight])
    assert work.file_bytes == (tmp_path / "model.bin").stat().st_size + 48


@pytest.mark.parametrize("keep", [0, 1, 7, 40, 90])
def test_truncated_files_are_one_line(tmp_path: Path, keep: int) -> None:
    read(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], [constant("w", 4, 3, 1, 1)])
    path = tmp_path / "model.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError) as caught:
        read_workload(path)
    assert "\n" not in str(caught.value)
    assert "model.bin" in str(caught.value)


def test_a_file_of_countless_parts_is_refused(tmp_path: Path) -> None:
    # an empty node takes two bytes of the file and some hundred of memory
    nodes = b"\x0a\x00" * 4_000_000
    size = len(nodes)
    header = b"\x3a"
    while size >= 0x80:
        header += bytes([size & 0x7F | 0x80])
        size >>= 7
    (tmp_path / "bomb.onnx").write_bytes(header + bytes([size]) + nodes)
    with pytest.raises(ModelFileError, match="more parts"):
        read_workload(tmp_path / "bomb.onnx")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_files_never_raise_anything_else(tmp_path: Path, places: list[tuple[int, int]]) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], group=1, strides=[1, 1]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    read(tmp_path, nodes, [constant("w", 4, 3, 1, 1)])
    data = bytearray((tmp_path / "model.bin").read_bytes())
    for place, value in places:
        data[place % len(data)] = value
    (tmp_path / "damaged").write_bytes(bytes(data))
    try:
        work = read_workload(tmp_path / "damaged")
    except ModelFileError:
        return
    assert work.operators


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\x89PNG\r\n\x1a\n" * 20, bytes(1000)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelFileError):
        read_workload(tmp_path / "x.onnx")


def test_unreadable_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot read"):
        read_workload(tmp_path / "absent.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_workload(tmp_path)
