"""One model file that the user brought, as far as it can be told without running it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from advisor.own.onnx_file import onnx_port
from advisor.own.port import Port
from advisor.own.program import read_program
from advisor.own.tflite_file import tflite_port
from cost_models.memory import live_bytes
from cost_models.read import read_bounded, read_workload
from cost_models.support import LITERT_OPS
from cost_models.workload import Workload
from specs.chip import Precision
from specs.errors import ModelFileError
from specs.search import OWN_MODEL
from specs.spec import Spec

Format = Literal["onnx", "tflite", "pt2"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "tflite": ".tflite", "pt2": ".pt2"}
MAX_LIVE_BYTES = 1 << 30
"""Activations alive at once: beyond any model for an edge device, and small enough to run here."""
KEPT = "own"
"""Folder of a run's artifacts that holds the files users brought."""
_ZIP, _TFLITE = b"PK\x03\x04", b"TFL3"


@dataclass(frozen=True)
class ModelFile:
    """`outputs`: elements of the first output, without batch. `workload` is None for an exported torch program, whose
    operators are known once a runtime's file was written from it."""

    path: Path
    format: Format
    sha256: str
    size_bytes: int
    input: Port
    outputs: int
    precision: Precision
    workload: Workload | None


def read_model_file(path: Path) -> ModelFile:
    """The file at `path`, told by its content, whatever it is called.

    Raises:
        ModelFileError: unreadable, too large, of no known format, damaged, of unknown operators, or not of one input.
    """
    try:
        info = path.stat()
    except (OSError, ValueError) as error:
        seen = getattr(error, "strerror", None) or str(error)
        raise ModelFileError("cannot read", where=str(path), seen=seen, next="check the path") from None
    return _read(path, info.st_mtime_ns, info.st_size)


def beside(path: str, folder: Path) -> Path:
    """The file that a spec in `folder` names by `path`.

    Raises:
        ModelFileError: it lies outside the folder; a spec from elsewhere must not read what is not its own.
    """
    found = folder / path
    try:
        inside = found.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all, or a ring of links
        inside = False
    if not inside:
        raise ModelFileError("a model must lie in the spec's directory or below", seen=path,
                             allowed=str(folder), next="copy it there")  # fmt: skip
    return found


def own_path(architecture: str, folder: Path) -> Path:
    """Where the file of the architecture `model:PATH` lies, for a spec in `folder`.

    Raises:
        ModelFileError: outside the folder.
    """
    return beside(architecture.removeprefix(OWN_MODEL), folder)


def own_models(spec: Spec) -> dict[str, ModelFile]:
    """The files among the spec's architectures, by architecture.

    Raises:
        ModelFileError: one cannot be used, with the key path.
    """
    found = {}
    for index, name in enumerate(spec.search.architectures):
        if name.startswith(OWN_MODEL):
            try:
                found[name] = read_model_file(own_path(name, spec.folder))
            except ModelFileError as error:
                raise error.at(f"search.architectures[{index}]") from None
    return found


@lru_cache(maxsize=16)
def _read(path: Path, changed_ns: int, size: int) -> ModelFile:
    data = read_bounded(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        if data[:4] == _ZIP:
            program = read_program(data)
            return ModelFile(path, "pt2", digest, len(data), program.input, program.outputs, "fp32", None)
        workload = _workload(path)
        if data[4:8] == _TFLITE:
            _check_operators(workload)
            return ModelFile(path, "tflite", digest, len(data), tflite_port(data), _outputs(workload),
                             workload.precision, workload)  # fmt: skip
        return ModelFile(path, "onnx", digest, len(data), onnx_port(data), _outputs(workload), workload.precision,
                         workload)  # fmt: skip
    except ModelFileError as error:
        raise error.at(str(path)) from None


def _workload(path: Path) -> Workload:
    try:
        workload = read_workload(path)
    except ModelFileError as error:  # the caller names the file
        allowed = "an .onnx or .tflite model, or a torch program saved by torch.export.save"
        if error.what == "not a model file":
            error = ModelFileError(error.what, seen=error.seen, allowed=allowed, next=error.next)
        raise ModelFileError(error.what, seen=error.seen, allowed=error.allowed, next=error.next) from None
    if workload.format == "ncnn":
        raise ModelFileError("ncnn networks cannot be run here", seen=path.name, allowed=".onnx, .tflite, .pt2")
    live = live_bytes(workload)
    if live > MAX_LIVE_BYTES:
        raise ModelFileError("it needs too much memory", seen=f"{live} bytes of activations at once",
                             allowed=f"{MAX_LIVE_BYTES} bytes")  # fmt: skip
    return workload


def _check_operators(workload: Workload) -> None:
    """Raise ModelFileError for an operator that LiteRT lacks, which runs every TFLite file here."""
    name = next((op.op for op in workload.operators if op.op and op.op not in LITERT_OPS), "")
    if name:
        raise ModelFileError(f"unknown operator {name[:100]!r}", allowed="operators built into LiteRT",
                             next="convert the model with those alone")  # fmt: skip


def _outputs(workload: Workload) -> int:
    if not workload.outputs:
        raise ModelFileError("it has no output that depends on its input")
    return workload.tensors[workload.outputs[0]].elements


def keep(file: ModelFile, folder: Path) -> Path:
    """A copy of the file under `folder` (the run's `artifacts/`), where workers find it by its digest.

    Raises:
        ModelFileError: it changed since it was read.
    """
    data = read_bounded(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ModelFileError("the file changed while it was read", where=str(file.path))
    path = folder / KEPT / f"{file.sha256}{SUFFIX[file.format]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
    return path


def kept(folder: Path, digest: str) -> ModelFile:
    """The file that `keep` copied, by the beginning of its SHA-256.

    Raises:
        ModelFileError: it is not there, or is another one by now.
    """
    found = sorted(
        path for path in (folder / KEPT).glob("*") if path.name.startswith(digest) and path.suffix != ".part"
    )
    if not found:
        raise ModelFileError("the copy of the user's model is gone", where=str(folder / KEPT), next="start a new run")
    file = read_model_file(found[0])
    if not file.sha256.startswith(digest):
        raise ModelFileError("the copy of the user's model was altered", where=str(found[0]), next="start a new run")
    return file
