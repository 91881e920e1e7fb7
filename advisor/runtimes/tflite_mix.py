"""Which operators of a TFLite file that is not ours stay in float: mixed precision, by ai-edge-quantizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from advisor.model import BuiltModel
from advisor.network.weights import Array
from advisor.runtimes.graph_mix import SAMPLES, Weighted, as_array, choose, note
from advisor.runtimes.litert import dequantize, quantize


def float_operators(
    named: bytes, rows: Sequence[Array], model: BuiltModel, quantized: Callable[[Sequence[str]], bytes]
) -> tuple[tuple[str, ...], str]:
    """The operators to leave in float by the name of their first output, and a note. `named`: the float file, every
    tensor of a name; `quantized(names)`: the int8 file with these left in float."""
    operators = weighted(named)
    wanted = _outputs(named, rows[:SAMPLES])
    kept = choose(operators, wanted, lambda names: _outputs(quantized(names), rows[:SAMPLES]), model.tolerance,
                  model.flash_headroom)  # fmt: skip
    return kept, note(kept, operators)


def weighted(data: bytes) -> tuple[Weighted, ...]:
    """The operators of the first subgraph that multiply by constants."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = model.subgraphs[0]
    kinds = schema.BuiltinOperator
    known = (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED, kinds.TRANSPOSE_CONV, kinds.BATCH_MATMUL)
    found = []
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        constant = [graph.tensors[i] for i in op.inputs if i >= 0 and _stored(model, graph.tensors[i])]
        elements = sum(prod(int(side) for side in tensor.shape) for tensor in constant)
        if max(code.builtinCode, code.deprecatedBuiltinCode) in known and elements:
            found.append(Weighted(graph.tensors[op.outputs[0]].name.decode(), elements))
    return tuple(found)


def _stored(model: object, tensor: object) -> bool:
    data = model.buffers[tensor.buffer].data  # type: ignore[attr-defined]  # the schema is untyped
    return data is not None and len(data) > 0


def _outputs(data: bytes, rows: Sequence[Array]) -> Array:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data, num_threads=1)
    runner.allocate_tensors()
    into, out = runner.get_input_details()[0], runner.get_output_details()[0]
    found = []
    for row in rows:
        scale, zero = into["quantization"]
        runner.set_tensor(into["index"], quantize(row, scale, zero, into["dtype"]))
        runner.invoke()
        found.append(dequantize(runner.get_tensor(out["index"]), *out["quantization"]))
    return as_array(found)
