import pytest

from advisor.calibrate.graph import Sketch
from advisor.calibrate.onnx_file import onnx_bytes
from advisor.calibrate.tflite_file import tflite_bytes
from cost_models.kernels import COLUMN, lower
from cost_models.read_onnx import read_onnx
from cost_models.read_tflite import read_tflite


def kinds(sketch, style, tmp_path, *, int8=False):
    graph = sketch.head(10)
    data = onnx_bytes(graph, int8=int8)
    return lower([read_onnx(data, "x", tmp_path)], style).kind


def gated():
    s = Sketch("gated", (32, 32, 3))
    s.conv(16, 3, 2)
    s.squeeze_excite(16)
    s.conv(32)
    return s


def test_blocked_layout_is_entered_and_left_where_operators_need_it(tmp_path):
    found = kinds(gated(), "ort-blocked-16", tmp_path)
    assert found[0] == "first"
    at = found.index("mul:broadcast")
    assert found[at - 2 : at] == ["conv1", "reorder-out"]  # what is gated was brought out for the mean
    assert found[found.index("mean") - 1] == "reorder-out"
    assert found[at + 1 : at + 3] == ["reorder-in", "conv1"]


def test_the_plain_layout_moves_nothing(tmp_path):
    assert not [k for k in kinds(gated(), "ort-plain", tmp_path) if k.startswith("reorder")]


def test_a_fused_function_costs_its_kernel_a_pass_and_is_none_of_its_own(tmp_path):
    for act, passes in (("relu", 0), ("relu6", 0.5), ("hard-swish", 1), ("sigmoid", 4)):
        s = Sketch("fused", (32, 32, 3))
        s.conv(16, 3, act="")
        s.conv(32, 1, act=act)
        found = lower([read_onnx(onnx_bytes(s.head(10), int8=False), "x", tmp_path)], "ort-blocked-16")
        assert not [kind for kind in found.kind if kind.startswith("activation")]
        row = found.rows[found.kind.index("conv1")]
        assert row[COLUMN["passed"]] == passes * row[COLUMN["outputs"]]


def test_sums_are_computed_by_the_convolution_before(tmp_path):
    s = Sketch("residual", (32, 32, 3))
    source = s.conv(16, 3)
    s.join(source, s.conv(16, 3, act=""), "relu")
    assert "add" not in kinds(s, "ort-blocked-16", tmp_path)


def test_gelu_and_silu_are_one_kernel(tmp_path):
    for function in ("gelu", "silu"):
        s = Sketch("act", (16, 16, 3))
        s.conv(16, 3, act="")
        s.act(function)
        found = kinds(s, "ort-blocked-16", tmp_path)
        assert found.count(f"activation:{function}") == 1
        assert not {"add", "mul", "activation:sigmoid"} & set(found)


def test_integer_graphs_convert_around_what_stays_in_float(tmp_path):
    s = Sketch("hard", (32, 32, 3))
    s.conv(16, 3, act="hard-swish")
    s.conv(16)
    found = kinds(s, "ort-int8", tmp_path, int8=True)
    at = found.index("activation:hard-swish")
    assert (found[at - 1], found[at + 1]) == ("dequantize", "quantize")
    assert "turn" in found


@pytest.mark.parametrize(("kernel", "kind"), [(3, "depthwise"), (5, "depthwise:25"), (7, "depthwise:49")])
def test_depthwise_kernels_are_told_apart_by_their_window(kernel, kind):
    s = Sketch("dw", (16, 16, 8))
    s.dwconv(kernel)
    assert lower([read_tflite(tflite_bytes(s.done(), int8=False), "x")], "direct").kind == [kind]
