"""Networks to be timed, not trained: operators with shapes only, written with arbitrary weights.

Wider than `advisor.network`, which describes what the search builds: also grouped convolutions, attention,
normalisation, and the activations of published networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from advisor.network.description import Network

Shape = tuple[int, ...]
"""Without batch, channels last: (H, W, C), (tokens, C) or (C,); attention scores are (heads, tokens, tokens)."""
FUSED = ("", "relu", "relu6")
"""Activations that every runtime computes inside the operator before."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator. `kind`: conv, dense, max-pool, avg-pool, global-pool, add, mul, act, softmax, norm, heads, merge,
    scores, mix, tokens, flatten, concat, slice, resize, pad, transpose, mean (a global pool as a reduction).

    `act` is fused for conv, dense and add (one of FUSED) and names the function for `act`. `groups` equal to the input
    channels is a depthwise convolution. `factor` is the heads of attention, the scale of `resize` or the first channel
    of a `slice` of `out` channels.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    out: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1
    act: str = ""
    factor: int = 1
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Graph:
    """Operators in execution order; what none of them reads is an output."""

    name: str
    inputs: tuple[tuple[str, Shape], ...]
    ops: tuple[Op, ...]

    def outputs(self) -> list[str]:
        read = {name for op in self.ops for name in op.inputs}
        return [op.name for op in self.ops if op.name not in read]

    def shapes(self) -> dict[str, Shape]:
        """Of every tensor, by name."""
        found = dict(self.inputs)
        for op in self.ops:
            found[op.name] = _shape(op, [found[name] for name in op.inputs])
        return found


class Sketch:
    """Appends operators with generated names; `last` is what the next one reads."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.inputs = name, [("input", shape)]
        self.ops: list[Op] = []
        self.last = "input"
        self._shapes: dict[str, Shape] = {"input": shape}

    def shape(self, name: str | None = None) -> Shape:
        return self._shapes[name or self.last]

    @property
    def channels(self) -> int:
        return self.shape()[-1]

    def add_op(self, kind: str, *inputs: str, **fields: object) -> str:
        name = f"{kind.replace('-', '_')}_{len(self.ops)}"
        op = Op(name, kind, inputs or (self.last,), **fields)  # type: ignore[arg-type]  # fields of Op
        self.ops.append(op)
        self._shapes[name] = _shape(op, [self._shapes[i] for i in op.inputs])
        self.last = name
        return name

    def conv(self, out: int, kernel: int = 1, stride: int = 1, act: str = "relu", groups: int = 1) -> str:
        """Convolution and its activation, as an operator of its own where runtimes do not fuse it."""
        height, width, _ = self.shape()
        size = (min(kernel, _odd(height)), min(kernel, _odd(width)))
        fused = act if act in FUSED else ""
        self.add_op("conv", out=out, kernel=size, stride=stride, groups=groups, act=fused)
        return self.act(act) if not fused and act else self.last

    def dwconv(self, kernel: int = 3, stride: int = 1, act: str = "relu") -> str:
        return self.conv(self.channels, kernel, stride, act, self.channels)

    def act(self, function: str) -> str:
        """An activation as an operator; `silu` is the sigmoid and the product that exporters write."""
        if function != "silu":
            return self.add_op("act", act=function)
        source = self.last
        return self.add_op("mul", source, self.add_op("act", act="sigmoid"))

    def squeeze_excite(self, out: int, act: str = "relu", gate: str = "sigmoid") -> str:
        source, channels = self.last, self.channels
        self.add_op("mean")
        self.conv(out, act=act)
        self.conv(channels, act=gate)
        return self.add_op("mul", source, self.last)

    def join(self, first: str, second: str, act: str = "") -> str:
        fused = act if act in FUSED else ""
        self.add_op("add", first, second, act=fused)
        return self.act(act) if act and not fused else self.last

    def head(self, classes: int, hidden: int = 0, act: str = "relu") -> Graph:
        """Global mean, dense layers, done."""
        if len(self.shape()) == 3:
            if self.shape()[:2] != (1, 1):
                self.add_op("global-pool", factor=2)
            self.add_op("flatten")
        if hidden:
            self.add_op("dense", out=hidden, act=act if act in FUSED else "")
            if act not in FUSED:
                self.act(act)
        self.add_op("dense", out=classes)
        return self.done()

    def done(self) -> Graph:
        return Graph(self.name, tuple(self.inputs), tuple(self.ops))


def of_network(network: Network, name: str) -> Graph:
    """A network of the product's own families."""
    ops: list[Op] = []
    names: dict[str, str] = {"input": "input"}
    shapes: dict[str, Shape] = {"input": network.input_shape}
    for layer in network.layers:
        kind = {"dwconv": "conv", "scale": "mul"}.get(layer.kind, layer.kind)
        fused = layer.activation if layer.activation in FUSED else ""
        inputs = tuple(names[i] for i in layer.inputs)
        groups = network.in_channels(layer) if layer.kind == "dwconv" else 1
        out = layer.out or (groups if layer.kind == "dwconv" else 0)
        ops.append(Op(layer.name, kind, inputs, out, layer.kernel, max(layer.stride), groups, fused, 1, layer.dilation))
        names[layer.name] = layer.name
        if layer.activation and not fused:
            ops.append(Op(f"{layer.name}_act", "act", (layer.name,), act=layer.activation))
            names[layer.name] = f"{layer.name}_act"
        shapes[layer.name] = network.shapes[layer.name]
    return Graph(name, (("input", network.input_shape),), tuple(ops))


def attention(graph: Graph) -> set[str]:
    """The tensors of attention, (heads, tokens, …): three dimensions without being maps."""
    found: set[str] = set()
    for op in graph.ops:
        if op.kind in ("scores", "mix", "merge"):
            found.update(op.inputs)
        if op.kind in ("heads", "scores", "mix") or (
            op.kind in ("softmax", "act", "mul", "add") and found & set(op.inputs)
        ):
            found.add(op.name)
    return found


def padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME padding of one side: before, after."""
    total = max((ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _odd(extent: int) -> int:
    return extent if extent % 2 else extent + 1


def _shape(op: Op, inputs: list[Shape]) -> Shape:
    first = inputs[0]
    if op.kind in ("conv", "max-pool", "avg-pool"):
        channels = op.out if op.kind == "conv" else first[-1]
        return (ceil(first[0] / op.stride), ceil(first[1] / op.stride), channels)
    if op.kind in ("global-pool", "mean"):
        return (1, 1, first[-1])
    if op.kind in ("dense", "slice"):
        return (*first[:-1], op.out)
    if op.kind == "flatten":
        return (prod(first),)
    if op.kind == "tokens":  # (H, W, C) → (H·W, C)
        return (prod(first[:-1]), first[-1])
    if op.kind == "heads":  # (T, C) → (heads, T, C / heads)
        return (op.factor, first[0], first[1] // op.factor)
    if op.kind == "merge":  # (heads, T, D) → (T, heads · D)
        return (first[1], first[0] * first[2])
    if op.kind == "scores":  # queries × keys transposed
        return (first[0], first[1], inputs[1][1])
    if op.kind == "mix":  # scores × values
        return (first[0], first[1], inputs[1][2])
    if op.kind == "concat":
        return (*first[:-1], sum(shape[-1] for shape in inputs))
    if op.kind == "resize":
        return (first[0] * op.factor, first[1] * op.factor, first[2])
    if op.kind == "pad":  # one more row and column on each side
        return (first[0] + 2, first[1] + 2, first[2])
    if op.kind == "transpose":
        return (first[-1], *first[:-1])
    return first
