"""TensorFlow Lite for Microcontrollers: LiteRT's files, run by the real interpreter, which tells its arena."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from advisor.model import Artifact, BuiltModel, Session, Support
from advisor.network.weights import Array
from advisor.runtimes.litert import LiteRt, dequantize, quantize
from advisor.runtimes.quiet import captured
from advisor.runtimes.tflite_file import WIDE
from specs.chip import Precision, Target
from specs.errors import ModelFileError

ARENA_BYTES = 1 << 24
"""What the interpreter may use on this machine, or ten times the file: some networks of few weights need more. How much
it did use is what `arena_bytes` tells."""
MIXED = "mixed on TFLM: 16-bit activations and 8-bit weights throughout, no layer in float"


class Tflm:
    """`tflm` on microcontrollers; on this host for parity, accuracy and the arena."""

    id = "tflm"

    def supports(self, target: Target, precision: Precision) -> Support:
        if precision in ("fp32", "int8"):
            return Support(True)
        return Support(False, f"TFLM has no {precision} kernels")

    def export(self, model: BuiltModel, out_dir: Path) -> Artifact:
        if model.quantization != "mixed":
            return replace(LiteRt().export(model, out_dir), runtime=self.id)
        made = LiteRt().export(replace(model, quantization=WIDE), out_dir)
        return replace(made, runtime=self.id, quantization="mixed", notes=(*made.notes, MIXED))

    def open(self, artifact: Artifact) -> Session:
        return TflmSession(artifact.path)


class TflmSession:
    """The reference kernels, bit for bit what a device without optimised kernels computes."""

    def __init__(self, path: Path) -> None:
        from tflite_micro.python.tflite_micro import runtime

        said = ""
        try:
            with captured() as sink:
                try:
                    arena = max(ARENA_BYTES, 10 * path.stat().st_size)
                    self._interpreter = runtime.Interpreter.from_file(str(path), arena_size=arena)
                finally:
                    said = _said(sink)
            self._input = self._interpreter.get_input_details(0)
            self._output = self._interpreter.get_output_details(0)
        except Exception as error:  # the wheel raises RuntimeError, ValueError and flatbuffers' own
            raise ModelFileError("TFLM cannot run it", where=path.name, seen=said or str(error)) from error

    def run(self, x: Array) -> Array:
        data = quantize(x, *_scale(self._input), self._input["dtype"])
        rows = []
        for i in range(len(data)):
            self._interpreter.set_input(data[i : i + 1].reshape(self._input["shape"]), 0)
            self._interpreter.invoke()
            rows.append(np.asarray(self._interpreter.get_output(0)).reshape(1, -1).copy())
        return dequantize(np.concatenate(rows), *_scale(self._output))

    def arena_bytes(self) -> int | None:
        """The arena's head: planned tensors, exactly what a device needs for them."""
        with captured() as sink:
            self._interpreter.print_allocations()
            text = _said(sink)
        match = re.search(r"Arena allocation head (\d+) bytes", text)
        return int(match[1]) if match else None

    def close(self) -> None:
        self._interpreter = None


def _scale(details: dict[str, dict[str, list[float]]]) -> tuple[float, int]:
    numbers = details["quantization_parameters"]
    if not len(numbers["scales"]):
        return 0.0, 0
    return float(numbers["scales"][0]), int(numbers["zero_points"][0])


def _said(sink: IO[bytes]) -> str:
    sink.seek(0)
    return sink.read().decode(errors="replace").strip()
