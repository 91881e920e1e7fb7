"""Shape arithmetic of an ONNX graph, computed: what exporters leave for a runtime to find out at every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = dict[str, NDArray[Any]]
MAX_FOLDED = 4096
"""Elements of a computed constant: shapes, axes and paddings are far smaller."""


def fold(onnx: Any, nodes: Sequence[Any], shapes: dict[str, tuple[int, ...]], values: Values) -> Values:
    """Values of the outputs that follow from `values` and known shapes, over nodes in execution order.

    An operator that is not arithmetic, too large, or fails is left out: what reads it stays unknown too.
    """
    found: Values = {}
    for node in nodes:
        if not node.output or any(out in values or out in found for out in node.output):
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if a.type in (1, 2, 4, 6, 7)}
        if node.op_type == "Shape" and node.input and node.input[0] in shapes:
            shape = shapes[node.input[0]]
            found[node.output[0]] = np.array(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)
            continue
        rule = _RULES.get(node.op_type)
        inputs = [None if not i else found.get(i, values.get(i)) for i in node.input]
        if rule is None or any(v is None for v, name in zip(inputs, node.input, strict=True) if name):
            continue
        try:
            with np.errstate(all="ignore"):
                result = rule(onnx, inputs, attributes)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError, AttributeError):
            continue
        if result is not None and result.size <= MAX_FOLDED:
            found[node.output[0]] = result
    return found


def _sized(shape: Sequence[int]) -> tuple[int, ...]:
    out = tuple(int(s) for s in shape)
    if any(s < 0 for s in out) or prod(out) > MAX_FOLDED:
        raise ValueError("too large")
    return out


def _constant_of_shape(onnx: Any, inputs: Sequence[Any], attributes: dict[str, Any]) -> NDArray[Any]:
    value = attributes.get("value")
    fill = onnx.numpy_helper.to_array(value).reshape(-1)[0] if value is not None else np.float32(0)
    return np.full(_sized(inputs[0]), fill)


def _expand(_: Any, inputs: Sequence[Any], __: dict[str, Any]) -> NDArray[Any]:
    return np.broadcast_to(inputs[0], np.broadcast_shapes(inputs[0].shape, _sized(inputs[1])))


def _range(_: Any, inputs: Sequence[Any], __: dict[str, Any]) -> NDArray[Any]:
    start, stop, step = (v.reshape(-1)[0] for v in inputs[:3])
    if abs(stop - start) > MAX_FOLDED * abs(step):
        raise ValueError("too large")
    return np.arange(start, stop, step)


def _reshape(_: Any, inputs: Sequence[Any], __: dict[str, Any]) -> NDArray[Any]:
    shape = [inputs[0].shape[i] if s == 0 else int(s) for i, s in enumerate(inputs[1].reshape(-1))]
    reshaped: NDArray[Any] = inputs[0].reshape(shape)
    return reshaped


def _axes(inputs: Sequence[Any], attributes: dict[str, Any]) -> tuple[int, ...] | None:
    given = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("axes")
    return tuple(int(a) for a in np.array(given).reshape(-1)) if given is not None else None


def _unsqueeze(_: Any, inputs: Sequence[Any], attributes: dict[str, Any]) -> NDArray[Any]:
    axes = _axes(inputs, attributes) or ()
    if len(axes) > 8:
        raise ValueError("too many axes")
    return np.expand_dims(inputs[0], axes)


def _slice(_: Any, inputs: Sequence[Any], attributes: dict[str, Any]) -> NDArray[Any]:
    given = [*inputs[1:], *[None] * 4][:4] if len(inputs) > 1 else [
        np.array(attributes[k]) if k in attributes else None for k in ("starts", "ends", "axes")] + [None]  # fmt: skip
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        raise ValueError("a slice without its ends")
    cuts = [slice(None)] * inputs[0].ndim
    for i, (start, end) in enumerate(zip(starts.reshape(-1), ends.reshape(-1), strict=True)):
        axis = int(axes.reshape(-1)[i]) if axes is not None else i
        step = int(steps.reshape(-1)[i]) if steps is not None else 1
        last = None if step < 0 and end < -inputs[0].shape[axis] else int(end)
        cuts[axis] = slice(int(start), last, step)
    cut: NDArray[Any] = inputs[0][tuple(cuts)]
    return cut


def _cast(onnx: Any, inputs: Sequence[Any], attributes: dict[str, Any]) -> NDArray[Any]:
    cast: NDArray[Any] = inputs[0].astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))
    return cast


def _divide(_: Any, inputs: Sequence[Any], __: dict[str, Any]) -> NDArray[Any]:
    a, b = inputs
    if a.dtype.kind in "iu":
        # ONNX truncates, numpy floors
        return np.asarray(np.trunc(a / b)).astype(a.dtype)
    return np.asarray(a / b)


def _reduce(function: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    def reduced(_: Any, inputs: Sequence[Any], attributes: dict[str, Any]) -> NDArray[Any]:
        return np.asarray(
            function(inputs[0], axis=_axes(inputs, attributes), keepdims=bool(attributes.get("keepdims", 1)))
        )

    return reduced


def _of(function: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    return lambda _, inputs, __: np.asarray(function(*inputs))


_RULES: dict[str, Callable[[Any, Sequence[Any], dict[str, Any]], NDArray[Any] | None]] = {
    "Identity": _of(np.array), "Add": _of(np.add), "Sub": _of(np.subtract), "Mul": _of(np.multiply), "Div": _divide,
    "Mod": _of(np.mod), "Neg": _of(np.negative), "Abs": _of(np.abs), "Floor": _of(np.floor), "Ceil": _of(np.ceil),
    "Sqrt": _of(np.sqrt), "Max": _of(lambda *v: np.maximum.reduce(np.broadcast_arrays(*v))),
    "Min": _of(lambda *v: np.minimum.reduce(np.broadcast_arrays(*v))), "Equal": _of(np.equal),
    "Less": _of(np.less), "Greater": _of(np.greater), "And": _of(np.logical_and), "Or": _of(np.logical_or),
    "Not": _of(np.logical_not), "Where": _of(np.where), "Cast": _cast, "Range": _range, "Reshape": _reshape,
    "ConstantOfShape": _constant_of_shape, "Expand": _expand, "Unsqueeze": _unsqueeze, "Slice": _slice,
    "Squeeze": lambda _, inputs, attributes: np.squeeze(inputs[0], _axes(inputs, attributes)),
    "Gather": lambda _, inputs, attributes: np.take(inputs[0], inputs[1].astype(np.int64), attributes.get("axis", 0)),
    "Concat": lambda _, inputs, attributes: np.concatenate(inputs, attributes["axis"]),
    "Transpose": lambda _, inputs, attributes: np.transpose(inputs[0], attributes.get("perm")),
    "ReduceProd": _reduce(np.prod), "ReduceSum": _reduce(np.sum), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}  # fmt: skip
