"""Writes graphs as TFLite: float32, or int8 with per-channel weights as TensorFlow's converter leaves them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.calibrate.graph import Graph, Op, attention

Array = NDArray[Any]
_USUAL, _UNIT = (1 / 16, 0), (1 / 256, -128)
"""Scale and zero point of int8 activations, and of those between 0 and 1, which kernels fix."""
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2, "MUL": 2, "LOGISTIC": 2,
             "SOFTMAX": 2,
             "AVERAGE_POOL_2D": 2, "MAX_POOL_2D": 2, "CONCATENATION": 2, "BATCH_MATMUL": 4, "TRANSPOSE": 2, "MEAN": 2,
             "RESIZE_NEAREST_NEIGHBOR": 2, "PAD": 2}  # fmt: skip
_FUNCTIONS = {
    "sigmoid": "LOGISTIC",
    "hard-swish": "HARD_SWISH",
    "tanh": "TANH",
    "gelu": "GELU",
    "relu": "RELU",
    "relu6": "RELU6",
}
_FUSED = {"": 0, "relu": 1, "relu6": 3}


def tflite_bytes(graph: Graph, *, int8: bool, seed: int = 0) -> bytes:
    """The serialized model; batch 1, inputs and outputs of the same type as everything between."""
    return _Writer(graph, int8, seed).bytes()


class _Writer:
    def __init__(self, graph: Graph, int8: bool, seed: int) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.graph, self.int8 = schema, graph, int8
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.operators: list[Any] = []
        self.codes: dict[str, int] = {}
        self.index: dict[str, int] = {}
        self.shapes, self.heads = graph.shapes(), attention(graph)

    def bytes(self) -> bytes:
        import flatbuffers

        schema = self.schema
        for name, shape in self.graph.inputs:
            self.index[name] = self.activation(name, shape)
        for op in self.graph.ops:
            self.emit(op)
        sub = schema.SubGraphT()
        sub.tensors, sub.operators = self.tensors, self.operators
        sub.inputs = [self.index[name] for name, _ in self.graph.inputs]
        sub.outputs = [self.index[name] for name in self.graph.outputs()]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [sub], self.buffers
        model.operatorCodes = [self._code(name) for name in self.codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, name: str) -> Any:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = _VERSIONS.get(name, 1)
        return code

    def tensor(self, shape: tuple[int, ...], kind: str, quantization: Any = None, data: Array | None = None) -> int:
        made = self.schema.TensorT()
        made.shape, made.type, made.buffer = list(shape), getattr(self.schema.TensorType, kind), 0
        made.quantization = quantization
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def quantization(self, scale: Array | float, zero: int = 0, axis: int = 0) -> Any:
        made = self.schema.QuantizationParametersT()
        made.scale = np.atleast_1d(np.asarray(scale, np.float32))
        made.zeroPoint = np.full(len(made.scale), zero, np.int64)
        made.quantizedDimension = axis
        return made

    def activation(self, name: str, shape: tuple[int, ...], numbers: tuple[float, int] = _USUAL) -> int:
        if not self.int8:
            return self.tensor((1, *shape), "FLOAT32")
        return self.tensor((1, *shape), "INT8", self.quantization(*numbers))

    def indices(self, values: list[Any]) -> int:
        data = np.array(values, np.int32)
        return self.tensor(data.shape, "INT32", None, data)

    def weights(self, shape: tuple[int, ...], fan: int, out: int, axis: int) -> tuple[int, int]:
        """Kernel and bias."""
        kernel = (self.rng.standard_normal(shape) * (2 / fan) ** 0.5).astype(np.float32)
        bias = np.full(out, 0.01, np.float32)
        if not self.int8:
            return self.tensor(shape, "FLOAT32", None, kernel), self.tensor((out,), "FLOAT32", None, bias)
        across = tuple(i for i in range(kernel.ndim) if i != axis)
        scale = np.maximum(np.abs(kernel).max(across) / 127, 1e-6)
        wide = scale.reshape([-1 if i == axis else 1 for i in range(kernel.ndim)])
        stored = np.clip(np.rint(kernel / wide), -127, 127).astype(np.int8)
        scale_b = scale * _USUAL[0]
        return (
            self.tensor(shape, "INT8", self.quantization(scale, 0, axis), stored),
            self.tensor((out,), "INT32", self.quantization(scale_b), np.rint(bias / scale_b).astype(np.int32)),
        )

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **fields: Any) -> int:
        made = self.schema.OperatorT()
        made.opcodeIndex = self.codes.setdefault(name, len(self.codes))
        made.inputs, made.outputs = inputs, [output]
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for key, value in fields.items():
                setattr(made.builtinOptions, key, value)
        self.operators.append(made)
        return output

    def emit(self, op: Op) -> None:
        """The operators of one node of the graph."""
        inputs = [self.index[name] for name in op.inputs]
        numbers = _UNIT if op.kind == "softmax" or op.act == "sigmoid" else _USUAL
        if op.kind in ("flatten", "tokens"):
            self.index[op.name] = self.reshape(inputs[0], self.shapes[op.name])
        elif op.kind == "norm":
            self.index[op.name] = self.norm(op, inputs[0])
        else:
            self.index[op.name] = self.activation(op.name, self.shapes[op.name], numbers)
            getattr(self, f"_{op.kind.replace('-', '_')}")(op, inputs, self.index[op.name])

    def reshape(self, source: int, shape: tuple[int, ...]) -> int:
        out = self.activation("", shape)
        self.tensors[out].quantization = self.tensors[source].quantization
        return self.operator(
            "RESHAPE", [source, self.indices([1, *shape])], out, "ReshapeOptions", newShape=[1, *shape]
        )

    def _conv(self, op: Op, x: list[int], out: int) -> None:
        channels = self.shapes[op.inputs[0]][-1]
        inner = channels // op.groups
        fan = inner * op.kernel[0] * op.kernel[1]
        fields = {"padding": 0, "strideH": op.stride, "strideW": op.stride, "fusedActivationFunction": _FUSED[op.act],
                  "dilationHFactor": op.dilation[0], "dilationWFactor": op.dilation[1]}  # fmt: skip
        if op.groups == channels and channels > 1:
            kernel = self.weights((1, *op.kernel, op.out), fan, op.out, 3)
            self.operator("DEPTHWISE_CONV_2D", [*x, *kernel], out, "DepthwiseConv2DOptions", **fields,
                          depthMultiplier=op.out // channels)  # fmt: skip
            return
        kernel = self.weights((op.out, *op.kernel, inner), fan, op.out, 0)
        self.operator("CONV_2D", [*x, *kernel], out, "Conv2DOptions", **fields)

    def _dense(self, op: Op, x: list[int], out: int) -> None:
        channels = self.shapes[op.inputs[0]][-1]
        kernel = self.weights((op.out, channels), channels, op.out, 0)
        self.operator("FULLY_CONNECTED", [*x, *kernel], out, "FullyConnectedOptions",
                      fusedActivationFunction=_FUSED[op.act], keepNumDims=len(self.shapes[op.name]) > 1)  # fmt: skip

    def _pool(
        self, name: str, op: Op, x: list[int], out: int, kernel: tuple[int, ...], stride: int, padding: int
    ) -> None:
        self.operator(name, x, out, "Pool2DOptions", padding=padding, strideH=stride, strideW=stride,
                      filterHeight=kernel[0], filterWidth=kernel[1], fusedActivationFunction=0)  # fmt: skip

    def _max_pool(self, op: Op, x: list[int], out: int) -> None:
        self._pool("MAX_POOL_2D", op, x, out, op.kernel, op.stride, 0)

    def _avg_pool(self, op: Op, x: list[int], out: int) -> None:
        self._pool("AVERAGE_POOL_2D", op, x, out, op.kernel, op.stride, 0)

    def _global_pool(self, op: Op, x: list[int], out: int) -> None:
        if op.factor > 1:  # as exporters of other frameworks write it
            self._mean(op, x, out)
            return
        self._pool("AVERAGE_POOL_2D", op, x, out, self.shapes[op.inputs[0]][:2], 1, 1)

    def _mean(self, op: Op, x: list[int], out: int) -> None:
        self.operator("MEAN", [*x, self.indices([1, 2])], out, "ReducerOptions", keepDims=True)

    def _slice(self, op: Op, x: list[int], out: int) -> None:
        self.tensors[out].quantization = self.tensors[x[0]].quantization
        shape = self.shapes[op.name]
        self.operator("SLICE", [*x, self.indices([0] * len(shape) + [op.factor]), self.indices([1, *shape])], out,
                      "SliceOptions")  # fmt: skip

    def _add(self, op: Op, x: list[int], out: int) -> None:
        self.operator("ADD", x, out, "AddOptions", fusedActivationFunction=_FUSED[op.act])

    def _mul(self, op: Op, x: list[int], out: int) -> None:
        self.operator("MUL", x, out, "MulOptions", fusedActivationFunction=0)

    def _act(self, op: Op, x: list[int], out: int) -> None:
        if op.act == "hard-sigmoid":  # relu6(x + 3) / 6
            inner = self.activation("", self.shapes[op.name])
            self.operator("ADD", [*x, self.constant(3.0)], inner, "AddOptions", fusedActivationFunction=_FUSED["relu6"])
            self.operator("MUL", [inner, self.constant(1 / 6)], out, "MulOptions", fusedActivationFunction=0)
            return
        name = _FUNCTIONS[op.act]
        self.operator(
            name, x, out, "GeluOptions" if name == "GELU" else "HardSwishOptions" if name == "HARD_SWISH" else ""
        )

    def constant(self, value: float, channels: int = 1) -> int:
        shape = (channels,) if channels > 1 else ()
        if not self.int8:
            return self.tensor(shape, "FLOAT32", None, np.full(shape, value, np.float32))
        return self.tensor(shape, "INT8", self.quantization(abs(value) / 64), np.full(shape, 64, np.int8))

    def _softmax(self, op: Op, x: list[int], out: int) -> None:
        self.operator("SOFTMAX", x, out, "SoftmaxOptions", beta=1.0)

    def norm(self, op: Op, x: int) -> int:
        """Over channels, in the elementary operators that exporters leave."""
        shape = self.shapes[op.name]
        one = (*shape[:-1], 1)
        axis = self.indices([len(shape)])

        def binary(name: str, left: int, right: int, result: tuple[int, ...]) -> int:
            options = {"SUB": "SubOptions", "MUL": "MulOptions", "ADD": "AddOptions"}[name]
            return self.operator(name, [left, right], self.activation("", result), options, fusedActivationFunction=0)

        def mean(source: int) -> int:
            return self.operator("MEAN", [source, axis], self.activation("", one), "ReducerOptions", keepDims=True)

        centred = binary("SUB", x, mean(x), shape)
        spread = mean(binary("MUL", centred, centred, shape))
        inverse = self.activation("", one)
        self.operator("RSQRT", [binary("ADD", spread, self.constant(1e-3), one)], inverse)
        scaled = binary("MUL", binary("MUL", centred, inverse, shape), self.constant(1.0, shape[-1]), shape)
        return binary("ADD", scaled, self.constant(0.1, shape[-1]), shape)

    def _turned(self, source: int, order: list[int], out: int) -> None:
        self.operator("TRANSPOSE", [source, self.indices(order)], out, "TransposeOptions")

    def _heads(self, op: Op, x: list[int], out: int) -> None:
        count, tokens, width = self.shapes[op.name]
        self._turned(self.reshape(x[0], (tokens, count, width)), [0, 2, 1, 3], out)

    def _merge(self, op: Op, x: list[int], out: int) -> None:
        count, tokens, width = self.shapes[op.inputs[0]]
        turned = self.activation("", (tokens, count, width))
        self._turned(x[0], [0, 2, 1, 3], turned)
        self.operator("RESHAPE", [turned, self.indices([1, tokens, count * width])], out, "ReshapeOptions",
                      newShape=[1, tokens, count * width])  # fmt: skip

    def _scores(self, op: Op, x: list[int], out: int) -> None:
        self.operator("BATCH_MATMUL", x, out, "BatchMatMulOptions", adjX=False, adjY=True)

    def _mix(self, op: Op, x: list[int], out: int) -> None:
        self.operator("BATCH_MATMUL", x, out, "BatchMatMulOptions", adjX=False, adjY=False)

    def _concat(self, op: Op, x: list[int], out: int) -> None:
        self.operator(
            "CONCATENATION", x, out, "ConcatenationOptions", axis=len(self.shapes[op.name]), fusedActivationFunction=0
        )

    def _resize(self, op: Op, x: list[int], out: int) -> None:
        height, width = self.shapes[op.name][:2]
        self.operator(
            "RESIZE_NEAREST_NEIGHBOR", [*x, self.indices([height, width])], out, "ResizeNearestNeighborOptions"
        )

    def _pad(self, op: Op, x: list[int], out: int) -> None:
        self.operator("PAD", [*x, self.indices([[0, 0], [1, 1], [1, 1], [0, 0]])], out, "PadOptions")

    def _transpose(self, op: Op, x: list[int], out: int) -> None:
        self._turned(x[0], [0, 3, 1, 2] if prod(self.shapes[op.name][2:]) else [0, 2, 1], out)
