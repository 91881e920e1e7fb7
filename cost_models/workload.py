"""A candidate's operators as cost models read them: kinds, shapes, MACs, bytes, bit widths.

Conventions shared by every reader (own networks, ONNX, TFLite):
- batch is 1 and left out of shapes; activations are channels-last here, whatever the file's layout;
- a normalisation or activation that the runtime fuses into the operator before it is not an operator of its own,
  and constant arithmetic on weights (quantize/dequantize of constants) is none either;
- MACs: conv = out positions × kernel × in/groups × out channels; dense = in × out; depthwise alike; element-wise,
  pooling and activation operators have 0 MACs;
- parameters: weight and bias elements; quantization parameters are not parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal

from specs.chip import Precision

KINDS = (
    "conv", "dwconv", "dense", "avg-pool", "max-pool", "global-avg-pool", "add", "mul", "activation", "softmax",
    "reshape", "transpose", "pad", "concat", "resize", "quantize", "mean", "norm", "matmul", "slice", "embedding",
    "recurrent", "other",
)  # fmt: skip
Kind = str
"""One of KINDS; `other` carries the file's operator name in `Operator.op`."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: shape without batch (channels last), bits per element."""

    shape: tuple[int, ...]
    bits: int = 32

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return (self.elements * self.bits + 7) // 8


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator after fusion. `inputs`/`outputs` index `Workload.tensors` (activations only)."""

    kind: Kind
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int = 0
    params: int = 0
    weight_bytes: int = 0
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    activation: str = ""
    op: str = ""
    """The operator's name in the file (CONV_2D, Conv, …); empty for own networks."""


@dataclass(frozen=True)
class Workload:
    """A network to be costed. `file_bytes` is the exact size of the model file, or None before it is written."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    precision: Precision
    format: Literal["onnx", "tflite", "ncnn"] = "tflite"
    file_bytes: int | None = None
    unknown_ops: tuple[str, ...] = field(default=())
    """Operators the reader does not know: costed by their bytes only, and lowering the confidence."""

    @cached_property
    def macs(self) -> int:
        return sum(op.macs for op in self.operators)

    @cached_property
    def params(self) -> int:
        return sum(op.params for op in self.operators)

    @cached_property
    def weight_bytes(self) -> int:
        return sum(op.weight_bytes for op in self.operators)

    @cached_property
    def tensor_bytes(self) -> tuple[int, ...]:
        """Bytes of each activation, computed once: planners and cost models ask for them many times."""
        return tuple((prod(t.shape) * t.bits + 7) // 8 for t in self.tensors)

    def moved_bytes(self, op: Operator) -> int:
        """Bytes an operator reads and writes: activations in and out, and its weights."""
        sizes = self.tensor_bytes
        return op.weight_bytes + sum([sizes[i] for i in op.inputs]) + sum([sizes[i] for i in op.outputs])


def signal_processing(macs: int) -> Workload:
    """What runs before the network (log-mel, MFCC) as one float32 dense layer of as many MACs."""
    side = (Tensor((max(1, round(macs**0.5)),)),)
    dense = Operator("dense", "frontend", (0,), (1,), macs=macs)
    return Workload("frontend", side + side, (dense,), (0,), (1,), "fp32")
