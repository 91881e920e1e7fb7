"""Writes graphs as ONNX: float32, or int8 in the Q/DQ form of onnxruntime's static quantizer."""

from __future__ import annotations

from onnx import TensorProto, helper

from advisor.calibrate.graph import Graph
from advisor.calibrate.onnx_int8 import QuantizedWriter

OPSET = 17


def onnx_bytes(graph: Graph, *, int8: bool, bare: bool = False, seed: int = 0) -> bytes:
    """The serialized model; node names begin with the names of the graph's operators.

    `bare` int8 models take and give integers: what is timed is then the operator, not the conversions around it.
    """
    writer = QuantizedWriter(graph, seed)
    for op in graph.ops:
        writer.emit(op)
    if int8:
        writer.quantize()
    narrow = writer.bare() if int8 and bare else {}
    inputs, outputs = (
        [helper.make_tensor_value_info(narrow.get(n, n), TensorProto.UINT8 if n in narrow else TensorProto.FLOAT,
                                       writer.dims[n]) for n in names]
        for names in ([n for n, _ in graph.inputs], graph.outputs())
    )  # fmt: skip
    body = helper.make_graph(writer.nodes, graph.name, inputs, outputs, list(writer.constants.values()))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edge-advisor")
    model.ir_version = 9
    return bytes(model.SerializeToString())
