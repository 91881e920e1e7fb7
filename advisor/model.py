"""What passes between building, exporting and running: a built model, its artifact, an open session."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.network.description import Network
from advisor.network.weights import Array
from specs.chip import Precision, Target


@dataclass(frozen=True)
class SourceFile:
    """A user's own model file in the form our sessions feed: ONNX (1, C, H, W) float32, TFLite (1, H, W, C)."""

    data: bytes
    format: Literal["onnx", "tflite"]
    precision: Precision


@dataclass(frozen=True)
class BuiltModel:
    """A trained network ready for export.

    Own families carry `network` and its folded `weights`; opaque backbones a torch `module` (NCHW → logits)
    or the `source` file that the user brought.
    `calibration`: (samples, H, W, C) float32 as the network takes it, for post-training quantization.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    quantization: str
    calibration: Array
    network: Network | None = None
    weights: dict[str, Array] = field(default_factory=dict)
    module: Any = None
    source: SourceFile | None = None
    tolerance: float = 0.01
    """Share of samples whose class `mixed` may change where the exporter chooses what stays in float; it may take
    `flash_headroom` bytes more than int8."""
    flash_headroom: float = math.inf


@dataclass(frozen=True)
class Artifact:
    """An exported model file. `layout` is how its input lies in memory; `notes` say what the export had to do."""

    path: Path
    runtime: str
    quantization: str
    layout: Literal["NCHW", "NHWC"]
    sha256: str
    size_bytes: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, runtime: str, quantization: str, layout: Literal["NCHW", "NHWC"],
           notes: tuple[str, ...] = ()) -> Artifact:  # fmt: skip
        return cls(path, runtime, quantization, layout, sha256_file(path), path.stat().st_size, notes)


@dataclass(frozen=True)
class Support:
    """Whether a runtime runs a precision on a target; when not, the operators or the reason."""

    ok: bool
    reason: str = ""


class Session(Protocol):
    """An artifact opened on this host."""

    def run(self, x: Array) -> Array:
        """(samples, H, W, C) float32 → (samples, classes) float32 logits, dequantized."""
        ...

    def arena_bytes(self) -> int | None:
        """Planned tensor memory the runtime really used, where it tells."""
        ...

    def close(self) -> None: ...


class Runtime(Protocol):
    """One way to execute models. Exports what it runs and opens it here for parity and accuracy."""

    id: str

    def supports(self, target: Target, precision: Precision) -> Support: ...

    def export(self, model: BuiltModel, out_dir: Path) -> Artifact:
        """Raises ToolchainError when the converter fails."""
        ...

    def open(self, artifact: Artifact) -> Session: ...


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def to_nchw(x: NDArray[np.float32]) -> Array:
    return np.ascontiguousarray(np.transpose(x, (0, 3, 1, 2)))
