"""The searched space of a spec on one target: dimensions in, candidates and their networks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from advisor import plugins
from advisor.candidate import PRECISION, Candidate, Value
from advisor.network.description import Network
from advisor.network.to_workload import to_workload
from advisor.own.support import can_prune_modules
from advisor.space.families import Choice, Dimension, Family
from advisor.space.own_files import OwnFile, obtainable, own_files, own_workload
from advisor.space.prune import prune
from cost_models.workload import Workload
from specs.chip import Target
from specs.errors import SpecError
from specs.search import OWN_MODEL
from specs.spec import Spec

DEFAULT_QUANTIZATION = ("fp32", "fp16", "int8", "mixed", "int8-qat", "int8-pt2e")
TUNED = ("mixed", "int8-qat")
"""Recipes that need a runtime whose rounding is known."""


@dataclass(frozen=True)
class SearchSpace:
    """What may be proposed for `target`: architectures × their dimensions × input shape × pruning × quantization."""

    target: Target
    architectures: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    classes: int
    pruning: tuple[float, ...]
    quantization: tuple[str, ...]
    own: tuple[OwnFile, ...] = ()
    """The architectures that are files of the user's own."""

    def dimensions(self, architecture: str) -> tuple[Dimension, ...]:
        """The dimensions of one architecture, names prefixed with it; opaque backbones have none of their own."""
        if is_opaque(architecture):
            mine = next((one for one in self.own if one.architecture == architecture), None)
            able = mine.prunable if mine else can_prune_modules()
            return (Choice(f"{architecture}.pruning", self.pruning),) if able and any(self.pruning) else ()
        family = load_family(architecture)
        own = [_renamed(d, f"{architecture}.{d.name}") for d in family.dimensions(self.shapes[0])]
        if any(self.pruning):
            own += [Choice(f"{architecture}.pruning{i}", self.pruning) for i in range(family.stages)]
        return tuple(own)

    def common(self) -> tuple[Dimension, ...]:
        """Dimensions every candidate has."""
        return (
            Choice("architecture", self.architectures),
            Choice("shape", tuple(range(len(self.shapes)))),
            Choice("quantization", self.quantization),
        )

    def candidate(self, values: Mapping[str, Value]) -> Candidate:
        """The candidate for a value of every common dimension and every dimension of its architecture."""
        name = str(values["architecture"])
        mine = next((one for one in self.own if one.architecture == name), None)
        shape, recipe = self.shapes[int(values["shape"])], str(values["quantization"])
        if is_opaque(name):
            ratio = float(values.get(f"{name}.pruning", 0.0))
            params: tuple[tuple[str, Value], ...] = mine.params if mine else ()
            if mine:
                shape, recipe = mine.shape, mine.recipe(recipe, self.quantization, self.target.runtime.id)
            elif recipe == "mixed" and self.target.runtime.id == "tflm":
                recipe = "int8"  # there it is a matter of our own converter
            return make_candidate(name, params, shape, (ratio,), recipe, self.classes)
        own = {d.name.partition(".")[2]: values[d.name] for d in self.dimensions(name)}
        ratios = tuple(float(v) for k, v in sorted(own.items()) if k.startswith("pruning"))
        params = tuple(sorted((k, v) for k, v in own.items() if not k.startswith("pruning")))
        return make_candidate(name, params, shape, ratios, str(values["quantization"]), self.classes)

    def size(self) -> int:
        """How many points the space has, spellings of one network counted apart."""
        total = 0
        for name in self.architectures:
            count = 1
            for dimension in (*self.dimensions(name), *self.common()[1:]):
                count *= len(dimension.grid())
            total += count
        return total


def search_space(spec: Spec, target: Target, shapes: tuple[tuple[int, ...], ...], classes: int) -> SearchSpace:
    """The space the spec asks for, less what the target's runtime cannot run.

    Raises:
        SpecError: nothing is left, with the reason.
    """
    wanted = spec.search.quantization or DEFAULT_QUANTIZATION
    architectures = spec.search.architectures or _default_architectures(shapes[0])
    usable = tuple(q for q in wanted if _usable(q, target))
    own = own_files(spec, shapes)
    if len(own) == len(architectures):
        usable = obtainable(own, usable, target)
    if not usable:
        possible = ", ".join(q for q in DEFAULT_QUANTIZATION if _usable(q, target))
        what = f"no quantization of the spec runs on {target.id}"
        raise SpecError(what, where="search.quantization", seen=list(wanted), allowed=possible)
    return SearchSpace(target, architectures, shapes, classes, spec.search.pruning, usable, own)


def make_candidate(
    architecture: str, params: tuple[tuple[str, Value], ...], shape: tuple[int, ...], pruning: tuple[float, ...],
    quantization: str, classes: int,
) -> Candidate:  # fmt: skip
    if is_opaque(architecture):
        ratios = pruning if any(pruning) else ()
        # of a user's file the content tells: neither its path nor its name
        name = f"{OWN_MODEL}{params[0][1]}" if architecture.startswith(OWN_MODEL) else architecture
        structure = f"{name}@{'x'.join(map(str, shape))}" + "".join(f">{ratio:g}" for ratio in ratios)
        return Candidate(architecture, params, shape, ratios, quantization, structure)
    built = network_of(architecture, params, shape, classes)
    pruned = pruned_network(architecture, params, shape, classes, pruning)
    ratios = pruning if pruned is not built and pruned.id != built.id else tuple(0.0 for _ in pruning)
    structure = built.id if not any(ratios) else f"{built.id}>{pruned.id}"
    return Candidate(architecture, params, shape, ratios, quantization, structure)


@lru_cache(maxsize=4096)
def network_of(
    architecture: str, params: tuple[tuple[str, Value], ...], shape: tuple[int, ...], classes: int
) -> Network:
    """The unpruned network of an own family."""
    return load_family(architecture).build(dict(params), shape, classes)


@lru_cache(maxsize=4096)
def pruned_network(
    architecture: str, params: tuple[tuple[str, Value], ...], shape: tuple[int, ...], classes: int,
    pruning: tuple[float, ...],
) -> Network:  # fmt: skip
    """The network of an own family after pruning."""
    return prune(network_of(architecture, params, shape, classes), pruning)


def deployed_network(candidate: Candidate, classes: int) -> Network | None:
    """The network as deployed, after pruning; None for opaque backbones."""
    if is_opaque(candidate.architecture):
        return None
    return pruned_network(candidate.architecture, candidate.params, candidate.shape, classes, candidate.pruning)


def workload_of(candidate: Candidate, classes: int, runtime: str, folder: Path | None = None) -> Workload | None:
    """The workload of a candidate in a runtime's format; None where only an exported file tells.

    A user's own model is read where it lies beside the spec in `folder`.
    """
    if candidate.architecture.startswith(OWN_MODEL):
        return None if folder is None else own_workload(candidate, folder)
    network = deployed_network(candidate, classes)
    if network is None:
        return None
    return to_workload(network, candidate.precision, "onnx" if runtime == "onnxruntime" else "tflite")


def load_family(name: str) -> Family:
    family: Family = plugins.load("architectures", name)()
    return family


def is_opaque(architecture: str) -> bool:
    """Backbones we did not write and read only as exported graphs."""
    return architecture.startswith(("timm:", OWN_MODEL))


def _default_architectures(shape: tuple[int, ...]) -> tuple[str, ...]:
    if len(shape) == 2:
        return ("tcn", "dscnn", "resnet")
    features = shape[2] == 1 and shape[0] != shape[1]
    return ("dscnn", "mobilenet", "resnet", "tcn") if features else ("dscnn", "mobilenet", "resnet")


def _usable(quantization: str, target: Target) -> bool:
    if PRECISION[quantization] not in target.runtime.precisions:
        return False
    if quantization == "int8-pt2e":
        return target.runtime.id == "onnxruntime"
    if quantization in TUNED:
        return target.runtime.id in ("onnxruntime", "litert", "tflm")
    # half precision is computed in float32 on CPUs: it means something where it halves the file and nothing else
    return quantization != "fp16" or target.runtime.id == "litert"


def _renamed(dimension: Dimension, name: str) -> Dimension:
    if isinstance(dimension, Choice):
        return Choice(name, dimension.values)
    return type(dimension)(name, dimension.low, dimension.high, dimension.step)
