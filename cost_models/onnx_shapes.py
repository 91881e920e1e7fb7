"""Shapes and element types of every tensor of an ONNX graph: inference, and the shape arithmetic it cannot follow."""

from __future__ import annotations

from typing import Any

from cost_models.onnx_fold import Values, fold
from cost_models.onnx_kinds import KINDS_BY_OP, STANDARD_DOMAINS
from cost_models.read_common import checked_shape
from specs.errors import ModelFileError

ROUNDS = 16
"""Passes of shape inference with arithmetic folded and the shapes of unknown operators guessed in between."""
GUESSES = 8
"""Tensors whose shape is taken to be that of their operator's input."""
MISFIT = "shapes do not fit together"
Shapes = dict[str, tuple[int, ...]]


def infer(onnx: Any, model: Any, ordered: list[Any], noted: dict[str, Any], values: Values,
          constants: set[str]) -> tuple[Shapes, dict[str, int]]:  # fmt: skip
    """Shapes and element types; outputs of unknown operators are taken to be like their input.

    `values` gains what folds to a constant, `constants` its names.
    """
    graph = model.graph
    del graph.node[:]
    graph.node.extend(ordered)
    del graph.value_info[:]
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    wanted = [o for node in ordered for o in node.output if o]
    ends = {o.name for o in graph.output}
    guesses = 0
    for _ in range(ROUNDS):
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
            raise ModelFileError(MISFIT, seen=str(error)[:100], next="export the model again") from None
        shapes, types = _collect(inferred.graph)
        missing = next((name for name in wanted if name not in shapes), None)
        if missing is None:
            break
        known = {name: value for name, value in fold(onnx, graph.node, shapes, values).items() if name not in ends}
        if known:
            _replace(onnx, graph, known)
            values.update(known)
            constants.update(known)
            continue
        guess = _guess(next(n for n in ordered if missing in n.output), missing, shapes, types, noted)
        guesses += 1
        if guess is None or guesses > GUESSES:
            break
        graph.value_info.append(onnx.helper.make_tensor_value_info(missing, guess[1], list(guess[0])))
    return shapes, types


def _replace(onnx: Any, graph: Any, known: Values) -> None:
    """Folded nodes leave the graph; their outputs become its constants."""
    left = [node for node in graph.node if not any(out in known for out in node.output)]
    del graph.node[:]
    graph.node.extend(left)
    for name, value in known.items():
        graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def _collect(graph: Any) -> tuple[Shapes, dict[str, int]]:
    shapes: Shapes = {}
    types: dict[str, int] = {}
    for tensor in graph.initializer:
        shapes[tensor.name], types[tensor.name] = tuple(tensor.dims), tensor.data_type
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        types[value.name] = kind.elem_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            shapes[value.name] = checked_shape((d.dim_value for d in kind.shape.dim), value.name[:200])
    return shapes, types


def _guess(node: Any, name: str, shapes: Shapes, types: dict[str, int],
           noted: dict[str, Any]) -> tuple[tuple[int, ...], int] | None:  # fmt: skip
    kind = noted.get(name)
    if kind is not None and kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
        dims = kind.tensor_type.shape.dim
        shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else 1 for d in dims)
        if all(d.HasField("dim_value") and d.dim_value > 0 for d in dims[1:]):
            return checked_shape(shape, name[:200]), kind.tensor_type.elem_type or 1
    if node.op_type in KINDS_BY_OP and node.domain in STANDARD_DOMAINS:
        return None
    for source in node.input:
        if source in shapes:
            return shapes[source], types.get(source) or 1
    return None
