"""What the readers of both formats share: limits on what a file may claim, and the tensors met so far."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from cost_models.workload import Operator, Tensor
from specs.chip import Precision
from specs.errors import ModelFileError

MAX_TENSORS = 200_000
MAX_OPERATORS = 100_000
MAX_REFERENCES = 2_000_000
"""Inputs and outputs of all operators together: real networks have some three an operator."""
MAX_ELEMENTS = 1 << 34
"""Elements of one tensor: beyond any network that was ever stored in a file of the allowed size."""
MAX_RANK = 16
MAX_FILE_BYTES = 1 << 30


def checked_shape(dims: Iterable[int], what: str) -> tuple[int, ...]:
    """`dims` as a shape of sane rank and size.

    Raises:
        ModelFileError: negative or absurd dimensions.
    """
    shape = tuple(int(d) for d in dims)
    elements = 1
    for dim in shape[: MAX_RANK + 1]:
        elements *= dim if dim > 0 else 1
        if dim < 0 or elements > MAX_ELEMENTS:
            break
    else:
        if len(shape) <= MAX_RANK:
            return shape
    raise ModelFileError(f"absurd dimensions of {what!r}", seen=list(shape[:8]),
                         allowed=f"at most {MAX_RANK} dimensions ≥ 0 and {MAX_ELEMENTS} elements")  # fmt: skip


def without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without its batch of 1; a batch fixed at another size stays, as the file computes all of it."""
    return shape[1:] if shape and shape[0] == 1 else shape


class Tensors:
    """The activations met so far in the order they were added, each once."""

    def __init__(self) -> None:
        self._index: dict[object, int] = {}
        self._tensors: list[Tensor] = []

    def add(self, key: object, tensor: Tensor) -> int:
        if key not in self._index:
            self._index[key] = len(self._tensors)
            self._tensors.append(tensor)
        return self._index[key]

    def index(self, key: object) -> int:
        return self._index[key]

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def at(self, index: int) -> Tensor:
        return self._tensors[index]

    def replace(self, index: int, tensor: Tensor) -> None:
        self._tensors[index] = tensor

    def rename(self, old: object, new: object) -> None:
        """The same tensor is from now on met under `new`."""
        self._index[new] = self._index[old]

    def all(self) -> tuple[Tensor, ...]:
        return tuple(self._tensors)


def precision_of(operators: Iterable[Operator], weight_bits: Iterable[int]) -> Precision:
    """What most MACs are done in, told by the bits of each operator's weights (0: it has none)."""
    macs = {"int8": 0, "fp16": 0, "fp32": 0}
    for op, bits in zip(operators, weight_bits, strict=True):
        if op.macs and bits:
            macs["int8" if bits <= 8 else "fp16" if bits <= 16 else "fp32"] += op.macs
    best: Precision = "fp32"
    if macs["int8"] > max(macs["fp16"], macs["fp32"]):
        best = "int8"
    elif macs["fp16"] > macs["fp32"]:
        best = "fp16"
    return best


def read_bounded(path: Path) -> bytes:
    """The bytes of a regular file of at most MAX_FILE_BYTES."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ModelFileError("not a regular file", where=str(path), next="pass an .onnx, .tflite or .param file")
        if info.st_size > MAX_FILE_BYTES:
            raise ModelFileError("file too large", where=str(path), seen=f"{info.st_size} bytes",
                                 allowed=f"{MAX_FILE_BYTES} bytes")  # fmt: skip
        with path.open("rb") as file:
            data = file.read(info.st_size)  # a larger claim would be reserved at once
    except OSError as error:
        raise ModelFileError("cannot read", where=str(path), seen=error.strerror, next="check the path") from None
    if not data:
        raise ModelFileError("file is empty", where=str(path))
    return data
