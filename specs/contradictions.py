"""What a spec may not ask for at once, refused before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specs.errors import SpecError
from specs.reading import Node
from specs.search import OWN_MODEL
from specs.units import human

if TYPE_CHECKING:
    from specs.chip import MemoryKind
    from specs.spec import Spec

FIXED = (".onnx", ".tflite")
"""Models of the user's own that no training changes."""


def check_contradictions(spec: Spec, top: Node) -> None:
    """Hold the parts of `spec` against each other; `top` is the document it was read from.

    Raises:
        SpecError: with the key path of the part that the others rule out.
    """
    _reserved(spec, top)
    if (spec.task.frontend, spec.task.normalization) == ("raw", "sample"):
        raise SpecError("a raw waveform has no features to subtract a mean from", where=top.at("task.normalization"),
                        seen="sample", allowed="auto, training", next="set `frontend: mfcc`")  # fmt: skip
    if spec.limit("accuracy_drop") and not spec.baseline:
        where = top.at("limits.accuracy_drop")
        raise SpecError("an accuracy drop needs a baseline", where=where, next="add `baseline: {model: FILE}`")
    if spec.search.harden:
        _harden(spec, top)
    # `mixed` is int8 with some layers in float
    wanted = {name.split("-")[0].replace("mixed", "int8") for name in spec.search.quantization}
    for target in spec.targets:
        runs = target.runtime.precisions
        if wanted and wanted.isdisjoint(runs):
            problem, seen = f"{target.id} runs none of these", ", ".join(spec.search.quantization)
            raise SpecError(problem, where=top.at("search.quantization"), seen=seen, allowed=", ".join(runs))


def _reserved(spec: Spec, top: Node) -> None:
    kinds: tuple[MemoryKind, MemoryKind]
    for name, kinds, what in (("peak_ram", ("ram", "dram"), "RAM"), ("flash", ("flash", "storage"), "flash")):
        limit = spec.limit(name)
        if limit is None or not limit.reserved_bytes:
            continue
        where, seen = top.at(f"limits.{name}.reserved"), human(limit.reserved_bytes, "B")
        for target in spec.targets:
            size = target.chip.memory_bytes(*kinds)
            if size is not None and limit.reserved_bytes > size:
                problem, allowed = f"reserved is more than the {what} of {target.chip.id}", human(size, "B")
                raise SpecError(problem, where=where, seen=seen, allowed=f"at most {allowed}")
        if limit.reserved_bytes >= limit.bound:
            allowed = f"below max, {human(limit.bound, 'B')}"
            raise SpecError("reserved leaves nothing of the limit", where=where, seen=seen, allowed=allowed)


def _harden(spec: Spec, top: Node) -> None:
    where, names = top.at("search.harden"), spec.search.architectures
    if not spec.limit("robust_accuracy"):
        hint = "add `robust_accuracy: {min: …, under: […]}` to limits, `soft: true` if it is a wish"
        raise SpecError("nothing to harden against", where=where, seen=True, next=hint)
    if names and all(name.startswith(OWN_MODEL) and name.lower().endswith(FIXED) for name in names):
        raise SpecError(f"nothing is trained: {' and '.join(FIXED)} files are compressed as they are", where=where,
                        seen=True, next="remove `harden`, or add a family to search.architectures")  # fmt: skip
