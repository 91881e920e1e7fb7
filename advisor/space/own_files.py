"""Users' own models in the searched space: what can be made of them, as candidates and workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.candidate import Candidate, Value
from advisor.own.file import ModelFile, own_models, own_path, read_model_file
from advisor.own.fit import fit
from advisor.own.support import refusal, taken, unpruned
from cost_models.workload import Operator, Workload
from specs.chip import Target
from specs.errors import ModelFileError
from specs.spec import Spec

Shape = tuple[int, ...]
_BITS = {"fp32": 32, "fp16": 16, "int8": 8}
DIGITS = 12
"""Of the file's SHA-256 in a candidate: the same path with another content is another candidate."""


@dataclass(frozen=True)
class OwnFile:
    """A file among the architectures. `shape` is the task's input shape that it takes, where that is known."""

    architecture: str
    file: ModelFile
    shape: Shape

    @property
    def params(self) -> tuple[tuple[str, Value], ...]:
        return (("sha256", self.file.sha256[:DIGITS]),)

    @property
    def prunable(self) -> bool:
        return not unpruned(self.file)

    def recipe(self, wanted: str, usable: Sequence[str], runtime: str) -> str:
        """`wanted` where it can be had of the file, else plain int8 or the first of the `usable` that can."""
        able = [name for name in (wanted, "int8", *usable) if name in usable and not refusal(self.file, name, runtime)]
        return able[0] if able else wanted


def own_files(spec: Spec, shapes: Sequence[Shape]) -> tuple[OwnFile, ...]:
    """The spec's own models; whether they take the task's data is `advisor.brought`'s and feasibility's to check.

    Raises:
        ModelFileError: a file cannot be used.
    """
    found = []
    for name, file in own_models(spec).items():
        try:
            any_size = spec.task.kind == "image-classification"
            shape = fit(file, shapes[0], others=shapes[1:], any_size=any_size).shape
        except ModelFileError:
            shape = shapes[0]  # of data that was only assumed, perhaps
        found.append(OwnFile(name, file, shape))
    return tuple(found)


def obtainable(own: Sequence[OwnFile], wanted: Sequence[str], target: Target) -> tuple[str, ...]:
    """The recipes among `wanted` that can be had of at least one of the files.

    Raises:
        ModelFileError: none can, with the reason.
    """
    reasons = {q: [refusal(one.file, q, target.runtime.id) for one in own] for q in wanted}
    usable = tuple(q for q, found in reasons.items() if not all(found))
    if usable or not wanted:
        return usable
    first = next(reason for found in reasons.values() for reason in found)
    allowed = " or ".join(taken(target.runtime.id))
    raise ModelFileError(f"no model for {target.id} can be made of {own[0].file.path.name}: {first}",
                         where="search.architectures", seen=", ".join(wanted), allowed=allowed,
                         next="give such a file, or another target or quantization")  # fmt: skip


def left_out(own: Sequence[OwnFile], wanted: Sequence[str], target: Target) -> tuple[str, ...]:
    """One line for every recipe that was asked for and cannot be had of a file."""
    return tuple(
        f"{one.architecture} for {target.id}: no {q}: {reason}"
        for one in own
        for q in wanted
        if (reason := refusal(one.file, q, target.runtime.id))
    )


def own_workload(candidate: Candidate, folder: Path) -> Workload | None:
    """The workload of the candidate's file, in the candidate's precision; None where only an exported file tells.

    In another precision than the file's it is its operators with as many bits: what a converter adds or fuses is known
    after export.
    """
    file = read_model_file(own_path(candidate.architecture, folder))
    if file.workload is None or file.precision == candidate.precision:
        return file.workload
    bits = _BITS[candidate.precision]
    # half precision is a matter of storage: kernels compute in float32
    wide = 32 if bits == 16 else bits
    tensors = tuple(replace(tensor, bits=min(tensor.bits, wide)) for tensor in file.workload.tensors)
    operators = tuple(_narrowed(op, bits) for op in file.workload.operators)
    return replace(file.workload, tensors=tensors, operators=operators, precision=candidate.precision, file_bytes=None)


def _narrowed(op: Operator, bits: int) -> Operator:
    return replace(op, weight_bytes=min(op.weight_bytes, (op.params * bits + 7) // 8))
