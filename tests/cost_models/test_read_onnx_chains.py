"""What onnxruntime runs as one operator is one here; shape arithmetic is computed; hostile arithmetic is not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cost_models.read import read_workload
from cost_models.workload import Workload
from specs.errors import ModelFileError

node = helper.make_node


def read(folder: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None,
         shape: tuple[int, ...] = (1, 4, 8, 8), kind: int = TensorProto.FLOAT) -> Workload:  # fmt: skip
    """Writes a graph `x` → `y` and reads it back."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    return read_workload(path)


def kinds(work: Workload) -> list[tuple[str, str]]:
    return [(op.kind, op.op) for op in work.operators]


def test_swish_is_one_operator(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Sigmoid", ["c"], ["s"]), node("Mul", ["c", "s"], ["y"])]
    work = read(tmp_path, nodes, {"w": np.ones((4, 4, 1, 1), np.float32)})
    assert kinds(work) == [("conv", "Conv"), ("activation", "Swish")]
    assert len(work.tensors) == 3


def test_a_gate_over_something_else_stays_a_product(tmp_path: Path) -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("Sigmoid", ["a"], ["s"]), node("Mul", ["x", "s"], ["y"])]
    assert kinds(read(tmp_path, nodes)) == [("activation", "Abs"), ("activation", "Sigmoid"), ("mul", "Mul")]


@pytest.mark.parametrize("halved", ["behind", "before", "between"])
def test_gelu_is_one_operator_wherever_it_is_halved(tmp_path: Path, halved: str) -> None:
    root = [node("Div", ["x", "root"], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["p"])]
    tails = {
        "behind": [node("Mul", ["x", "p"], ["m"]), node("Mul", ["m", "half"], ["g"])],
        "before": [node("Mul", ["x", "half"], ["h"]), node("Mul", ["h", "p"], ["g"])],
        "between": [node("Mul", ["p", "half"], ["h"]), node("Mul", ["x", "h"], ["g"])],
    }
    constants = {"root": np.float32(1.41421), "one": np.float32(1), "half": np.float32(0.5)}
    work = read(tmp_path, [*root, *tails[halved], node("Relu", ["g"], ["y"])], constants)
    assert kinds(work) == [("activation", "Gelu"), ("activation", "Relu")]
    assert work.params == 0


def test_layer_normalisation_in_parts_is_one_operator(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["c"]), node("Pow", ["c", "two"], ["q"]),
        node("ReduceMean", ["q"], ["v"], axes=[-1]), node("Add", ["v", "eps"], ["a"]), node("Sqrt", ["a"], ["r"]),
        node("Div", ["c", "r"], ["n"]), node("Mul", ["n", "g"], ["s"]), node("Add", ["s", "b"], ["y"]),
    ]  # fmt: skip
    constants = {"two": np.float32(2), "eps": np.float32(1e-5), "g": np.ones(16, np.float32),
                 "b": np.zeros(16, np.float32)}  # fmt: skip
    work = read(tmp_path, nodes, constants, (1, 10, 16))
    assert kinds(work) == [("norm", "LayerNormalization")]
    assert work.params == 32


def test_a_chain_whose_inside_is_an_output_stays(tmp_path: Path) -> None:
    nodes = [node("Sigmoid", ["x"], ["y"]), node("Mul", ["x", "y"], ["z"]), node("Relu", ["z"], ["w"])]
    assert ("activation", "Sigmoid") in kinds(read(tmp_path, nodes))


def test_quantized_convolution_is_int8(tmp_path: Path) -> None:
    scale, zero = np.float32(0.1), np.int8(0)
    nodes = [node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z", "b"], ["y"], kernel_shape=[3, 3])]
    constants = {"s": scale, "z": zero, "w": np.ones((8, 4, 3, 3), np.int8), "b": np.zeros(8, np.int32)}
    work = read(tmp_path, nodes, constants, kind=TensorProto.INT8)
    assert (work.precision, work.macs, work.params, work.weight_bytes) == ("int8", 36 * 288, 296, 288 + 32)


def test_a_token_expanded_at_run_time_has_its_shape(tmp_path: Path) -> None:
    # as exporters write a class token: its batch is looked up, compared and filled in by the graph itself
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "axis"], ["u"]),
        node("Concat", ["u", "rest"], ["to"], axis=0), node("ConstantOfShape", ["three"], ["ones"]),
        node("Equal", ["to", "minus"], ["e"]), node("Where", ["e", "to", "to"], ["shape"]),
        node("Expand", ["token", "shape"], ["t"]), node("Concat", ["t", "x"], ["y"], axis=1),
    ]  # fmt: skip
    constants = {"zero": np.int64(0), "axis": np.array([0]), "rest": np.array([1, 16]), "three": np.array([3]),
                 "minus": np.array([-1, -1, -1]), "token": np.ones((1, 1, 16), np.float32)}  # fmt: skip
    work = read(tmp_path, nodes, constants, (1, 10, 16))
    assert work.tensors[work.outputs[0]].shape == (11, 16)
    assert [op.kind for op in work.operators] == ["concat"]


def test_support_vectors_are_parameters(tmp_path: Path) -> None:
    classifier = node("SVMClassifier", ["x"], ["l", "y"], domain="ai.onnx.ml", support_vectors=[0.0] * 60,
                      coefficients=[0.0] * 10, classlabels_ints=[0, 1])  # fmt: skip
    work = read(tmp_path, [classifier], shape=(1, 6))
    assert (work.params, work.weight_bytes, work.macs) == (70, 280, 60)
    assert work.unknown_ops == ()


def test_hostile_arithmetic_takes_no_memory(tmp_path: Path) -> None:
    huge = {"n": np.array([1 << 40]), "many": np.array([1 << 20, 1 << 20]), "one": np.ones(1, np.float32)}
    graphs = [
        [node("ConstantOfShape", ["n"], ["c"]), node("Reshape", ["x", "c"], ["y"])],
        [node("Expand", ["one", "many"], ["c"]), node("Add", ["x", "c"], ["y"])],
        [node("Range", ["zero", "end", "step"], ["c"]), node("Reshape", ["x", "c"], ["y"])],
    ]
    scalars = {"zero": np.int64(0), "end": np.int64(1 << 50), "step": np.int64(1)}
    tracemalloc.start()
    for nodes in graphs:
        with pytest.raises(ModelFileError):
            read(tmp_path, nodes, {**huge, **scalars})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    # a graph in an attribute of a node in a graph in …: Model 7, Graph 1, Node 5, Attribute 6
    inner = b""
    for _ in range(1000):
        for tag in (0x32, 0x2A, 0x0A):
            size, head = len(inner), bytes([tag])
            while size >= 0x80:
                head += bytes([size & 0x7F | 0x80])
                size >>= 7
            inner = head + bytes([size]) + inner
    size, head = len(inner), b"\x08\x08\x3a"
    while size >= 0x80:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    (tmp_path / "deep.onnx").write_bytes(head + bytes([size]) + inner)
    with pytest.raises(ModelFileError):
        read_workload(tmp_path / "deep.onnx")
