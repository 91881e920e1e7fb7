"""Surrounds the operators of a written graph with Q/DQ, as onnxruntime's static quantizer does."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from advisor.calibrate.onnx_writer import Array, Writer

QUANTIZED = ("Conv", "Gemm", "MatMul", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Sigmoid",
             "HardSigmoid", "Softmax", "Concat", "Slice", "ReduceMean", "Transpose", "Reshape", "Flatten", "Resize",
             "Relu", "Clip", "LayerNormalization")  # fmt: skip
"""What the static quantizer surrounds with Q/DQ; the others stay float32 between them."""
_RANGE = {"Sigmoid": (1 / 256, 0), "HardSigmoid": (1 / 256, 0), "Softmax": (1 / 256, 0)}
_USUAL = (1 / 16, 128)


class QuantizedWriter(Writer):
    """A graph written in float32, then `quantize`d."""

    def quantize(self) -> None:
        """Surrounds what the static quantizer does with Q/DQ; rectifiers go into the range of what is before them."""
        nodes, self.nodes = self._without_rectifiers(), []
        done: dict[str, str] = {}
        for node in nodes:
            if node.op_type in QUANTIZED:
                self._quantize_inputs(node, done)
            else:  # the quantizer gives every reader of a quantized tensor its dequantized twin
                for i, name in enumerate(node.input):
                    node.input[i] = done.get(name, name)
            self.nodes.append(node)
            if node.op_type in QUANTIZED:
                self._pair(node.output[0], _RANGE.get(node.op_type, _USUAL), done, written=True)

    def bare(self) -> dict[str, str]:
        """Takes the conversions of inputs and outputs away; which integer tensor each is then known by."""
        found: dict[str, str] = {}
        ends = {*(name for name, _ in self.graph.inputs), *self.outputs}
        readers = [name for node in self.nodes for name in node.input]
        for node in list(self.nodes):
            sole = readers.count(node.input[0]) == 1
            if node.op_type == "QuantizeLinear" and node.input[0] in ends - self.outputs and sole:
                found[node.input[0]] = node.output[0]
                self.nodes.remove(node)
            elif node.op_type == "DequantizeLinear" and node.output[0] in self.outputs:
                found[node.output[0]] = node.input[0]
                self.nodes.remove(node)
        return found

    def _without_rectifiers(self) -> list[Any]:
        kept: list[Any] = []
        for node in self.nodes:
            if node.op_type in ("Relu", "Clip") and kept and kept[-1].output[0] == node.input[0]:
                kept[-1].output[0] = node.output[0]
                for bound in node.input[1:]:
                    self.constants.pop(bound, None)
            else:
                kept.append(node)
        return kept

    def _quantize_inputs(self, node: Any, done: dict[str, str]) -> None:
        weighted = node.op_type in ("Conv", "Gemm", "MatMul")
        for i, name in enumerate(node.input):
            if name in self.constants:
                value = numpy_helper.to_array(self.constants[name])
                if value.dtype != np.float32 or node.op_type in ("Resize", "Clip"):
                    continue
                if weighted and i == 2:
                    node.input[i] = self._bias(name, value, node)
                elif weighted or node.op_type == "LayerNormalization":
                    node.input[i] = self._weights(name, value, 0 if node.op_type != "MatMul" else value.ndim - 1)
                else:
                    node.input[i] = self._tensor(name, value)
            elif name:
                node.input[i] = self._pair(name, _USUAL, done)

    def _pair(self, name: str, scale_zero: tuple[float, int], done: dict[str, str], *, written: bool = False) -> str:
        """The dequantized twin of an activation; `written` by the node just appended, or read by the next."""
        if name in done:
            return done[name]
        scale = self.constant(f"{name}:scale", np.array(scale_zero[0], np.float32))
        zero = self.constant(f"{name}:zero", np.array(scale_zero[1], np.uint8))
        if written and name in self.outputs:  # an output of the graph is dequantized under its own name
            self.nodes[-1].output[0] = f"{name}:linear"
            self.node("QuantizeLinear", [f"{name}:linear", scale, zero], f"{name}:q", f"{name}:q")
            done[name] = self.node("DequantizeLinear", [f"{name}:q", scale, zero], name, f"{name}:dq")
            return name
        self.node("QuantizeLinear", [name, scale, zero], f"{name}:q", f"{name}:q")
        done[name] = self.node("DequantizeLinear", [f"{name}:q", scale, zero], f"{name}:dq", f"{name}:dq")
        return done[name]

    def _weights(self, name: str, value: Array, axis: int) -> str:
        per_channel = value.ndim > 1
        across = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.maximum(np.abs(value).max(across if per_channel else None) / 127, 1e-6).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        wide = scale.reshape(shape) if per_channel else scale
        inputs = [
            self.constant(f"{name}:int", np.clip(np.rint(value / wide), -127, 127).astype(np.int8)),
            self.constant(f"{name}:scale", scale),
            self.constant(f"{name}:zero", np.zeros(scale.shape, np.int8)),
        ]
        self.constants.pop(name, None)
        return self.node(
            "DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq", **({"axis": axis} if per_channel else {})
        )

    def _bias(self, name: str, value: Array, node: Any) -> str:
        weights = next(n for n in self.nodes[::-1] if n.output and n.output[0] == node.input[1])
        scale = numpy_helper.to_array(self.constants[weights.input[1]]) * np.float32(_USUAL[0])
        inputs = [
            self.constant(f"{name}:int", np.rint(value / scale).astype(np.int32)),
            self.constant(f"{name}:scale", scale.astype(np.float32)),
            self.constant(f"{name}:zero", np.zeros(scale.shape, np.int32)),
        ]
        self.constants.pop(name, None)
        return self.node("DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq", axis=0)

    def _tensor(self, name: str, value: Array) -> str:
        inputs = [
            self.constant(f"{name}:int", np.clip(np.rint(value * 16) + 128, 0, 255).astype(np.uint8)),
            self.constant(f"{name}:scale", np.array(_USUAL[0], np.float32)),
            self.constant(f"{name}:zero", np.array(_USUAL[1], np.uint8)),
        ]
        self.constants.pop(name, None)
        return self.node("DequantizeLinear", inputs, f"{name}:dq", f"{name}:dq")
