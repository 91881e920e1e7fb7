"""TFLite files as workloads: the flatbuffer's tables, read without an interpreter and without its kernels."""

from __future__ import annotations

import struct
from typing import Any

from cost_models.read_common import (
    MAX_OPERATORS,
    MAX_REFERENCES,
    MAX_TENSORS,
    checked_shape,
    precision_of,
    without_batch,
)
from cost_models.tflite_kinds import ACTIVATIONS, BITS, INDEX_TYPES, QUANTIZED_BIAS_KINDS
from cost_models.tflite_kinds import CONTROL_FLOW as CONTROL_FLOW
from cost_models.tflite_kinds import KINDS_BY_OP as KINDS_BY_OP
from cost_models.tflite_macs import FileTensor, macs_of
from cost_models.workload import Operator, Tensor, Workload
from specs.errors import ModelFileError


def read_tflite(data: bytes, name: str) -> Workload:
    """The workload of a TFLite flatbuffer's first subgraph.

    Raises:
        ModelFileError: truncated or inconsistent tables, absurd dimensions, shapes known at run time only.
    """
    try:
        return _Reader(data).workload(name)
    except ModelFileError:
        raise
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        # an offset that leads nowhere: flatbuffers' Python runtime does not verify before it follows one
        raise ModelFileError("not a readable TFLite file", seen=f"{len(data)} bytes",
                             next="convert the model again; the file is truncated or damaged") from None  # fmt: skip


class _Reader:
    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.data = data
        self.model = schema.Model.GetRootAs(data, 0)
        self.names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self._count(self.model.SubgraphsLength(), MAX_OPERATORS, "subgraphs")
        if self.model.SubgraphsLength() == 0:
            raise ModelFileError("the file has no network", allowed="at least one subgraph")
        self.graph = self.model.Subgraphs(0)
        self.tensors = self._read_tensors()
        self.unknown: dict[str, None] = {}

    def _count(self, count: int, limit: int, what: str) -> int:
        # each entry of a vector takes four bytes of the file: a larger claim is a damaged or hostile file
        if not 0 <= count <= min(limit, len(self.data) // 4):
            raise ModelFileError(
                f"too many {what}", seen=count, allowed=f"at most {limit}, and as many as the file holds"
            )
        return count

    def _read_tensors(self) -> list[FileTensor]:
        buffers = self._count(self.model.BuffersLength(), 2 * MAX_TENSORS, "buffers")
        found = []
        for index in range(self._count(self.graph.TensorsLength(), MAX_TENSORS, "tensors")):
            tensor = self.graph.Tensors(index)
            name = (tensor.Name() or b"").decode("utf-8", "replace")[:200]
            self._count(tensor.ShapeLength(), 1 << 10, f"dimensions of {name!r}")
            shape = checked_shape((tensor.Shape(i) for i in range(tensor.ShapeLength())), name)
            if tensor.Type() >= len(BITS) or tensor.Type() < 0:
                raise ModelFileError(f"unknown element type of {name!r}", seen=tensor.Type())
            if not 0 <= tensor.Buffer() < max(1, buffers):
                raise ModelFileError(f"tensor {name!r} names a buffer that is not there", seen=tensor.Buffer())
            found.append(
                FileTensor(name, shape, tensor.Type(), self._is_constant(tensor, name), bool(tensor.IsVariable()),
                            any(tensor.ShapeSignature(i) < 0 for i in range(1, min(16, tensor.ShapeSignatureLength()))))
            )  # fmt: skip
        return found

    def _is_constant(self, tensor: Any, name: str) -> bool:
        if tensor.Buffer() == 0 or self.model.BuffersLength() == 0:
            return False
        buffer = self.model.Buffers(tensor.Buffer())
        if buffer.DataLength() > len(self.data) or buffer.DataLength() < 0:
            raise ModelFileError(f"data of {name!r} end beyond the file", seen=buffer.DataLength())
        if buffer.DataLength():
            # touch the last byte: raises where a truncated file's data end early
            buffer.Data(buffer.DataLength() - 1)
            return True
        # offset > 1: the data lie behind the flatbuffer, as in files above 2 GiB and of external-buffer converters
        return bool(buffer.Offset() > 1)

    def _indices(self, count: int, get: Any) -> list[int]:
        indices = [int(get(i)) for i in range(count)]
        if any(not -1 <= i < len(self.tensors) for i in indices):
            raise ModelFileError("an operator names a tensor that is not there", seen=indices[:8],
                                 allowed=f"-1 to {len(self.tensors) - 1}")  # fmt: skip
        return indices

    def workload(self, name: str) -> Workload:
        graph = self.graph
        inputs = self._indices(self._count(graph.InputsLength(), 4096, "inputs"), graph.Inputs)
        outputs = self._indices(self._count(graph.OutputsLength(), 4096, "outputs"), graph.Outputs)
        for index in inputs:
            if index >= 0 and self.tensors[index].dynamic:
                raise ModelFileError(f"input {self.tensors[index].name!r} has dimensions known at run time only",
                                     seen=list(self.tensors[index].shape),
                                     next="convert with a fixed input shape (batch 1)")  # fmt: skip
        rows = self._rows(inputs)
        used = sorted(
            {i for _, _, ins, outs in rows for i in (*ins, *outs)} | {i for i in (*inputs, *outputs) if i >= 0}
        )
        place = {file_index: i for i, file_index in enumerate(used)}
        operators, weight_bits = [], []
        for op, all_inputs, ins, outs in rows:
            built, bits = self._operator(op, all_inputs, outs)
            weight_bits.append(bits)
            operators.append(built(tuple(place[i] for i in ins), tuple(place[i] for i in outs)))
        if not operators:
            raise ModelFileError("the file has no operators")
        return Workload(
            name=name,
            tensors=tuple(Tensor(without_batch(self.tensors[i].shape), self.tensors[i].bits) for i in used),
            operators=tuple(operators),
            inputs=tuple(place[i] for i in inputs if i >= 0),
            outputs=tuple(place[i] for i in outputs if i >= 0),
            precision=precision_of(operators, weight_bits),
            format="tflite",
            file_bytes=len(self.data),
            unknown_ops=tuple(self.unknown),
        )

    def _rows(self, inputs: list[int]) -> list[tuple[Any, list[int], list[int], list[int]]]:
        """Operators with all inputs, activation inputs and outputs; dequantized constants become constants."""
        count = self._count(self.graph.OperatorsLength(), MAX_OPERATORS, "operators")
        written = {i for i in inputs if i >= 0}
        self.folded: dict[int, FileTensor] = {}
        rows, references = [], 0
        for index in range(count):
            op = self.graph.Operators(index)
            all_inputs = self._indices(self._count(op.InputsLength(), 1 << 16, "operator inputs"), op.Inputs)
            outs = self._indices(self._count(op.OutputsLength(), 1 << 16, "operator outputs"), op.Outputs)
            references += len(all_inputs) + len(outs)
            self._count(references, MAX_REFERENCES, "operator inputs and outputs")
            outs = [i for i in outs if i >= 0]
            if self._name(op) == "DEQUANTIZE" and all_inputs and self._constant(all_inputs[0]) is not None and outs:
                # a compressed weight: stored small, unpacked when the model is loaded
                self.folded[outs[0]] = self._constant(all_inputs[0])  # type: ignore[assignment]  # tested above
                continue
            ins = [i for i in dict.fromkeys(all_inputs) if i >= 0 and self._constant(i) is None]
            ins = [i for i in ins if not self.tensors[i].variable]
            for i in ins:
                if i not in written:
                    raise ModelFileError(f"operator {index} reads {self.tensors[i].name!r} before it is written",
                                         next="convert again: its operators are not in execution order")  # fmt: skip
            written.update(outs)
            rows.append((op, all_inputs, ins, outs))
        return rows

    def _constant(self, index: int) -> FileTensor | None:
        """The constant behind a tensor, or None for an activation."""
        if index < 0:
            return None
        return self.folded.get(index) or (self.tensors[index] if self.tensors[index].constant else None)

    def _name(self, op: Any) -> str:
        if not 0 <= op.OpcodeIndex() < self.model.OperatorCodesLength():
            raise ModelFileError("an operator of no declared kind", seen=op.OpcodeIndex())
        code = self.model.OperatorCodes(op.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name: str = self.names.get(number, f"BUILTIN_{number}")
        if name == "CUSTOM":
            return (code.CustomCode() or b"CUSTOM").decode("utf-8", "replace")[:100]
        return name

    def _operator(self, op: Any, all_inputs: list[int], outs: list[int]) -> tuple[Any, int]:
        """A function that completes the operator with its activations' places, and the bits of its weights."""
        op_name = self._name(op)
        kind = KINDS_BY_OP.get(op_name, "other")
        if kind == "other":
            self.unknown[op_name] = None
        constants = [c for i in all_inputs if (c := self._constant(i)) is not None]
        weights = [c for c in constants if c.type not in INDEX_TYPES or (kind in QUANTIZED_BIAS_KINDS)]
        if op_name in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"):
            weights = weights[1:]  # the first is the output's shape
        if kind in ("reshape", "pad", "quantize", "transpose", "resize", "slice"):
            weights = []
        out = self.tensors[outs[0]] if outs else None
        activations = [self.tensors[i] for i in all_inputs if i >= 0 and self._constant(i) is None]
        filter_ = self._filter(op_name, all_inputs)
        kernel, stride, fused = self._options(op, op_name)
        if filter_ is not None and kind in ("conv", "dwconv"):
            kernel = filter_.shape[1:-1] if op_name != "CONV_3D" else filter_.shape[:3]
        groups = 1
        if op_name == "CONV_2D" and filter_ is not None and activations and activations[0].shape and filter_.shape[-1:]:
            groups = max(1, activations[0].shape[-1] // max(1, filter_.shape[-1]))
        elif kind == "dwconv" and activations and activations[0].shape:
            groups = max(1, activations[0].shape[-1])
        macs = macs_of(op_name, out, activations, filter_, weights)
        if kind == "avg-pool" and op_name == "AVERAGE_POOL_2D" and activations and kernel == activations[0].shape[1:3]:
            kind = "global-avg-pool"
        label = out.name if out else op_name
        params = sum(w.elements for w in weights)
        weight_bytes = sum((w.elements * w.bits + 7) // 8 for w in weights)

        def built(ins: tuple[int, ...], places: tuple[int, ...]) -> Operator:
            return Operator(
                kind, label, ins, places, macs, params, weight_bytes, kernel, stride, groups, fused, op_name
            )

        return built, filter_.bits if filter_ is not None else 0

    def _filter(self, op_name: str, all_inputs: list[int]) -> FileTensor | None:
        """The operator's weights, constant or computed."""
        if KINDS_BY_OP.get(op_name) not in ("conv", "dwconv", "dense", "matmul") or len(all_inputs) < 2:
            return None
        index = all_inputs[1]
        return None if index < 0 else self._constant(index) or self.tensors[index]

    def _options(self, op: Any, op_name: str) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        """Kernel (pools), stride and fused activation from the operator's options table."""
        names = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected",
                 "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D", "L2_POOL_2D": "Pool2D", "ADD": "Add",
                 "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "CONCATENATION": "Concatenation",
                 "TRANSPOSE_CONV": "TransposeConv"}  # fmt: skip
        table, prefix = op.BuiltinOptions(), names.get(op_name)
        if table is None or prefix is None:
            return (), (), ""
        options = getattr(self.schema, f"{prefix}Options")()
        options.Init(table.Bytes, table.Pos)
        number = options.FusedActivationFunction()
        fused = ACTIVATIONS[number] if 0 <= number < len(ACTIVATIONS) else ""
        stride = (int(options.StrideH()), int(options.StrideW())) if hasattr(options, "StrideH") else ()
        kernel = (int(options.FilterHeight()), int(options.FilterWidth())) if prefix == "Pool2D" else ()
        return kernel, stride, fused
