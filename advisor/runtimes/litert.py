"""LiteRT (TensorFlow Lite): float32, float16 weights, full int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advisor.model import Artifact, BuiltModel, Session, Support
from advisor.network.weights import Array
from advisor.runtimes.quiet import captured
from specs.chip import Precision, Target
from specs.errors import ModelFileError


class LiteRt:
    """`litert` on CPUs, with the XNNPACK kernels it chooses itself."""

    id = "litert"

    def supports(self, target: Target, precision: Precision) -> Support:
        if precision in target.runtime.precisions:
            return Support(True)
        return Support(False, f"{self.id} has no {precision} kernels on {target.chip.id}")

    def export(self, model: BuiltModel, out_dir: Path) -> Artifact:
        """Write `NAME.tflite`: input (1, H, W, C); int8 files take and give int8."""
        from advisor.runtimes.tflite_file import convert

        out_dir.mkdir(parents=True, exist_ok=True)
        path = out_dir / f"{model.name}.tflite"
        data, notes = convert(model)
        path.write_bytes(data)
        return Artifact.of(path, self.id, model.quantization, "NHWC", notes)

    def open(self, artifact: Artifact) -> Session:
        return LiteRtSession(artifact.path)


class LiteRtSession:
    """One thread, batch 1; quantizes inputs and dequantizes outputs by the file's own numbers."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with captured():
                self._interpreter = Interpreter(model_path=str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelFileError("LiteRT cannot load it", where=path.name, seen=str(error).split("\n")[0]) from error
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def run(self, x: Array) -> Array:
        scale, zero = self._input["quantization"]
        data = quantize(x, scale, zero, self._input["dtype"])
        rows = []
        for i in range(len(data)):
            self._interpreter.set_tensor(self._input["index"], data[i : i + 1].reshape(self._input["shape"]))
            self._interpreter.invoke()
            rows.append(self._interpreter.get_tensor(self._output["index"]).reshape(1, -1))
        return dequantize(np.concatenate(rows), *self._output["quantization"])

    def arena_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._interpreter = None


def quantize(x: Array, scale: float, zero: int, dtype: Any) -> Any:
    """Real values as a file's input takes them; float inputs pass."""
    if not scale or np.dtype(dtype).kind == "f":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(x / scale) + zero, info.min, info.max).astype(dtype)


def dequantize(y: Any, scale: float, zero: int) -> Array:
    """A file's output as real values."""
    if not scale or y.dtype.kind == "f":
        return np.asarray(y, np.float32)
    return np.asarray((y.astype(np.float32) - zero) * scale, np.float32)
