"""Exported torch programs (`torch.export.save`) read without torch's own loader.

`torch.export.load` (2.13) unpickles sample inputs and constants, evaluates expressions found in the file, resolves any
attribute of torch as an operator and loads shared libraries from the archive. Here the archive's JSON and raw weights
are read, nothing else of it, and a node is accepted only where its operator is listed below.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.own.port import Port, checked
from cost_models.read_common import MAX_OPERATORS, MAX_TENSORS, checked_shape
from specs.errors import ModelFileError

MAX_BYTES = 1 << 30
"""Unpacked, of the whole archive."""
MAX_JSON_BYTES = 256 << 20
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
           12: "bool"}  # fmt: skip
"""numpy's name of torch._export.serde.schema.ScalarType."""
_NAMES = """
    conv1d conv2d linear addmm mm matmul bmm batch_norm _native_batch_norm_legit_no_training layer_norm
    native_layer_norm group_norm relu relu_ relu6 relu6_ hardtanh hardtanh_ hardswish hardswish_ hardsigmoid
    hardsigmoid_ sigmoid sigmoid_ silu silu_ gelu leaky_relu leaky_relu_ elu elu_ prelu mish tanh softplus softmax
    log_softmax _softmax _log_softmax dropout dropout_ max_pool1d max_pool2d avg_pool1d avg_pool2d
    adaptive_avg_pool1d adaptive_avg_pool2d mean sum amax flatten view _unsafe_view reshape squeeze unsqueeze
    permute transpose t contiguous clone expand cat stack split split_with_sizes chunk slice select narrow unbind
    add add_ sub sub_ rsub mul mul_ div div_ neg pow sqrt rsqrt exp erf abs clamp clamp_ clamp_min clamp_max
    minimum maximum scaled_dot_product_attention pad constant_pad_nd upsample_nearest2d upsample_bilinear2d
    pixel_shuffle channel_shuffle alias detach detach_ lift_fresh_copy to _to_copy
"""
OPERATORS = frozenset(_NAMES.split())
"""torch.ops.aten: what classifiers are made of, all of it arithmetic on tensors. None reads files or runs code."""
_GETITEM = "_operator.getitem"
LEFT_OUT = object()
_WORDS = ("none", "tanh", "constant", "reflect", "replicate", "circular", "same", "valid")
_PLAIN = ("as_none", "as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools")
_TRAINING = {"batch_norm": 5, "dropout": 2, "dropout_": 2}
"""Position of the argument that says whether the operator trains."""


@dataclass(frozen=True)
class Ref:
    """A tensor that an earlier call or an input gives."""

    name: str


@dataclass(frozen=True)
class DType:
    """An element type, by numpy's name."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator, `conv2d.default` of torch.ops.aten or `getitem`, and the names of what it gives."""

    operator: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[str, ...]
    several: bool
    """Whether it gives a sequence, one entry an output."""


@dataclass(frozen=True)
class Program:
    """Straight-line calls from the input to the first output. `weights` are by their name in the graph."""

    input: Port
    outputs: int
    calls: tuple[Call, ...]
    weights: Mapping[str, NDArray[Any]]
    parameters: frozenset[str]
    """Those of the weights that training changes."""
    result: str


def read_program(data: bytes) -> Program:
    """The program in the bytes of a .pt2 archive.

    Raises:
        ModelFileError: another archive, one that would have to be unpickled, unknown operators, shapes known at run
            time only, training mode, or damage.
    """
    try:
        return _read(_Archive(data))
    except (zipfile.BadZipFile, EOFError, KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError,
            NotImplementedError, OverflowError) as error:  # fmt: skip
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError("not a readable torch program", seen=f"{type(error).__name__}: {error}"[:100],
                             next="save it again with torch.export.save of torch 2.13") from None  # fmt: skip


class _Archive:
    """The records of the archive, their sizes bounded before any is unpacked."""

    def __init__(self, data: bytes) -> None:
        self._file = zipfile.ZipFile(io.BytesIO(data))
        entries = self._file.infolist()
        if sum(entry.file_size for entry in entries) > MAX_BYTES or len(entries) > MAX_TENSORS:
            raise ModelFileError("the archive is too large", allowed=f"{MAX_BYTES} bytes unpacked")
        self._names = {entry.filename.partition("/")[2]: entry for entry in entries}
        models = [name for name in self._names if name.startswith("models/") and name.endswith(".json")]
        if len(models) != 1:
            raise ModelFileError("an archive without one exported torch program", seen=f"{len(models)} programs",
                                 allowed=".onnx, .tflite, or what torch.export.save writes (torch.save and Keras write "
                                 "archives of another kind)")  # fmt: skip
        self.model = models[0].removeprefix("models/").removesuffix(".json")
        compiled = [name for name in self._names if name.startswith(("data/aotinductor/", "data/executorch/"))]
        if compiled:
            raise ModelFileError("the archive holds compiled code, which is not run here", seen=compiled[0],
                                 next="save the exported program alone with torch.export.save")  # fmt: skip

    def bytes(self, name: str, most: int = MAX_BYTES) -> bytes:
        entry = self._names[name]
        if entry.file_size > most:
            raise ModelFileError("part of the archive is too large", seen=name, allowed=f"{most} bytes")
        return self._file.read(entry)

    def json(self, name: str) -> Any:
        return json.loads(self.bytes(name, MAX_JSON_BYTES))

    def tensors(self, folder: str, config: str) -> dict[str, NDArray[Any]]:
        """Tensors by their fully qualified name; raw bytes only."""
        name = f"data/{folder}/{self.model}_{config}_config.json"
        if f"data/{folder}/{self.model}.pt" in self._names:
            raise ModelFileError("its weights are pickled, which could run code", seen=f"data/{folder}/{self.model}.pt",
                                 next="save it again with torch.export.save of torch 2.13")  # fmt: skip
        found = {}
        for key, entry in self.json(name)["config"].items() if name in self._names else ():
            if entry["use_pickle"] or not entry.get("tensor_meta"):
                raise ModelFileError("it holds a pickled object, which could run code", seen=key[:60],
                                     next="export the model without custom objects and tensor subclasses")  # fmt: skip
            found[key] = _tensor(entry["tensor_meta"], self.bytes(f"data/{folder}/{entry['path_name']}"), key)
        return found


def _tensor(meta: Mapping[str, Any], raw: bytes, name: str) -> NDArray[Any]:
    """The tensor in raw bytes, copied: strides and offset are checked against them."""
    shape, strides = _sizes(meta["sizes"], name), _sizes(meta["strides"], name)
    offset = int(meta["storage_offset"]["as_int"])
    if meta["dtype"] not in _DTYPES:
        raise ModelFileError(f"weights {name[:60]!r} are of a type not known here", seen=meta["dtype"])
    flat = np.frombuffer(raw, _DTYPES[meta["dtype"]])
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if prod(shape) == 0:
        return np.zeros(shape, flat.dtype)
    if offset < 0 or not 0 <= last < len(flat) or prod(shape) > len(flat):
        raise ModelFileError(f"data of {name[:60]!r} end beyond the file", seen=last, allowed=f"below {len(flat)}")
    step = flat.itemsize
    view = np.lib.stride_tricks.as_strided(flat[offset:], shape, tuple(step * s for s in strides), writeable=False)
    return np.array(view, order="C")


def _sizes(values: Sequence[Any], name: str) -> tuple[int, ...]:
    if not all(isinstance(value.get("as_int"), int) for value in values):
        raise ModelFileError(
            f"{name[:60]!r} has dimensions known at run time only", next="export without dynamic_shapes"
        )
    return checked_shape((value["as_int"] for value in values), name[:60])


def _read(archive: _Archive) -> Program:
    module = archive.json(f"models/{archive.model}.json")["graph_module"]
    graph, signature = module["graph"], module["signature"]
    if len(graph["nodes"]) > MAX_OPERATORS or len(graph["tensor_values"]) > MAX_TENSORS:
        raise ModelFileError("too many operators or tensors", seen=len(graph["nodes"]), allowed=f"{MAX_OPERATORS}")
    stored = {"parameter": archive.tensors("weights", "weights"), "tensor_constant": {}}
    stored["buffer"] = stored["parameter"] | archive.tensors("constants", "constants")
    stored["tensor_constant"] = stored["buffer"]
    weights: dict[str, NDArray[Any]] = {}
    parameters: set[str] = set()
    inputs: list[str] = []
    for entry in signature["input_specs"]:
        ((kind, body),) = entry.items()
        if kind == "user_input":
            inputs.append(body["arg"]["as_tensor"]["name"])
        elif kind in stored:
            key = {"parameter": "parameter_name", "buffer": "buffer_name"}.get(kind, "tensor_constant_name")
            weights[body["arg"]["name"]] = stored[kind][body[key]]
            parameters |= {body["arg"]["name"]} if kind == "parameter" else set()
        else:
            raise ModelFileError("it takes something other than tensors", seen=kind, allowed="one tensor")
    if len(inputs) != 1:
        raise ModelFileError("it does not take one input", seen=inputs[:8], allowed="one input")
    results = [entry for entry in signature["output_specs"] if "user_output" not in entry]
    if results:
        raise ModelFileError("it changes its own buffers, as in training", seen=next(iter(results[0])),
                             next="call model.eval() before torch.export.export")  # fmt: skip
    values = graph["tensor_values"]
    result = graph["outputs"][0]["as_tensor"]["name"]
    calls = tuple(_call(node) for node in graph["nodes"])
    _check_order(calls, {inputs[0], *weights}, result)
    outputs = prod(_sizes(values[result]["sizes"], result)[1:])
    port = _port(inputs[0], values[inputs[0]])
    return Program(port, outputs, calls, weights, frozenset(parameters), result)


def _port(name: str, meta: Mapping[str, Any]) -> Port:
    return checked(name, _sizes(meta["sizes"], name), _DTYPES.get(meta["dtype"], "of an unknown type"))


def _call(node: Mapping[str, Any]) -> Call:
    target = str(node["target"])
    path = target.split(".")
    if target == _GETITEM:
        operator = "getitem"
    elif len(path) == 5 and path[:3] == ["torch", "ops", "aten"] and path[3] in OPERATORS and path[4].isidentifier():
        operator = f"{path[3]}.{path[4]}"
    else:
        allowed = "inference operators of torch.ops.aten"
        raise ModelFileError("an operator that is not run here", seen=target[:80], allowed=allowed,
                             next="export to .onnx or .tflite")  # fmt: skip
    args, kwargs = [], {}
    for place, entry in enumerate(node["inputs"]):
        value = _argument(entry["arg"], target)
        if value is LEFT_OUT:
            continue
        if entry.get("kind") == 2:
            kwargs[str(entry["name"])] = value
        else:
            args.append(value)
        if place == _TRAINING.get(path[-2]) and value is True:
            raise ModelFileError("it was exported in training mode", seen=path[-2],
                                 next="call model.eval() before torch.export.export")  # fmt: skip
    outputs = node["outputs"]
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return Call(operator, tuple(args), kwargs, tuple(t["name"] for t in outputs[0]["as_tensors"]), True)
    names = tuple(entry["as_tensor"]["name"] if "as_tensor" in entry else "" for entry in outputs)
    return Call(operator, tuple(args), kwargs, names, len(names) > 1)


def _argument(entry: Mapping[str, Any], target: str) -> Any:
    """A literal, a `Ref`, or a list of those."""
    ((kind, value),) = entry.items()
    if kind == "as_tensor":
        return Ref(value["name"])
    if kind == "as_tensors":
        return [Ref(tensor["name"]) for tensor in value]
    if kind == "as_optional_tensor":
        return Ref(value["as_tensor"]["name"]) if "as_tensor" in value else None
    if kind == "as_optional_tensors":
        return [Ref(one["as_tensor"]["name"]) if "as_tensor" in one else None for one in value]
    if kind == "as_none":
        return None
    if kind in _PLAIN and _is_plain(value):
        return value
    if kind == "as_string" and value in _WORDS:
        return value
    if kind == "as_scalar_type" and value in _DTYPES:
        return DType(_DTYPES[value])
    if kind in ("as_memory_format", "as_layout", "as_device"):
        return LEFT_OUT  # where values lie in memory changes none of them
    hint = "export without dynamic_shapes" if kind.startswith("as_sym") else "export to .onnx or .tflite"
    raise ModelFileError("an argument that is not taken here", seen=f"{kind} of {target}"[:80], next=hint)


def _is_plain(value: Any) -> bool:
    return all(isinstance(one, (int, float, bool)) for one in (value if isinstance(value, list) else [value]))


def _check_order(calls: Sequence[Call], known: set[str], result: str) -> None:
    """Every call reads what is known by then."""
    for call in calls:
        for value in (*call.args, *call.kwargs.values()):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Ref) and one.name not in known:
                    raise ModelFileError(f"{call.operator} reads {one.name[:60]!r}, which nothing writes")
        known |= {name for name in call.outputs if name}
    if result not in known:
        raise ModelFileError("its output is nothing that it computes", seen=result[:60])
