"""The spec's `search`: its budget, and what may be tried."""

from __future__ import annotations

from dataclasses import dataclass

from specs.errors import SpecError
from specs.reading import EMPTY, Node
from specs.units import SECONDS, format_quantity, parse_quantity, parse_share

ARCHITECTURES = ("dscnn", "mobilenet", "resnet", "tcn")
OWN_MODEL = "model:"
"""Starts an architecture that is a model file of the user's own, its path relative to the spec file."""
QUANTIZATIONS = ("fp32", "fp16", "int8", "int8-qat", "int8-pt2e", "mixed")
MAX_PRUNING = 0.9
LEAST_TIME_S = 5.0
"""The smallest networks are trained and exported in less; nothing else is."""
SEARCH_KEYS = "trials time measurements seed architectures pruning quantization harden distil"


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """The search budget. Empty tuples mean: whatever suits the task and the target's runtime."""

    trials: int = 100
    time_s: float = 1200.0
    measurements: int = 24
    seed: int = 0
    architectures: tuple[str, ...] = ()
    pruning: tuple[float, ...] = (0.0, 0.25, 0.5)
    quantization: tuple[str, ...] = ()
    harden: bool = False
    """Train against the corruptions of `limits.robust_accuracy`."""
    distil: bool = False
    """Let the best network trained so far teach the next."""


def read_search(top: Node) -> SearchSpec:
    """The spec's `search`, defaults where it says nothing.

    Raises:
        SpecError: with the key path.
    """
    node = Node(top.raw("search", {}), top.at("search"), SEARCH_KEYS)
    default = SearchSpec()
    time_s = default.time_s
    if "time" in node:
        with node.here("time"):
            time_s = parse_quantity(node.raw("time"), SECONDS)
            if not time_s:
                raise SpecError("must be above zero", seen=time_s)
            if time_s < LEAST_TIME_S:
                raise SpecError("too short to train and export one candidate", seen=format_quantity(time_s, SECONDS),
                                allowed=f"at least {LEAST_TIME_S:g} s")  # fmt: skip
    return SearchSpec(
        trials=node.whole("trials", default.trials, low=1, high=1_000_000),
        time_s=time_s,
        measurements=node.whole("measurements", default.measurements, high=1_000_000),
        seed=node.whole("seed", default.seed, high=2**32 - 1),
        architectures=node.names("architectures", ARCHITECTURES, prefixed=("timm:NAME", f"{OWN_MODEL}PATH")),
        pruning=_pruning(node) if "pruning" in node else default.pruning,
        quantization=node.names("quantization", QUANTIZATIONS),
        harden=node.flag("harden"),
        distil=node.flag("distil"),
    )


def _pruning(node: Node) -> tuple[float, ...]:
    found: dict[float, None] = {}
    for index, ratio in enumerate(node.many("pruning")):
        with node.here(f"pruning[{index}]"):
            share = parse_share(ratio)
            if share > MAX_PRUNING:
                raise SpecError("pruning more than 90 % leaves no network", seen=ratio, allowed="0 to 0.9")
            if share in found:
                raise SpecError("named twice", seen=ratio)
            found[share] = None
    if not found:
        raise SpecError(f"{EMPTY}: at least one ratio is needed", where=node.at("pruning"), seen=[],
                        next="write [0] for no pruning")  # fmt: skip
    return tuple(found)
