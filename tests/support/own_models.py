"""Model files as users bring them, made with our own runtimes or by hand."""

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from advisor.brought import check
from advisor.evaluate import Request, evaluate
from advisor.own.file import keep, read_model_file
from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from specs.spec import parse_spec

SPEC = """
schema: 1
name: own
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
limits: {latency: {max: 5 ms}}
objectives: [accuracy, latency]
search: {trials: 4, time: 20 s, measurements: 4, architectures: [dscnn], quantization: [fp32, int8], pruning: [0]}
"""


@cache
def digits():
    return open_task(parse_spec(SPEC))


def exported(folder, quantization, runtime):
    """A small network trained on digits for a moment, exported by one of our runtimes: the evaluation's result."""
    from advisor.build import plans

    kept = plans.PLANS["short"]
    plans.PLANS["short"] = plans.TrainPlan(passes=24000, min_epochs=8)
    try:
        params = tuple(sorted({"width": 8, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}.items()))
        candidate = make_candidate("dscnn", params, (8, 8, 1), (0.0, 0.0), quantization, 10)
        request = Request(candidate, (runtime,), "short", folder, 0, False)
        (found,) = evaluate(request, digits(), lambda *_: None)
    finally:
        plans.PLANS["short"] = kept
    assert found.error == ""
    return found


def flat(split):
    """Digits as 64 numbers a sample, and their labels."""
    data = digits().load(split)
    return data.x.reshape(len(data.x), -1), data.y


@cache
def fitted():
    """Weights of a perceptron that has seen the validation split too: hard to beat there, and very quick."""
    from sklearn.neural_network import MLPClassifier

    (x, y), (more, labels) = flat("train"), flat("val")
    model = MLPClassifier((64,), max_iter=60, random_state=0, alpha=1e-3)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.concatenate([x, more]), np.concatenate([y, labels]))
    return [part.astype(np.float32) for part in (*model.coefs_, *model.intercepts_)]


def perceptron(dims=(1, 1, 8, 8), classes=10, dtype=TensorProto.FLOAT, before=(), result="y"):
    """An ONNX file: flatten, two dense layers. `before`: nodes from `input` to `x`, where the input is another."""
    first, second, bias, offset = fitted()
    constants = {"w1": first, "b1": bias, "w2": second[:, :classes], "b2": offset[:classes]}
    nodes = [
        *before,
        helper.make_node("Flatten", ["x" if before else "input"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], [result]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("input", dtype, dims)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model, path):
    onnx.save(model, str(path))
    return path


def torch_network():
    """A small convolutional network in torch, (1, 1, 8, 8) → (1, 10), its weights random but fixed."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
            nn.Linear(16, 10),
        ).eval()  # fmt: skip


def program_file(path, module=None, example=(1, 1, 8, 8)):
    """The network as torch.export.save writes it."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module or torch_network(), (torch.zeros(example),)), str(path))
    return path


def result(path, quantization, runtime, folder, pruning=(), **more):
    """What a worker makes of a file."""
    file = read_model_file(path)
    way = check(file, digits())
    keep(file, folder)
    candidate = make_candidate(f"model:{path.name}", (("sha256", file.sha256[:12]),), way.shape, pruning,
                               quantization, 10)  # fmt: skip
    (found,) = evaluate(Request(candidate, (runtime,), "short", folder, 0, False, **more), digits(), lambda *_: None)
    return found


def spec_with(path, target="host:onnxruntime", quantization="fp32, int8"):
    text = SPEC.replace("host:onnxruntime", target).replace("[dscnn]", f"['model:{path.name}']")
    return parse_spec(text.replace("[fp32, int8]", f"[{quantization}]"), folder=path.parent)
