"""A small trained network on the builtin digits, and one equal to it in float that int8 spoils."""

from functools import cache
from pathlib import Path

import numpy as np

from advisor.build.plans import TrainPlan
from advisor.model import BuiltModel
from advisor.network.weights import fold
from advisor.space.families import DSCNN
from advisor.tasks.load import open_task
from specs.spec import parse_spec

SPEC = "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\ntargets: [host:litert]\n"
KIND = "image-classification"
PLAN = TrainPlan(passes=24_000, min_epochs=4, batch=64, learning_rate=1.4e-2)


def accuracy(predicted, labels):
    return float((np.asarray(predicted) == labels).mean())


@cache
def digits():
    """Training, validation and test split as (inputs, labels)."""
    task = open_task(parse_spec(SPEC, folder=Path(".")))
    return tuple((task.load(split).x, task.load(split).y) for split in ("train", "val", "test"))


@cache
def trained():
    """A depthwise network of 5,000 weights, its folded weights, and calibration samples."""
    import torch

    from advisor.build.train import train
    from advisor.network.to_torch import get_weights, to_torch

    torch.set_num_threads(1)
    network = DSCNN().build({"width": 16, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}, (8, 8, 1), 10)
    module = to_torch(network)
    sets = digits()
    train(module, sets[0], sets[1], PLAN, KIND, accuracy)
    return network, fold(network, get_weights(module)), sets[0][0][:200]


def widened(network, folded, layer, spread):
    """Weights of the same float function whose `layer` (ReLU, read by a depthwise one) has channels `spread` apart."""
    reader = next(la for la in network.layers if la.inputs == (layer,))
    assert reader.kind == "dwconv"
    factors = np.geomspace(1, spread, len(folded[f"{layer}.bias"])).astype(np.float32)[:, None, None, None]
    return {
        **folded,
        f"{layer}.kernel": folded[f"{layer}.kernel"] * factors,
        f"{layer}.bias": folded[f"{layer}.bias"] * factors[:, 0, 0, 0],
        f"{reader.name}.kernel": folded[f"{reader.name}.kernel"] / factors,
    }


def built(network, folded, calibration, quantization="int8"):
    classes = tuple(map(str, range(10)))
    return BuiltModel("model", network.input_shape, classes, quantization, calibration, network, dict(folded))


def run(runtime, model, folder, x):
    """Logits of the exported file."""
    session = runtime.open(runtime.export(model, folder))
    try:
        return session.run(x)
    finally:
        session.close()


def activation_scales(path):
    """Scales of every tensor that is computed or fed in an int8 file, each once, ascending."""
    if path.suffix == ".onnx":
        import onnx

        graph = onnx.load(path).graph
        known = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        scales = [known[node.input[1]] for node in graph.node if node.op_type == "QuantizeLinear"]
    else:
        from ai_edge_litert import schema_py_generated as schema

        graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0)).subgraphs[0]
        fed = {*graph.inputs, *(index for op in graph.operators for index in op.outputs)}
        scales = [graph.tensors[index].quantization.scale for index in fed]
    return sorted({float(scale) for group in scales for scale in np.atleast_1d(group)})
