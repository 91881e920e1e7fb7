"""Walks a protobuf message without building it: refuses files whose objects would not fit in memory."""

from __future__ import annotations

from specs.errors import ModelFileError

MAX_FIELDS = 3_000_000
"""Fields of all messages together: the largest graphs have some 10^5, each an object of some 100 bytes."""
_NESTED: dict[str, dict[int, str]] = {
    # message of onnx.proto: field number to the message it holds
    "Model": {7: "Graph", 8: "Operator set", 14: "Entry", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value", 14: "Annotation", 15: "Sparse"},
    "Node": {5: "Attribute", 9: "Entry"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 14: "Type", 15: "Type", 22: "Sparse",
                  23: "Sparse"},
    "Function": {7: "Node", 9: "Operator set", 11: "Attribute", 12: "Value", 14: "Entry"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Training": {1: "Graph", 2: "Graph", 3: "Entry", 4: "Entry"},
    "Tensor": {3: "Entry", 13: "Entry", 16: "Entry"},
    "Value": {2: "Type", 4: "Entry"},
    "Type": {1: "Type", 2: "Shape", 4: "Type", 5: "Type", 8: "Type", 9: "Type"},
    "Shape": {1: "Entry"},
    "Annotation": {2: "Entry"},
}  # fmt: skip
_PACKED = {"Tensor": (1, 4, 5, 7, 10, 11), "Attribute": (7, 8)}
"""Repeated numbers packed in one field: each becomes a number of 4 or 8 bytes, up to 8 times its size in the file."""
MAX_PACKED_BYTES = 256 << 20


def check_onnx(data: bytes) -> None:
    """Counts the fields of a serialized ONNX model.

    Raises:
        ModelFileError: broken framing, or more fields than any network has.
    """
    left = MAX_FIELDS
    packed = 0
    stack = [(0, len(data), "Model")]
    while stack:
        at, end, message = stack.pop()
        nested = _NESTED.get(message, {})
        numbers = _PACKED.get(message, ())
        while at < end:
            left -= 1
            tag, at = _varint(data, at, end)
            kind, number = tag & 7, tag >> 3
            if kind == 0:
                _, at = _varint(data, at, end)
            elif kind == 2:
                size, at = _varint(data, at, end)
                if size > end - at:
                    raise _broken()
                if number in nested:
                    stack.append((at, at + size, nested[number]))
                elif number in numbers:
                    packed += size
                at += size
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                raise _broken()
            if at > end:
                raise _broken()
            if left < 0 or packed > MAX_PACKED_BYTES or len(stack) > MAX_FIELDS:
                raise ModelFileError("the file holds more parts than any network", allowed=f"{MAX_FIELDS} fields")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _broken()


def _broken() -> ModelFileError:
    return ModelFileError(
        "not a model file", allowed="an ONNX or TFLite model", next="check that the file is whole and of that format"
    )
