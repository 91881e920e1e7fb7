"""ONNX Runtime: float32 and int8 QDQ files, and neural-compressor's PT2E recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advisor.model import Artifact, BuiltModel, Session, Support, to_nchw
from advisor.network.to_onnx import OPSET, to_onnx
from advisor.network.weights import Array
from advisor.runtimes.mixed import FULL_INT8, floating_layers
from advisor.runtimes.quiet import toolchain
from advisor.runtimes.source import brought, source_graph
from specs.chip import Precision, Target
from specs.errors import ModelFileError, ToolchainError

ALLOWED = "fp32, int8, int8-qat, int8-pt2e, mixed"


class OnnxRuntime:
    """`onnxruntime` on CPUs."""

    id = "onnxruntime"

    def supports(self, target: Target, precision: Precision) -> Support:
        if precision in target.runtime.precisions:
            return Support(True)
        return Support(False, f"onnxruntime has no {precision} kernels on {target.chip.id}")

    def export(self, model: BuiltModel, out_dir: Path) -> Artifact:
        """Write `NAME.onnx`: input (1, C, H, W) float32, logits (1, classes) float32, int8 inside where asked."""
        out_dir.mkdir(parents=True, exist_ok=True)
        path = out_dir / f"{model.name}.onnx"
        notes: tuple[str, ...] = ()
        own = brought(model, "onnx")
        if own is not None:
            path.write_bytes(own)
        elif model.quantization == "fp32":
            path.write_bytes(_float_bytes(model))
        elif model.quantization in (*FULL_INT8, "mixed"):
            notes = _quantize(model, path)
        elif model.quantization == "int8-pt2e":
            from advisor.runtimes.pt2e import export_pt2e

            notes = export_pt2e(model, path)
        else:
            raise ToolchainError(f"onnxruntime exports no {model.quantization}", allowed=ALLOWED)
        return Artifact.of(path, self.id, model.quantization, "NCHW", notes)

    def open(self, artifact: Artifact) -> Session:
        return OnnxSession(artifact.path)


class OnnxSession:
    """One thread, batch 1, as on the device."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise ModelFileError(
                "onnxruntime cannot load it", where=path.name, seen=str(error).split("\n")[0]
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, x: Array) -> Array:
        data = to_nchw(x)
        rows = [self._session.run(None, {self._input: data[i : i + 1]})[0] for i in range(len(data))]
        return np.concatenate(rows).astype(np.float32)

    def arena_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._session = None


def float_graph(model: BuiltModel) -> Any:
    """The float32 ONNX model of a built model, own family or opaque."""
    import onnx

    if model.network is not None:
        return to_onnx(model.network, model.weights)
    if model.source is not None:
        return source_graph(model)
    import torch

    height, width, channels = model.input_shape
    with toolchain("ONNX export"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        example = torch.zeros(1, channels, height, width)
        torch.onnx.export(model.module, (example,), str(path), dynamo=False, opset_version=OPSET,
                          input_names=["input"], output_names=["logits"])  # fmt: skip
        return onnx.load(str(path))


def _float_bytes(model: BuiltModel) -> bytes:
    data: bytes = float_graph(model).SerializeToString()
    return data


class _Calibration:
    """onnxruntime's calibration reader over the calibration samples."""

    def __init__(self, x: Array) -> None:
        self._rows: Iterator[Array] = (row[None] for row in to_nchw(x))

    def get_next(self) -> dict[str, Array] | None:
        row = next(self._rows, None)
        return None if row is None else {"input": row}


def _quantize(model: BuiltModel, path: Path) -> tuple[str, ...]:
    """Write the int8 file with what `mixed` keeps in float; returns notes."""
    from advisor.runtimes.onnx_mix import float_nodes

    chosen = model.quantization == "mixed" and model.network is None
    with toolchain("onnxruntime quantization"), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        source, prepared = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(_float_bytes(model))
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)

        def quantize(floating: Sequence[str], out: Path) -> None:
            quantize_static(
                str(prepared),
                str(out),
                _Calibration(model.calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=list(floating),
                calibration_cache_path=Path(folder) / "ranges.json" if chosen else None,
            )

        if chosen:
            names, note = float_nodes(prepared, model, quantize)
            quantize(names, path)
            return (note,)
        quantize(_nodes(prepared, floating_layers(model)), path)
    return ()


def _nodes(graph: Path, layers: frozenset[str]) -> list[str]:
    """The nodes of the prepared graph that belong to these layers: `to_onnx` names them LAYER or LAYER.activation."""
    import onnx

    if not layers:
        return []
    return [node.name for node in onnx.load(str(graph)).graph.node if node.name.partition(".")[0] in layers]
