"""Users' own models: held against the task before a search, built for evaluation without training during it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from advisor.candidate import Candidate
from advisor.measure.outputs import MEMORY_BYTES, apart, file_outputs, main
from advisor.model import BuiltModel
from advisor.network.description import network_shape
from advisor.network.weights import Array
from advisor.own.file import ModelFile, kept, own_models, read_model_file
from advisor.own.fit import Fit, fit, for_task
from advisor.own.support import mixture, unpruned
from advisor.tasks.base import Task
from specs.errors import ModelFileError, SpecError
from specs.spec import Spec

RUNTIME = {"onnx": "onnxruntime", "tflite": "litert"}
"""What runs a format on this host whatever the target."""
PROBE_SAMPLES, PROBE_S = 2, 120.0
RUN_S = 3600.0
"""Seconds a file may take for all samples of a split."""


def build(base: BuiltModel, candidate: Candidate, folder: Path, val: Array) -> tuple[BuiltModel, dict[str, Any], Array]:
    """The candidate's model from the copy in the run's `artifacts/`, what is known of it, and the validation outputs
    of the file as it was brought: what a compression is held against.

    Raises:
        ModelFileError: the copy is gone or does not run.
    """
    from advisor.build.own_model import own_model

    file = kept(folder, str(dict(candidate.params)["sha256"]))
    way = fit(file, candidate.shape)
    model, notes = own_model(base, file, way)
    if model.module is not None:
        from advisor.build.train import logits

        reference = logits(model.module, val)
    else:
        reference, _ = outputs(file, way, RUNTIME[file.format], val)
    notes = (*notes, *filter(None, (unpruned(file), mixture(file))))
    return model, {"notes": list(notes), "seconds": 0.0, "inherited": True}, reference


def check(file: ModelFile, task: Task) -> Fit:
    """How the task's samples enter the file, after two of them went through it.

    Raises:
        ModelFileError: the file is not for this task, or does not run.
    """
    any_size = task.any_size and task.kind == "image-classification"
    way = for_task(file, task.shapes, len(task.classes), any_size=any_size)
    x = samples(task, way, "val")[:PROBE_SAMPLES]
    if file.format == "pt2":
        job = {"path": str(file.path.absolute()), "shape": way.shape, "memory": MEMORY_BYTES + 6 * file.size_bytes}
        apart("advisor.brought", "torch", file.path, job, PROBE_S)
        return way
    found, _ = outputs(file, way, RUNTIME[file.format], x, PROBE_S)
    if found.shape != (len(x), len(task.classes)):
        raise ModelFileError("its output is not one number a class", where=str(file.path), seen=found.shape[1:],
                             allowed=f"{len(task.classes)} numbers")  # fmt: skip
    return way


def check_own_models(spec: Spec, task: Task) -> dict[str, ModelFile]:
    """The spec's own models by architecture, each held against the task.

    Raises:
        ModelFileError: one does not fit, with the key path.
    """
    found = own_models(spec)
    for name, file in found.items():
        try:
            check(file, task)
        except ModelFileError as error:
            raise error.at(f"search.architectures[{spec.search.architectures.index(name)}]") from None
    return found


def outputs(
    file: ModelFile, way: Fit, runtime: str, x: Array, timeout_s: float = RUN_S
) -> tuple[Array, int | None]:  # fmt: skip
    """(samples, classes) of the file for network inputs `x` (samples, H, W, C); the arena where the runtime tells."""
    port = file.input
    laid = way.arrange(x).reshape(len(x), *port.dims[1:])
    return file_outputs(runtime, file.path, laid, port.dtype, port.scale, port.zero, timeout_s)


def samples(task: Task, way: Fit, split: Any) -> Array:
    """A split's samples in the file's size, (samples, H, W, C)."""
    x = task.load(split, way.shape).x
    sides = network_shape(way.shape)
    assert x[0].size == prod(sides)  # noqa: S101 - tasks give the shape they are asked for
    return np.ascontiguousarray(x.reshape(len(x), *sides), np.float32)


def check_unchanged(spec: Spec, facts: Mapping[str, str]) -> None:
    """Raise SpecError where one of the spec's own models is not the one whose SHA-256 a run's `facts` hold."""
    for name, file in own_models(spec).items():
        if facts.get(name) != file.sha256:
            raise SpecError("the model changed since the run was started", where=name, next="start a new run")


def _probe(job: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a torch program runs, in the process that `check` starts for it: operators that are fed nonsense can
    take the process down."""
    import torch

    from advisor.build.program_module import program_module
    from advisor.own.program import read_program

    torch.set_num_threads(1)
    file = read_model_file(Path(job["path"]))
    way = fit(file, tuple(job["shape"]))
    program_module(read_program(file.path.read_bytes()), way)  # runs it on several samples
    return {}


if __name__ == "__main__":
    main(_probe)
