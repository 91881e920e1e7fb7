"""Which nodes of an ONNX graph that is not ours stay in float: mixed precision, by onnxruntime's own quantizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

from advisor.model import BuiltModel, to_nchw
from advisor.network.weights import Array
from advisor.runtimes.graph_mix import SAMPLES, Weighted, as_array, choose, note

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def named(graph: Path) -> tuple[Weighted, ...]:
    """The operators with weights of the graph at `graph`, whose nodes get names where they have none."""
    import onnx

    model = onnx.load(str(graph))
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    taken: set[str] = set()
    found = []
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"advisor_node{i}"
        taken.add(node.name)
        elements = sum(prod(shapes[name]) for name in node.input if name in shapes)
        if node.op_type in _WEIGHTED and elements:
            found.append(Weighted(node.name, elements))
    onnx.save(model, str(graph))
    return tuple(found)


def float_nodes(
    prepared: Path, model: BuiltModel, quantize: Callable[[Sequence[str], Path], None]
) -> tuple[tuple[str, ...], str]:
    """The names of the nodes to leave in float, and a note. `quantize(names, path)` writes the int8 file with these
    nodes left in float."""
    operators = named(prepared)
    data = to_nchw(model.calibration[:SAMPLES])

    def converted(names: Sequence[str]) -> Array:
        path = prepared.with_name("tried.onnx")
        quantize(names, path)
        return _outputs(path, data)

    kept = choose(operators, _outputs(prepared, data), converted, model.tolerance, model.flash_headroom)
    return kept, note(kept, operators)


def _outputs(path: Path, data: Array) -> Array:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return as_array([session.run(None, {name: data[i : i + 1]})[0] for i in range(len(data))])
