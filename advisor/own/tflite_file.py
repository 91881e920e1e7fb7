"""The input of a TFLite file. The reader of workloads has looked at the file before: its tables are sound."""

from __future__ import annotations

from advisor.own.port import Port, checked
from specs.errors import ModelFileError

_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "text", 6: "bool", 7: "int16", 9: "int8",
          10: "float64"}  # fmt: skip
"""numpy's name of a tensor's type in the schema."""


def tflite_port(data: bytes) -> Port:
    """The input of the first subgraph.

    Raises:
        ModelFileError: more than one input, or an input that is no sample.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    count = graph.InputsLength()
    if count != 1:
        raise ModelFileError("it does not take one input", seen=count, allowed="one input")
    tensor = graph.Tensors(graph.Inputs(0))
    dims = [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]
    name = (tensor.Name() or b"").decode("utf-8", "replace")[:200]
    numbers = tensor.Quantization()
    scale, zero = 0.0, 0
    if numbers is not None and numbers.ScaleLength() == 1:
        scale = float(numbers.Scale(0))
        zero = int(numbers.ZeroPoint(0)) if numbers.ZeroPointLength() else 0
    return checked(name, dims, _TYPES.get(tensor.Type(), f"type {tensor.Type()}"), scale, zero)
