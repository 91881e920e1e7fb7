"""The text of an ncnn `.param` file: magic number, number of layers, then a line a layer."""

from __future__ import annotations

from dataclasses import dataclass

from cost_models.read_common import MAX_ELEMENTS, MAX_OPERATORS, MAX_REFERENCES, checked_shape
from specs.errors import ModelFileError

Shape = tuple[int, ...]
"""As numpy would print an ncnn Mat: (w), (h, w), (c, h, w) or (c, d, h, w)."""
MAGIC = b"7767517"
MAX_LINE = 1 << 16
SHAPE_HINTS = 30
"""The array parameter in which ncnnoptimize notes an output's dimensions, width, height, channels."""
SIZES = (0, 1, 2, 3, 6, 7, 8, 9, 11)
"""Parameters that are sizes or switches in the layers that have weights."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a .param file; `numbers` and `arrays` are its parameters by id."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[int, float]
    arrays: dict[int, tuple[float, ...]]

    def integer(self, key: int, default: int = 0) -> int:
        return int(self.numbers.get(key, default))

    def integers(self, key: int) -> tuple[int, ...]:
        return tuple(int(v) for v in self.arrays.get(key, ()))

    def sides(self, width: int, height: int, depth: int, default: int) -> Shape:
        """A parameter given for each spatial axis, outermost first; what is not given is as the width."""
        wide = self.integer(width, default)
        if self.op.endswith("1D"):
            return (wide,)
        high = self.integer(height, wide)
        return (self.integer(depth, wide), high, wide) if self.op.endswith("3D") else (high, wide)


def kernel(layer: Layer) -> Shape:
    return layer.sides(1, 11, 21, 0)


def stride(layer: Layer) -> Shape:
    return layer.sides(2, 12, 22, 1) if layer.op.startswith("Pooling") else layer.sides(3, 13, 23, 1)


def parse(data: bytes) -> list[Layer]:
    """The lines of a .param file, in execution order as ncnn demands it."""
    if not data.lstrip().startswith(MAGIC):
        raise ModelFileError("not an ncnn graph", allowed=f"text that begins with {MAGIC.decode()}",
                             next="pass the .param file, not .bin or .param.bin")  # fmt: skip
    if data.count(b"\n") > MAX_OPERATORS + 4:
        raise ModelFileError("too many layers", allowed=f"{MAX_OPERATORS}")
    lines = [line for line in data.splitlines() if line.strip()]
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        raise ModelFileError("a line is too long for a layer", seen=longest, allowed=f"{MAX_LINE} bytes")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(c.isdigit() and len(c) < 10 for c in counts):
        raise ModelFileError("the second line is not the number of layers and blobs", seen=counts[:4])
    if int(counts[0]) > len(lines) - 2:
        raise ModelFileError("layers are missing: the file is truncated", seen=f"{len(lines) - 2} of {int(counts[0])}")
    references = 0
    layers = []
    for line in lines[2 : 2 + int(counts[0])]:  # what follows, ncnn does not read either
        layers.append(_layer(line.decode("utf-8", "replace").split()))
        references += len(layers[-1].inputs) + len(layers[-1].outputs)
        if references > MAX_REFERENCES:
            raise ModelFileError("too many inputs and outputs", allowed=f"{MAX_REFERENCES}")
    return layers


def _layer(words: list[str]) -> Layer:
    if len(words) < 4 or not (words[2].isdigit() and words[3].isdigit()):
        raise ModelFileError("a line is not a layer", seen=" ".join(words)[:80],
                             allowed="type, name, number of inputs and outputs, blobs, parameters")  # fmt: skip
    reads, writes = int(words[2]), int(words[3])
    if reads + writes > len(words) - 4:
        raise ModelFileError(f"layer {words[1][:80]!r} has fewer blobs than it says", seen=f"{reads} in, {writes} out")
    numbers: dict[int, float] = {}
    arrays: dict[int, tuple[float, ...]] = {}
    for word in words[4 + reads + writes :]:
        key, _, value = word.partition("=")
        number = int(key)
        if number <= -23300:
            values = [float(v) for v in value.split(",")]
            if int(values[0]) != len(values) - 1:
                raise ModelFileError(f"an array of layer {words[1][:80]!r} is not as long as it says", seen=word[:80])
            arrays[-23300 - number] = tuple(values[1:])
        else:
            numbers[number] = 0.0 if value.startswith('"') else float(value)
    # bounds of a Clip may be infinite; sizes, strides and switches are whole numbers of sane size
    if words[0] != "Clip" and not all(abs(v) <= MAX_ELEMENTS for k, v in numbers.items() if v != v or k in SIZES):
        raise ModelFileError(f"absurd parameter of layer {words[1][:80]!r}", seen=" ".join(words)[-80:])
    ins, outs = words[4 : 4 + reads], words[4 + reads : 4 + reads + writes]
    return Layer(words[0][:100], words[1][:200], tuple(ins), tuple(outs), numbers, arrays)


def given(layer: Layer) -> Shape:
    """The shape an Input or MemoryData layer states, or the empty one."""
    sides = [layer.integer(key) for key in (2, 11, 1, 0)]
    return checked_shape((s for s in sides if s), layer.name) if all(s >= 0 for s in sides) else ()


def hints(layer: Layer) -> list[Shape]:
    values = layer.integers(SHAPE_HINTS)
    found = []
    for at in range(0, len(values) - 3, 4):
        dims, w, h, c = values[at : at + 4]
        found.append({1: (w,), 2: (h, w), 3: (c, h, w)}.get(dims, ()))
    return found if all(found) and all(side > 0 for shape in found for side in shape) else []
