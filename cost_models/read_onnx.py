"""ONNX files as workloads: shapes inferred, constants folded, Q/DQ pairs taken as the bit widths they stand for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from cost_models.onnx_graph import Graph, shaped
from cost_models.onnx_kinds import CLASSIC, FUSED_ACTIVATIONS, KINDS_BY_OP, QUANTIZATION_AT, WEIGHT_AT
from cost_models.onnx_nodes import Node
from cost_models.read_common import Tensors, precision_of
from cost_models.workload import Operator, Tensor, Workload
from specs.errors import ModelFileError


def read_onnx(data: bytes, name: str, folder: Path) -> Workload:
    """The workload of a serialized ONNX model; external weights are neither read nor looked for outside `folder`.

    Raises:
        ModelFileError: not a model, cyclic, absurd, or of shapes known at run time only.
    """
    try:
        graph = shaped(data, folder)
        return _Builder(graph).workload(name, len(data) + graph.external_bytes)
    except ModelFileError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        # fields that contradict each other where the format's own library does not look: damaged, or hostile
        raise ModelFileError("not a readable ONNX file", seen=str(error)[:100],
                             next="check it with `python -m onnx.checker`, or export it again") from None  # fmt: skip


class _Builder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.activations = Tensors()
        self.operators: list[Operator] = []
        self.weight_bits: list[int] = []
        self.unknown: dict[str, None] = {}
        self.alias: dict[str, str] = {}
        """Tensor to the one it is, in other numbers (Q/DQ), under another name, or after a fused operator."""
        self.bits: dict[str, int] = {}
        """Bits of tensors that travel quantized."""
        self.readers: Counter[str] = Counter()
        """How many operators read a tensor, under whatever name."""
        self.last: dict[str, int] = {}
        """Tensor to the place of the operator that writes it, while nothing else reads it in between."""

    def real(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def workload(self, name: str, file_bytes: int) -> Workload:
        graph = self.graph
        for tensor in graph.inputs:
            self._activation(tensor)
        self._mark_quantized()
        for node in graph.nodes:
            if node.outputs[0] not in self.alias:
                self.readers.update({self.real(i) for i in node.inputs if i})
        for node in graph.nodes:
            self._node(node)
        if not self.operators:
            raise ModelFileError("the file has no operators")
        # every graph output exists, also one that is an input's other name
        outputs = tuple(self._activation(self.real(t)) for t in graph.outputs if not graph.is_constant(t))
        return Workload(
            name=name,
            tensors=self.activations.all(),
            operators=tuple(self.operators),
            inputs=tuple(self.activations.index(t) for t in graph.inputs),
            outputs=outputs,
            precision=precision_of(self.operators, self.weight_bits),
            format="onnx",
            file_bytes=file_bytes,
            unknown_ops=tuple(self.unknown),
        )

    def _activation(self, name: str) -> int:
        bits = self.bits.get(name, self.graph.bits(name))
        return self.activations.add(name, Tensor(self.graph.plain_shape(name), bits))

    def _mark_quantized(self) -> None:
        """Tensors that are quantized right after they are written travel in 8 bits; graph inputs stay as given."""
        for node in self.graph.nodes:
            if node.op == "QuantizeLinear" and not self.graph.is_constant(node.inputs[0]):
                source = node.inputs[0]
                if source in self.graph.inputs:
                    continue
                self.alias[node.outputs[0]] = source
                self.bits[source] = self.graph.bits(node.outputs[0])
            elif node.op == "DequantizeLinear" and not self.graph.is_constant(node.inputs[0]):
                if node.outputs[0] in self.graph.outputs:
                    continue
                self.alias[node.outputs[0]] = node.inputs[0]
            elif node.op in ("Identity", "Dropout") and not self.graph.is_constant(node.inputs[0]):
                self.alias[node.outputs[0]] = node.inputs[0]

    def _node(self, node: Node) -> None:
        graph = self.graph
        if node.outputs[0] in self.alias or all(graph.is_constant(o) for o in node.outputs if o):
            return
        ins = list(dict.fromkeys(self.real(i) for i in node.inputs if i and not graph.is_constant(i)))
        constants = [i for i in node.inputs if i and graph.is_constant(i)]
        if self._fuse(node, ins, constants):
            return
        kind = KINDS_BY_OP.get(node.op, "other")
        if kind == "other" and node.op not in CLASSIC:
            self.unknown[node.op] = None
        weight = self._weight(node)
        if node.op in ("MatMul", "QLinearMatMul", "MatMulInteger") and weight is not None and graph.is_constant(weight):
            kind = "dense"
        shape = graph.shape(weight) if weight is not None else ()
        groups = int(node.attributes.get("group", 1))
        if kind == "conv" and groups > 1 and ins and groups == graph.channels(ins[0]):
            kind = "dwconv"
        params, weight_bytes = self._parameters(node, kind, constants)
        if kind == "other" or node.op in CLASSIC:
            params, weight_bytes = params + sum(node.held), weight_bytes + 4 * sum(node.held)
        stride = tuple(node.attributes.get("strides", ()))
        kernel = tuple(node.attributes.get("kernel_shape", shape[2:] if kind in ("conv", "dwconv") else ()))
        places = tuple(self._activation(i) for i in ins)
        outs = tuple(self._activation(o) for o in node.outputs if o and o in graph.used and not graph.is_constant(o))
        if not outs:
            return
        macs = self._macs(node, kind, shape)
        name = node.name or node.outputs[0]
        self.last[node.outputs[0]] = len(self.operators)
        self.weight_bits.append(graph.stored_bits(weight) if weight is not None else 0)
        self.operators.append(
            Operator(kind, name[:200], places, outs, macs, params, weight_bytes, kernel, stride, groups, op=node.op)
        )

    def _weight(self, node: Node) -> str | None:
        at = WEIGHT_AT.get(node.op)
        if at is None or len(node.inputs) <= at or not node.inputs[at]:
            return None
        return node.inputs[at] if self.graph.is_constant(node.inputs[at]) else self.real(node.inputs[at])

    def _parameters(self, node: Node, kind: str, constants: list[str]) -> tuple[int, int]:
        graph = self.graph
        if kind in ("reshape", "pad", "transpose", "resize", "slice", "quantize", "mean", "concat", "softmax"):
            return 0, 0
        skip = {node.inputs[i] for i in QUANTIZATION_AT.get(node.op, ()) if i < len(node.inputs)}
        held = [c for c in dict.fromkeys(constants) if c not in skip and not graph.is_index(c, kind)]
        elements = sum(graph.elements(c) for c in held)
        stored = sum((graph.elements(c) * graph.stored_bits(c) + 7) // 8 for c in held)
        return elements, stored

    def _macs(self, node: Node, kind: str, weight: tuple[int, ...]) -> int:
        graph = self.graph
        out = graph.elements(node.outputs[0])
        count = 1
        for dim in weight:
            count *= dim
        if kind in ("conv", "dwconv") and weight:
            if node.op == "ConvTranspose":
                return graph.elements(node.inputs[0]) * count // max(1, weight[0])
            return out * count // max(1, weight[0])
        if node.op == "Gemm" and weight:
            inner = weight[1] if node.attributes.get("transB", 0) else weight[0]
            return out * inner
        if kind in ("dense", "matmul"):
            shape = graph.shape(node.inputs[0])
            return out * (shape[-1] if shape else 1)
        if node.op in CLASSIC:
            return max(node.held, default=0)
        if kind == "recurrent":
            shape = graph.shape(node.inputs[0])
            return (shape[0] if shape else 1) * sum(graph.elements(i) for i in node.inputs[1:3] if i)
        return 0

    def _fuse(self, node: Node, ins: list[str], constants: list[str]) -> bool:
        """Takes the node into the operator before it, as onnxruntime does; True when it went there."""
        if not ins:
            return False
        place = self.last.get(ins[0])
        if place is None or self.readers[ins[0]] != 1 or ins[0] in self.graph.outputs or len(node.outputs) < 1:
            return False
        before = self.operators[place]
        extra_params = extra_bytes = 0
        activation = before.activation
        if (
            before.kind in ("conv", "dwconv", "dense")
            and node.op in FUSED_ACTIVATIONS
            and not activation
            and len(ins) == 1
        ):
            activation = _activation_name(node, self.graph)
        elif before.op == "Add" and node.op == "Relu" and not activation:
            activation = "relu"  # ConvAddActivationFusion: the sum is rectified as it is written
        elif (
            before.kind in ("conv", "dwconv")
            and not activation
            and before.op in ("Conv", "ConvTranspose")
            and (
                node.op == "BatchNormalization" or (node.op in ("Mul", "Add") and self._per_channel(constants, before))
            )
        ):
            if node.op != "Mul" and before.params == self._kernel_params(before):
                # the folded shift needs a bias that the convolution did not have
                extra_params = self.graph.channels(ins[0])
                extra_bytes = extra_params * 4
        elif (
            before.op == "MatMul"
            and node.op == "Add"
            and before.kind == "dense"
            and constants
            and not activation
            and (before.params == before.macs // max(1, self._positions(before)))
        ):
            extra_params = sum(self.graph.elements(c) for c in constants)
            extra_bytes = sum((self.graph.elements(c) * self.graph.stored_bits(c) + 7) // 8 for c in constants)
        else:
            return False
        out = node.outputs[0]
        index = before.outputs[0]
        self.operators[place] = Operator(
            before.kind, before.name, before.inputs, before.outputs, before.macs, before.params + extra_params,
            before.weight_bytes + extra_bytes, before.kernel, before.stride, before.groups, activation, before.op,
        )  # fmt: skip
        self.activations.replace(
            index, Tensor(self.graph.plain_shape(out), self.bits.get(out, self.activations.at(index).bits))
        )
        self.activations.rename(ins[0], out)
        self.last[out] = place
        return True

    def _per_channel(self, constants: list[str], before: Operator) -> bool:
        channels = self.activations.at(before.outputs[0]).shape[-1:] or (1,)
        return len(constants) == 1 and self.graph.elements(constants[0]) in (1, channels[0])

    def _kernel_params(self, op: Operator) -> int:
        """Elements of a convolution's kernel, without its bias."""
        if op.op == "ConvTranspose":
            source = self.activations.at(op.inputs[0])
            return op.macs // max(1, source.elements // max(1, (source.shape[-1:] or (1,))[0]))
        return op.macs // max(1, self._positions(op))

    def _positions(self, op: Operator) -> int:
        out = self.activations.at(op.outputs[0])
        return out.elements // max(1, (out.shape[-1:] or (1,))[0])


def _activation_name(node: Node, graph: Graph) -> str:
    if node.op == "Clip":
        bounds: list[Any] = [graph.scalar(i) if i else None for i in node.inputs[1:3]]
        low = bounds[0] if bounds else node.attributes.get("min")
        high = bounds[1] if len(bounds) > 1 else node.attributes.get("max")
        return "relu6" if (low, high) == (0.0, 6.0) else "clip"
    return FUSED_ACTIVATIONS[node.op]
