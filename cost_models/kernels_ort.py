"""What onnxruntime makes of a workload: fusion, layout changes and conversions, as its graph optimizers do them.

Restated from NchwcTransformer, ConvActivationFusion, the QDQ propagation and NhwcTransformer, on workloads.
"""

from __future__ import annotations

from math import prod
from typing import Literal

from cost_models.kernel_rows import COLUMN, FUNCTION, Kernels, Lowering, function
from cost_models.workload import Operator, Workload

OrtStyle = Literal["ort-blocked-16", "ort-blocked-8", "ort-plain", "ort-int8"]
ALIGNED = 4
"""Channel counts that are no multiple of it stay in the plain layout."""
_BLOCKED_ACTIVATIONS = ("relu", "sigmoid", "tanh", "hard-sigmoid", "hard-swish", "silu", "gelu")
_CONV_FUSES = ("relu", "relu6", "sigmoid", "tanh", "hard-sigmoid", "leakyrelu")
_DENSE_FUSES = ("relu", "sigmoid", "tanh", "hard-sigmoid", "leakyrelu")
_INT8_KINDS = ("conv", "dwconv", "dense", "matmul", "add", "mul", "avg-pool", "max-pool", "global-avg-pool", "concat",
               "softmax", "reshape", "transpose", "resize", "slice", "pad", "quantize")  # fmt: skip
_INT8_FUNCTIONS = ("sigmoid", "relu", "relu6", "leakyrelu")
_RANGES = ("", "none", "relu", "relu6", "linear")
"""Activations that int8 kernels compute by their output's range."""


class OnnxRuntimeLowering(Lowering):
    """One workload in one of the styles of `kernels.Style`."""

    def __init__(self, workload: Workload, style: OrtStyle, found: Kernels, owner: int) -> None:
        super().__init__(workload, found, owner)
        self.style = style
        self.block_size = int(style.rpartition("-")[2]) if style.startswith("ort-blocked") else 0

    def run(self) -> None:
        for k, op in enumerate(self.workload.operators):
            if k in self.done:
                continue
            if self.style == "ort-int8":
                self._int8(op)
            elif not (self._gelu(op) or self._silu(op)):
                if self.block_size:
                    self._blocked(k, op)
                else:
                    self._with_activation(k, op, self._kind(op))
        for tensor in self.workload.outputs:
            if self.block_size:
                self._plain(tensor, "output")
            elif self.style == "ort-int8" and len(self.workload.tensors[tensor].shape) == 3 and self._is_turned(tensor):
                self._single("turn", "output", tensor, tensor)
        if self.style == "ort-int8" and not any(op.op for op in self.workload.operators):
            # described, not read: the file will have conversions at its ends
            for kind, ends in (("quantize", self.workload.inputs), ("dequantize", self.workload.outputs)):
                for tensor in ends:
                    self._single(kind, kind, tensor, tensor)

    # what both float styles of onnxruntime fuse

    def _sole_reader(self, tensor: int) -> int | None:
        return self.next.get(tensor) if self.readers[tensor] == 1 else None

    def _with_activation(self, k: int, op: Operator, kind: str, fuses: tuple[str, ...] = _CONV_FUSES) -> None:
        """Emits the operator with the activation after it, in one kernel where the runtime fuses the two."""
        if op.kind == "dense":
            fuses = _DENSE_FUSES
            shape = self.workload.tensors[op.inputs[0]].shape if op.inputs else ()
            if len(shape) == 2 and op.op == "MatMul":
                for tensor in (op.inputs[0], op.outputs[0]):  # matrices pass through a reshape on either side
                    self._single("reshape", op.name, tensor, tensor)
        own = function(op) if op.kind == "activation" else FUNCTION.get(op.activation.lower(), op.activation.lower())
        self._emit(kind, op)
        if op.kind in ("conv", "dwconv", "dense"):
            if own in fuses:
                self.found.fuse(-1, own)
            elif own not in ("", "none"):
                self._single(f"activation:{own}", op.name, op.outputs[0], op.outputs[0])
            else:
                self._follow(k, op, fuses)

    def _follow(self, k: int, op: Operator, fuses: tuple[str, ...]) -> None:
        after = self._sole_reader(op.outputs[0])
        if after is None or after in self.done:
            return
        follower = self.workload.operators[after]
        if follower.kind == "activation" and function(follower) in fuses and not self._is_silu(follower):
            self.done.add(after)
            self.found.also[-1] = follower.name
            self.found.fuse(-1, function(follower))
            self.alias[follower.outputs[0]] = op.outputs[0]
            self.writer[follower.outputs[0]] = k

    def _gelu(self, op: Operator) -> bool:
        """x / √2 → erf → + 1 → × x → × ½ as the one kernel that onnxruntime makes of it; called at the division."""
        operators = self.workload.operators
        after = self.next.get(op.outputs[0]) if op.outputs else None
        if op.op != "Div" or after is None or operators[after].op != "Erf":
            return False
        chain = [after]
        for wanted in ("Add", "Mul", "Mul"):
            step = self._sole_reader(operators[chain[-1]].outputs[0])
            if step is None or operators[step].op != wanted:
                break
            chain.append(step)
        self.done.update(chain)
        self._one_kernel("activation:gelu", op.name, op.inputs[0], operators[chain[-1]].outputs[0])
        return True

    def _is_silu(self, op: Operator) -> Operator | None:
        """The product x · σ(x) that reads this sigmoid, or None."""
        if op.kind != "activation" or function(op) != "sigmoid" or not op.inputs:
            return None
        after = self._sole_reader(op.outputs[0])
        if after is None:
            return None
        product = self.workload.operators[after]
        if product.kind == "mul" and set(product.inputs) == {op.inputs[0], op.outputs[0]}:
            return product
        return None

    def _silu(self, op: Operator) -> bool:
        """x · σ(x) as the one kernel that onnxruntime makes of it; called at the sigmoid."""
        product = self._is_silu(op)
        if product is None:
            return False
        self.done.add(self.next[op.outputs[0]])
        self._one_kernel("activation:silu", product.name, op.inputs[0], product.outputs[0])
        return True

    def _one_kernel(self, kind: str, name: str, source: int, result: int) -> None:
        self._single(kind, name, source, result)
        if self._is_turned(source):
            self.turned.add(result)

    # float32 in blocks of channels

    def _real(self, tensor: int) -> int:
        while tensor in self.alias:
            tensor = self.alias[tensor]
        return tensor

    def _is_turned(self, tensor: int) -> bool:
        return self._real(tensor) in self.turned

    def _plain(self, tensor: int, reader: str) -> None:
        """Makes sure a tensor exists in the file's layout."""
        real = self._real(tensor)
        if real in self.turned and real not in self.both:
            self.both.add(real)
            self._single("reorder-out", reader, tensor, tensor)

    def _block(self, tensor: int, reader: str) -> None:
        """Makes sure a tensor exists in blocks."""
        real = self._real(tensor)
        if real not in self.turned and real not in self.both:
            self.both.add(real)
            self._single("reorder-in", reader, tensor, tensor)

    def _blocked(self, k: int, op: Operator) -> None:
        kind = self._kind(op)
        if op.kind in ("conv", "dwconv"):
            self._blocked_conv(k, op, kind)
            return
        if (
            op.kind in ("avg-pool", "max-pool", "global-avg-pool")
            and self._channels(op.inputs[0]) % self.block_size == 0
        ):
            self._block(op.inputs[0], op.name)
            self._emit(kind, op)
            self.turned.update(op.outputs)
            return
        same = len({self.workload.tensors[i].shape for i in op.inputs}) == 1
        keeps = (op.kind in ("add", "mul") and same and len(op.inputs) > 1) or op.kind == "resize" or (
            op.kind == "activation" and function(op) in _BLOCKED_ACTIVATIONS) or (
            op.kind == "concat" and all(self._channels(i) % self.block_size == 0 for i in op.inputs))  # fmt: skip
        if op.inputs and keeps and all(self._is_turned(i) for i in op.inputs):
            if op.kind == "add" and self._summed(op):
                return
            self._emit(kind, op)
            self.turned.update(op.outputs)
            return
        if op.kind == "transpose" and op.inputs and self._is_turned(op.inputs[0]) and self._maps(op):
            self._plain(op.inputs[0], op.name)  # the reordering writes channels last at once
            return
        if op.kind == "transpose" and self._maps(op) and self._reads_blocks(op.outputs[0]):
            return  # and reads them so
        for i in op.inputs:
            self._plain(i, op.name)
        if op.kind == "add" and op.activation and len(op.inputs) > 1:
            self._emit(kind, op)
            self._single(f"activation:{op.activation}", op.name, op.outputs[0], op.outputs[0])
            return
        self._with_activation(k, op, kind)

    def _maps(self, op: Operator) -> bool:
        return len(self.workload.tensors[op.inputs[0]].shape) == 3

    def _reads_blocks(self, tensor: int) -> bool:
        after = self._sole_reader(tensor)
        if after is None:
            return False
        reader = self.workload.operators[after]
        return reader.kind in ("conv", "dwconv") and self._channels(tensor) >= self.block_size

    def _summed(self, op: Operator) -> bool:
        """Whether the sum is computed by a convolution that writes one of its inputs; that kernel then reads more."""
        for tensor in reversed(op.inputs):
            k = self.writer.get(tensor)
            if k is None or self.readers[tensor] != 1:
                continue
            writer = self.workload.operators[k]
            if writer.kind in ("conv", "dwconv") and not writer.activation and tensor not in self.alias:
                at = len(self.found.name) - 1 - self.found.name[::-1].index(writer.name)
                values = list(self.found.values[at])
                values[COLUMN["others"]] += prod(self.workload.tensors[tensor].shape)
                self.found.values[at] = tuple(values)
                self.alias[op.outputs[0]] = tensor
                return True
        return False

    def _blocked_conv(self, k: int, op: Operator, kind: str) -> None:
        inner, outer = self._channels(op.inputs[0]), self._channels(op.outputs[0])
        possible, direct = True, False
        if op.kind == "dwconv":
            possible = outer % ALIGNED == 0
        elif op.groups > 1:
            possible = not (inner // op.groups % self.block_size or outer // op.groups % self.block_size)
        elif inner < self.block_size:
            direct = True  # reads the plain layout and writes blocks
        else:
            possible = inner % ALIGNED == 0
        if not possible:
            self._plain(op.inputs[0], op.name)
            self._with_activation(k, op, f"{kind}:plain")
            return
        if direct:
            self._plain(op.inputs[0], op.name)
            kind = "first"
        else:
            self._block(op.inputs[0], op.name)
        self._with_activation(k, op, kind, (*_CONV_FUSES, "hard-swish"))
        self.turned.add(op.outputs[0])

    # Q/DQ graphs

    def _int8(self, op: Operator) -> None:
        quantized = op.kind in _INT8_KINDS or (op.kind == "activation" and function(op) in _INT8_FUNCTIONS)
        if op.op in ("Div", "Pow", "DequantizeLinear"):
            quantized = False
        if op.kind == "quantize":
            self._emit("dequantize" if op.op == "DequantizeLinear" else "quantize", op)
            return
        for i in op.inputs:
            self._prepared(i, op, quantized)
        self._emit(self._kind(op), op)
        follows = any(self._is_turned(i) for i in op.inputs) and op.kind not in ("reshape", "matmul", "transpose")
        if op.kind in ("conv", "dwconv") or follows:
            self.turned.update(op.outputs)
        own = FUNCTION.get(op.activation.lower(), op.activation.lower())
        if op.kind in ("conv", "dwconv", "dense") and own not in _RANGES:
            self._activation_int8(own, op)
        elif op.kind == "dense" and op.op == "MatMul" and op.params > op.macs // max(1, self._rows(op)):
            self._single("add:broadcast", op.name, op.outputs[0], op.outputs[0])
        elif not quantized:
            for o in op.outputs:
                if self.workload.tensors[o].bits == 8:
                    self._single("quantize", op.name, o, o)

    def _prepared(self, tensor: int, op: Operator, quantized: bool) -> None:
        """Converts and turns an input where the kernel wants it otherwise."""
        bits = 8 if tensor in self.narrow else self.workload.tensors[tensor].bits
        if quantized and bits > 8 and op.kind in ("conv", "dwconv", "dense"):
            self._single("quantize", op.name, tensor, tensor)
            self.narrow.add(tensor)
        elif not quantized and bits == 8:
            self._single("dequantize", op.name, tensor, tensor)
        is_map = len(self.workload.tensors[tensor].shape) == 3
        wants = op.kind in ("conv", "dwconv")
        leaves = op.kind in ("reshape", "matmul", "resize")
        if (
            is_map
            and tensor not in self.both
            and ((wants and not self._is_turned(tensor)) or (leaves and self._is_turned(tensor)))
        ):
            self._single("turn", op.name, tensor, tensor)
            self.both.add(tensor)

    def _activation_int8(self, own: str, op: Operator) -> None:
        """An activation that the reader took into its operator, as the kernels of its own that it has here."""
        out = op.outputs[0]
        if own not in _INT8_FUNCTIONS:
            self._single("dequantize", op.name, out, out)
        self._single(f"activation:{own}", op.name, out, out)
        if own not in _INT8_FUNCTIONS:
            self._single("quantize", op.name, out, out)

    def _rows(self, op: Operator) -> int:
        shape = self.workload.tensors[op.inputs[0]].shape
        return prod(shape[:-1])
