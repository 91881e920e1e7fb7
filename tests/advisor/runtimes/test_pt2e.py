"""Graphs as neural-compressor's recipe leaves them, and as onnxruntime can run them in int8."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.runtimes.pt2e import fold_padding
from advisor.space.families import ResNet
from advisor.testing import built_model

SIDE = 6


def graph(pad_mode=None, value=0.0, quantized=False, own_pads=(0, 0, 0, 0), read_twice=False, channels=0):
    """Pad → (QuantizeLinear → DequantizeLinear →) Conv, the sums of `Pad`'s output beside it where it is read twice."""
    rng = np.random.default_rng(0)
    values = {
        "amounts": np.array([0, channels, 1, 2, 0, 0, 2, 1], np.int64),
        "value": np.array(value, np.float32),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(121, np.uint8),
        "kernel": rng.normal(size=(3, 2 + channels, 3, 3)).astype(np.float32),
    }
    mode = {} if pad_mode is None else {"mode": pad_mode}
    nodes = [helper.make_node("Pad", ["input", "amounts", "value"], ["padded"], **mode)]
    behind = "padded"
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["padded", "scale", "zero"], ["q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]))
        behind = "dq"
    nodes.append(helper.make_node("Conv", [behind, "kernel"], ["logits"], pads=list(own_pads)))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "c", "h", "w"])]
    if read_twice:
        nodes.append(helper.make_node("Relu", ["padded"], ["again"]))
        outputs.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, ["n", "c", "h", "w"]))
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 2, SIDE, SIDE))], outputs,
        [numpy_helper.from_array(array, name) for name, array in values.items()],
        value_info=[helper.make_tensor_value_info("padded", TensorProto.FLOAT, (1, 2 + channels, SIDE + 3, SIDE + 3))],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model):
    onnx.checker.check_model(model)
    x = np.random.default_rng(1).uniform(-2, 2, (1, 2, SIDE, SIDE)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": x})[0]


def operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("own", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_padding_with_zeros_becomes_the_convolutions_own(quantized, own):
    before = graph(quantized=quantized, own_pads=own)
    expected = answer(before)
    after = fold_padding(before)
    assert "Pad" not in operators(after)
    np.testing.assert_allclose(answer(after), expected, atol=1e-5)  # sums in another order


@pytest.mark.parametrize(
    "given",
    [{"pad_mode": "reflect"}, {"value": 1.0}, {"read_twice": True}, {"channels": 1}],
    ids=["another mode", "another value", "read by another operator", "padded channels"],
)
def test_other_padding_stays(given):
    before = graph(**given)
    text = before.SerializeToString()
    assert fold_padding(before).SerializeToString() == text


def test_residual_networks_run_their_convolutions_in_int8(tmp_path):
    """What follows a quantized convolution directly is fused with it; nothing is padded by an operator of its own."""
    family = ResNet()
    values = {dimension.name: dimension.grid()[0] for dimension in family.dimensions((16, 16, 3))}
    path = OnnxRuntime().export(built_model(family.build(values, (16, 16, 3), 5), "int8-pt2e"), tmp_path).path
    assert "Pad" not in operators(onnx.load(path))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    run = operators(onnx.load(options.optimized_model_filepath))
    # those that write what is added or averaged stay in float: the recipe quantizes no sums
    assert run.count("QLinearConv") > run.count("FusedConv") + run.count("Conv")
