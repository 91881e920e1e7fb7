import random

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from advisor.calibrate import structures
from advisor.calibrate.design import macs
from advisor.calibrate.onnx_file import onnx_bytes
from advisor.calibrate.tflite_file import tflite_bytes
from cost_models.read_onnx import read_onnx
from cost_models.read_tflite import read_tflite

NAMES = [*structures.OWN, *structures.generic(random.Random(0))]


def graph(name):
    rng = random.Random(3)
    if name in structures.OWN:
        return structures.own(name, rng, structures.SHAPES[name][1])
    return structures.generic(rng)[name]()


def onnx_run(data, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options)
    return session.run(None, {"input": x})[0]


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_structure_runs_and_reads_back_in_both_formats(name, int8, tmp_path):
    drawn = graph(name)
    wanted = macs(drawn)
    data = onnx_bytes(drawn, int8=int8)
    workload = read_onnx(data, name, tmp_path)
    assert (workload.macs, workload.precision) == (wanted, "int8" if int8 else "fp32")
    shape = drawn.inputs[0][1]
    dims = (1, shape[2], shape[0], shape[1]) if len(shape) == 3 else (1, *shape)
    x = np.random.default_rng(0).normal(size=dims).astype(np.float32)
    assert np.isfinite(onnx_run(data, x)).all()

    data = tflite_bytes(drawn, int8=int8)
    workload = read_tflite(data, name)
    assert (workload.macs, workload.precision) == (wanted, "int8" if int8 else "fp32")
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_both_formats_hold_operators_of_the_same_work():
    drawn = graph("separable")
    first, second = (
        read_onnx(onnx_bytes(drawn, int8=False), "a", None),
        read_tflite(tflite_bytes(drawn, int8=False), "b"),
    )
    convolutions = [[op.macs for op in w.operators if op.macs] for w in (first, second)]
    assert convolutions[0] == convolutions[1]


def test_bare_kernels_take_and_give_integers():
    s = structures.Sketch("kernel", (8, 8, 16))
    s.conv(16, 3)
    session = onnxruntime.InferenceSession(onnx_bytes(s.done(), int8=True, bare=True))
    assert {session.get_inputs()[0].type, session.get_outputs()[0].type} == {"tensor(uint8)"}
