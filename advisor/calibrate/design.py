"""What a calibration measures: whole networks from small to large, and the single kernels that tell most."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import log, prod
from random import Random
from typing import Literal

from advisor.calibrate import structures
from advisor.calibrate.graph import Graph, Op, Shape, Sketch
from specs.chip import Precision

Role = Literal["network", "kernel"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
MAX_NETWORKS = 60
OWN_SHARE = 0.45
"""Networks of the product's own families: what a search prices most."""
MAX_MACS = 1e9
"""Beyond this one network takes more of the time than it tells."""
POOL = 10
"""Networks drawn for each chosen one, which are then taken evenly from small to large."""
KERNELS = 480
NARROW = 16
"""Channels of the input that fill no block of an instruction set: such convolutions take another path."""
RAGGED_SHARE = 0.4
"""Convolutions given channels that fill no vector: pruned networks have them, published ones seldom."""


@dataclass(frozen=True)
class Item:
    """One file to time. `id` tells its content; `family` is what cross-validation keeps together."""

    id: str
    role: Role
    family: str
    precision: Precision
    graph: Graph


def network_items(count: int, seed: int, precisions: Sequence[Precision] = PRECISIONS) -> list[Item]:
    """`count` networks in each precision, families in turn, sizes spread evenly within each."""
    rng = Random(seed)  # noqa: S311 - a seeded draw is the point
    own: list[tuple[str, Callable[[], Graph]]] = [(n, partial(structures.own, n, rng)) for n in structures.OWN]
    generic = list(structures.generic(rng).items())
    first = round(count * OWN_SHARE)
    found: list[Graph] = []
    for draws, wanted in ((own, first), (generic, count - first)):
        for i, (name, draw) in enumerate(draws):
            each = wanted // len(draws) + (i < wanted % len(draws))
            pool = sorted((_bounded(draw) for _ in range(POOL * each)), key=macs)
            found += [replace(pool[POOL * j + POOL // 2], name=name) for j in range(each)]
    return [_item(graph, "network", graph.name, precision) for graph in found for precision in precisions]


def kernel_items(count: int, seed: int, precisions: Sequence[Precision] = PRECISIONS) -> list[Item]:
    """`count` single operators in each precision: those met in random networks, half of them as different as can be."""
    return [_item(g, "kernel", "kernel", p) for g in _kernels(count, seed) for p in precisions]


def _kernels(count: int, seed: int) -> list[Graph]:
    rng = Random(seed)  # noqa: S311 - a seeded draw is the point
    draws: list[Callable[[], Graph]] = []
    for name in 2 * structures.OWN:
        draws.append(partial(structures.own, name, rng))
    draws += list(structures.generic(rng).values())
    met: dict[str, Graph] = {}
    for draw in draws * 16:
        graph = draw()
        shapes = graph.shapes()
        for op in graph.ops:
            single = _single(op, [shapes[name] for name in op.inputs])
            if macs(single) <= MAX_MACS / 10:
                met.setdefault(_digest(single), single)
    groups: dict[str, list[Graph]] = {}
    for single in met.values():
        groups.setdefault(_group(single), []).append(single)
    chosen: list[Graph] = []
    total = sum(WEIGHT.get(name, 1.0) for name in groups)
    for name in sorted(groups):
        pool = groups[name]
        rng.shuffle(pool)
        wanted = max(3, round(count * WEIGHT.get(name, 1.0) / total))
        apart = _spread(pool[:400], (wanted + 1) // 2)
        taken = {id(g) for g in apart}
        chosen += apart + [g for g in pool if id(g) not in taken][: wanted - len(apart)]
    chosen = [_ragged(g, rng) if rng.random() < RAGGED_SHARE else g for g in chosen]
    return chosen + [_single(op, shapes) for op, shapes in _extra(rng)]


def _ragged(graph: Graph, rng: Random) -> Graph:
    """The same convolution or dense layer with channels in fours; other operators as they are."""
    op, shape = graph.ops[0], graph.inputs[0][1]
    channels = shape[-1]
    if op.kind not in ("conv", "dense") or op.groups not in (1, channels):
        return graph

    def near(count: int) -> int:
        return max(4, round(count * rng.uniform(0.7, 1.2) / 4) * 4)

    inner = near(channels) if channels > 3 else channels
    whole = op.groups == channels and channels > 1
    changed = replace(op, out=inner if whole else near(op.out), groups=inner if whole else 1)
    return _single(changed, [(*shape[:-1], inner)])


WEIGHT = {"conv1": 12.0, "conv": 10.0, "first": 4.0, "narrow": 8.0, "grouped": 4.0, "depthwise 0": 7.0,
          "depthwise 1": 5.0, "depthwise 3": 4.0, "dense": 4.0, "global-pool": 1.5, "add": 1.5, "mul": 1.5, "mean": 3.0,
          "slice": 1.5, "concat": 1.5}  # fmt: skip
"""Shares of kernel measurements by group; what is not named has 1."""


def reference() -> Graph:
    """The model every other is timed beside: some of everything, about 100 µs on a desktop core."""
    s = Sketch("reference", (64, 64, 3))
    s.conv(24, 3, 2)
    for out, stride in ((32, 1), (48, 2), (48, 1)):
        source = s.last
        s.dwconv(3, stride)
        s.conv(out)
        if s.shape(source) == s.shape():
            s.join(source, s.last)
    s.conv(48, 3)
    return s.head(10, 64)


def macs(graph: Graph) -> int:
    """Multiplications of a graph's convolutions and dense layers."""
    shapes = graph.shapes()
    total = 0
    for op in graph.ops:
        channels = shapes[op.inputs[0]][-1]
        if op.kind in ("conv", "dense"):
            total += prod(shapes[op.name]) * channels // op.groups * prod(op.kernel)
        elif op.kind in ("scores", "mix"):
            total += prod(shapes[op.name]) * channels
    return total


def _bounded(draw: Callable[[], Graph]) -> Graph:
    graph = draw()
    while macs(graph) > MAX_MACS:
        graph = draw()
    return graph


def _item(graph: Graph, role: Role, family: str, precision: Precision) -> Item:
    return Item(f"{role}-{precision}-{_digest(graph)}", role, family, precision, graph)


def _digest(graph: Graph) -> str:
    text = json.dumps([graph.inputs, [asdict(op) for op in graph.ops]], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _single(op: Op, shapes: Sequence[Shape]) -> Graph:
    inputs = tuple((f"input{i}" if i else "input", shape) for i, shape in enumerate(shapes))
    same = len(set(op.inputs)) < len(op.inputs)
    names = tuple(name for name, _ in inputs)
    if same:
        inputs, names = inputs[:1], ("input",) * len(op.inputs)
    return Graph("kernel", inputs, (replace(op, name=f"{op.kind.replace('-', '_')}_0", inputs=names),))


def _group(graph: Graph) -> str:
    op, channels = graph.ops[0], graph.inputs[0][1][-1]
    if op.kind != "conv":
        return f"{op.kind} {op.act}" if op.kind == "act" else op.kind
    if channels <= 3:
        return "first"
    if op.groups == 1 and channels < NARROW:
        return "narrow"
    if op.groups == channels:
        return f"depthwise {op.kernel[0] * op.kernel[1] // 16}"
    return "grouped" if op.groups > 1 else "conv1" if op.kernel == (1, 1) else "conv"


def _features(graph: Graph) -> tuple[float, ...]:
    op, shape = graph.ops[0], graph.inputs[0][1]
    out = graph.shapes()[op.name]
    positions, channels = prod(shape[:-1]), shape[-1]
    values = (positions, channels, out[-1], prod(op.kernel), op.stride, op.groups)
    return tuple(log(v + 1e-9) for v in values)


def _spread(pool: list[Graph], count: int) -> list[Graph]:
    """Greedily the graphs farthest from those already chosen."""
    points = [_features(g) for g in pool]
    chosen = [0]
    distance = [_square(p, points[0]) for p in points]
    while len(chosen) < min(count, len(pool)):
        best = max(range(len(pool)), key=distance.__getitem__)
        if distance[best] <= 0:
            break
        chosen.append(best)
        distance = [min(d, _square(p, points[best])) for d, p in zip(distance, points, strict=True)]
    return [pool[i] for i in chosen]


def _square(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def _extra(rng: Random) -> list[tuple[Op, list[Shape]]]:
    """Operators of exporters that the structures do not draw."""
    found: list[tuple[Op, list[Shape]]] = []
    for _ in range(6):
        shape = (rng.choice((7, 14, 28, 56)), rng.choice((7, 14, 28, 56)), rng.choice((16, 40, 96, 192)))
        found.append((Op("", "pad", ("x",)), [shape]))
        found.append((Op("", "global-pool", ("x",), factor=2), [shape]))
        found.append((Op("", "mean", ("x",)), [shape]))
        found.append((Op("", "transpose", ("x",)), [shape]))
    return found
