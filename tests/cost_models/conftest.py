"""Builds small TFLite files table by table, so that tests need neither TensorFlow nor files of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from specs.chip import Chip, ComputeUnit, Memory, PowerState, RuntimeFacts, Target


class TFLiteBuilder:
    """A chain or graph of int8 operators; every method returns the index of the tensor it writes."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = [b""]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.inputs: list[int] = []

    def tensor(self, shape: Sequence[int], data: np.ndarray | None = None, *, scale: float = 0.1, zero: int = 0,
               type_: int | None = None, channels: int = 1) -> int:  # fmt: skip
        tensor = schema.TensorT()
        tensor.shape = list(shape)
        types = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32, "float32": schema.TensorType.FLOAT32}
        tensor.type = types[str(data.dtype)] if data is not None else schema.TensorType.INT8
        if type_ is not None:
            tensor.type = type_
        tensor.name = f"t{len(self.tensors)}".encode()
        if data is not None:
            tensor.buffer = len(self.buffers)
            self.buffers.append(data.tobytes())
        if tensor.type == schema.TensorType.INT8 or scale != 0.1:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [scale] * channels
            tensor.quantization.zeroPoint = [zero] * channels
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def input(self, *shape: int) -> int:
        self.inputs.append(self.tensor(shape))
        return self.inputs[-1]

    def op(self, name: str, inputs: list[int], output: int, options: Any = None, kind: str = "") -> int:
        code = getattr(schema.BuiltinOperator, name)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.operators.append(operator)
        return output

    def conv(self, source: int, out: int, kernel: int = 3, stride: int = 1, *, depthwise: bool = False) -> int:
        _, height, width, channels = self.tensors[source].shape
        out = channels if depthwise else out
        shape = (1, kernel, kernel, out) if depthwise else (out, kernel, kernel, channels)
        weights = self.tensor(shape, np.ones(shape, np.int8), channels=out)
        self.tensors[weights].quantization.quantizedDimension = 3 if depthwise else 0
        bias = self.tensor((out,), np.zeros(out, np.int32), scale=0.01, channels=out)
        result = self.tensor((1, -(-height // stride), -(-width // stride), out))
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        if depthwise:
            options.depthMultiplier = 1
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        return self.op(name, [source, weights, bias], result, options, kind)

    def add(self, a: int, b: int) -> int:
        result = self.tensor(self.tensors[a].shape)
        return self.op("ADD", [a, b], result, schema.AddOptionsT(), "AddOptions")

    def mean(self, source: int) -> int:
        axes = self.tensor((2,), np.array([1, 2], np.int32))
        result = self.tensor((1, self.tensors[source].shape[3]))
        return self.op("MEAN", [source, axes], result, schema.ReducerOptionsT(), "ReducerOptions")

    def dense(self, source: int, out: int) -> int:
        channels = self.tensors[source].shape[1]
        weights = self.tensor((out, channels), np.ones((out, channels), np.int8))
        bias = self.tensor((out,), np.zeros(out, np.int32), scale=0.01)
        result = self.tensor((1, out))
        options = schema.FullyConnectedOptionsT()
        return self.op("FULLY_CONNECTED", [source, weights, bias], result, options, "FullyConnectedOptions")

    def softmax(self, source: int) -> int:
        result = self.tensor(self.tensors[source].shape, scale=1 / 256, zero=-128)
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self.op("SOFTMAX", [source], result, options, "SoftmaxOptions")

    def build(self, *outputs: int) -> bytes:
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version = 3
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = self.inputs, list(outputs)
        model.subgraphs = [graph]
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 3
            model.operatorCodes = [*(model.operatorCodes or []), entry]
        model.buffers = []
        for data in self.buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8) if data else None
            model.buffers.append(buffer)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@pytest.fixture
def tflite() -> type[TFLiteBuilder]:
    return TFLiteBuilder


@pytest.fixture
def published() -> Path:
    """The folder of published networks beside the repository, where there is one."""
    folder = Path(__file__).parents[2].parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip(f"no published networks in {folder}")
    return folder


@pytest.fixture(scope="session")
def make_target_once() -> Callable[..., Target]:
    """The same for property tests, which outlive function fixtures."""
    return _make


@pytest.fixture
def make_target() -> Callable[..., Target]:
    """A target of one CPU, by its core and runtime."""
    return _make


def _make(core: str = "cortex-m4", runtime: str = "tflm", *, clock_hz: float | None = 120e6, count: int = 1,
         formats: tuple[str, ...] = ("tflite",), power: bool = True) -> Target:  # fmt: skip
    linux = runtime in ("litert", "onnxruntime")
    memories = (
        (Memory("DRAM", "dram", 1 << 30, "test", 4e9),)
        if linux
        else (Memory("SRAM", "ram", 256 << 10, "test"), Memory("flash", "flash", 1 << 20, "test"))
    )
    states = (PowerState("active", 50, 40, 60, "test"), PowerState("sleep", 0.1, 0.05, 0.2, "test"))
    chip = Chip("testchip", "Test chip", "Nobody", "mpu" if linux else "mcu", memories,
                (ComputeUnit("cpu", "cpu", core, count, clock_hz, "test"),), states if power else (), None,
                (runtime,), {"test": "test"}, {"price": "not sold", "power": "nobody measured it"})  # fmt: skip
    facts = RuntimeFacts(runtime, runtime, formats, ("fp32", "int8"), (20_000, 45_000, 120_000),
                         (2_000, 4_000, 12_000), True, "test")  # fmt: skip
    return Target(chip, facts)
