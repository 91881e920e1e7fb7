"""Multiply-accumulates of TFLite operators from the shapes of their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from cost_models.tflite_kinds import BITS, KINDS_BY_OP


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor as the file has it: batch included, `type` by schema.fbs, `dynamic` where a side is told at run time."""

    name: str
    shape: tuple[int, ...]
    type: int
    constant: bool
    variable: bool
    dynamic: bool

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bits(self) -> int:
        return BITS[self.type]


def macs_of(op_name: str, out: FileTensor | None, activations: Sequence[FileTensor], filter_: FileTensor | None,
            weights: Sequence[FileTensor]) -> int:  # fmt: skip
    """Of one operator with its output, varying inputs, filter and all constant weights."""
    if out is None or not activations:
        return 0
    if filter_ is not None and filter_.shape:
        if op_name in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"):
            # scatters: each input element meets kernel × out-channels weights
            return activations[-1].elements * filter_.elements // max(1, filter_.shape[-1])
        if op_name in ("CONV_3D", "DEPTHWISE_CONV_2D"):
            return out.elements * filter_.elements // max(1, filter_.shape[-1])
        if op_name in ("CONV_2D", "FULLY_CONNECTED"):
            return out.elements * filter_.elements // max(1, filter_.shape[0])
    if op_name == "BATCH_MATMUL":
        return out.elements * activations[0].shape[-1] if activations[0].shape else 0
    if KINDS_BY_OP.get(op_name) == "recurrent":
        steps = activations[0].shape[-2] if len(activations[0].shape) > 2 else 1
        return steps * sum(w.elements for w in weights if len(w.shape) == 2)
    return 0
