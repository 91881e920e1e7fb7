"""The corners of a search space: the few networks among which every smallest figure of the whole space is found.

Own families scale channels with some dimensions (`width`, `growth`, `expansion`) and with pruning, and change the
graph with the others. For one graph, MACs, parameters, activation bytes and file overhead only grow with the channels,
and the channels of every layer only grow with those dimensions and with the kept share. So the least of the space is
the least over all graphs at the lowest channels: the other dimensions and all input shapes are enumerated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import Literal

from advisor.candidate import PRECISION, Value
from advisor.network.description import Network
from advisor.network.to_workload import to_workload
from advisor.space.families import Dimension
from advisor.space.prune import prune
from advisor.space.search_space import SearchSpace, is_opaque, load_family, make_candidate, network_of
from cost_models.flash import format_overhead_bytes
from cost_models.memory import live_bytes, persistent_bytes
from cost_models.workload import Workload
from specs.chip import Precision

CHANNELS = {
    "dscnn": ("width", "growth"),
    "mobilenet": ("width", "expansion"),
    "resnet": ("width",),
    "tcn": ("width",),
}
"""Dimensions of the own families that scale channels in multiples of 4 and change nothing else."""
MOST_NETWORKS = 3000
"""Of a third-party family, whose dimensions may do anything, all networks are built; beyond this many it is taken as
opaque."""

Format = Literal["onnx", "tflite"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Corner:
    """A candidate of a corner, and the floors of what it needs whatever the target; `workload` None: opaque."""

    architecture: str
    params: tuple[tuple[str, Value], ...]
    shape: Shape
    pruning: tuple[float, ...]
    quantization: str
    workload: Workload | None
    live_bytes: int = 0
    """Activations alive at once: no planner needs less."""
    records_bytes: int = 0
    """TFLM's own structures, at the low end."""
    weight_bytes: int = 0
    file_bytes: int = 0
    """The model file, at the low end."""
    macs: int = 0
    window_macs: int = 0
    """MACs of convolutions wider than one position, which Winograd's transforms may save."""

    def describe(self, classes: int) -> str:
        if self.workload is None:
            return f"{self.architecture} (known after export only)"
        shape = "×".join(map(str, self.shape))
        made = make_candidate(self.architecture, self.params, self.shape, self.pruning, self.quantization, classes)
        return f"{made.describe()} · input {shape}"


def corners(space: SearchSpace, format: Format) -> tuple[Corner, ...]:
    """The corners of `space` in a runtime's format, one for each of its precisions."""
    found: list[Corner] = []
    ratio = max(space.pruning)
    for precision, quantization in precisions(space).items():
        for name in space.architectures:
            found += _corners(name, space.shapes, space.classes, ratio, precision, quantization, format)
    return tuple(found)


def precisions(space: SearchSpace) -> dict[Precision, str]:
    """The precisions of the space's quantization recipes, each with the first recipe that gives it."""
    found: dict[Precision, str] = {}
    for recipe in space.quantization:
        found.setdefault(PRECISION[recipe], recipe)
    return found


@lru_cache(maxsize=512)
def _corners(
    architecture: str, shapes: tuple[Shape, ...], classes: int, ratio: float, precision: Precision, quantization: str,
    format: Format,
) -> tuple[Corner, ...]:  # fmt: skip
    networks = _networks(architecture, shapes, classes, ratio)
    if networks is None:
        return (Corner(architecture, (), shapes[0], (), quantization, None),)
    found = []
    for params, shape, pruning, network in networks:
        workload = to_workload(network, precision, format)
        windows = sum(op.macs for op in workload.operators if op.kind == "conv" and max(op.kernel) > 1)
        weights = workload.weight_bytes
        found.append(
            Corner(
                architecture,
                params,
                shape,
                pruning,
                quantization,
                workload,
                live_bytes=live_bytes(workload),
                records_bytes=persistent_bytes(workload)[0],
                weight_bytes=weights,
                file_bytes=weights + format_overhead_bytes(workload)[0],
                macs=workload.macs,
                window_macs=windows,
            )
        )
    return tuple(found)


_Built = tuple[tuple[tuple[str, Value], ...], Shape, tuple[float, ...], Network]


@lru_cache(maxsize=64)
def _networks(architecture: str, shapes: tuple[Shape, ...], classes: int, ratio: float) -> tuple[_Built, ...] | None:
    """Every graph of a family at its lowest channels, pruned; None for what cannot be told without exporting."""
    if is_opaque(architecture):
        return None
    family = load_family(architecture)
    low = CHANNELS.get(architecture, ())
    # the search takes the dimensions of the natural shape for all shapes
    dimensions = family.dimensions(shapes[0])
    grids = [_grid(dimension, dimension.name in low) for dimension in dimensions]
    if prod(map(len, grids)) * len(shapes) > MOST_NETWORKS:
        return None
    ratios = (ratio,) * family.stages if ratio else ()
    found: list[_Built] = []
    for shape, values in product(shapes, product(*grids)):
        params = tuple(sorted((d.name, value) for d, value in zip(dimensions, values, strict=True)))
        found.append((params, shape, ratios, prune(network_of(architecture, params, shape, classes), ratios)))
    return tuple(found)


def _grid(dimension: Dimension, lowest: bool) -> tuple[Value, ...]:
    values = dimension.grid()
    return (min(values),) if lowest else values


def smallest(found: tuple[Corner, ...], key: Callable[[Corner], float]) -> Corner:
    """The corner with the least `key`; opaque ones have 0 of everything."""
    return min(found, key=key)
