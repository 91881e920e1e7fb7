"""Runs the model of this bundle on raw samples. Needs numpy and the runtime named in manifest.json, nothing else.

    python predict.py samples.npy          # (N, ...) or one sample, as described in manifest.json: preprocessing
    python predict.py parity.npz           # an .npz is read by its array `raw`

From Python: `from predict import Model; Model().predict(samples)` gives (labels, probabilities).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.dont_write_bytecode = True  # the bundle's hashes allow no file beside its own

try:
    from preprocess import apply  # type: ignore[import-not-found, unused-ignore]  # beside this file in a bundle
except ImportError:  # read inside the product's own package
    from advisor.tasks.apply import apply


class Model:
    """The bundle's model, opened once."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(__file__).resolve().parent
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        model = self.manifest["model"]
        self.labels: list[str] = self.manifest["labels"]
        self._shape = tuple(model["input_shape"])
        self._layout = model["layout"]
        open_with = {"onnxruntime": _onnxruntime, "litert": _litert, "tflm": _tflm}[self.manifest["runtime"]]
        self._run = open_with(str(folder / model["file"]))

    def logits(self, raw: Any) -> Any:
        """(N, ...) raw samples → (N, classes) float32."""
        x = apply(self.manifest["preprocessing"]["numbers"], raw).reshape(-1, *self._shape)
        if self._layout == "NCHW":
            x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return np.concatenate([self._run(row[None]) for row in x])

    def predict(self, raw: Any) -> tuple[list[str], Any]:
        """Labels, and probabilities (N, classes), of raw samples."""
        logits = self.logits(raw)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return [self.labels[i] for i in logits.argmax(1)], odds / odds.sum(1, keepdims=True)


def _onnxruntime(path: str) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0], np.float32)


def _litert(path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: Any) -> Any:
        interpreter.set_tensor(source["index"], _quantize(x, source["dtype"], *source["quantization"]))
        interpreter.invoke()
        return _dequantize(interpreter.get_tensor(sink["index"]), *sink["quantization"])

    return run


def _tflm(path: str) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(path)
    source, sink = interpreter.get_input_details(0), interpreter.get_output_details(0)

    def numbers(details: dict[str, Any]) -> tuple[float, int]:
        found = details["quantization_parameters"]
        return (float(found["scales"][0]), int(found["zero_points"][0])) if len(found["scales"]) else (0.0, 0)

    def run(x: Any) -> Any:
        interpreter.set_input(_quantize(x, source["dtype"], *numbers(source)), 0)
        interpreter.invoke()
        return _dequantize(np.asarray(interpreter.get_output(0)).copy(), *numbers(sink))

    return run


def _quantize(x: Any, dtype: Any, scale: float, zero: int) -> Any:
    if not scale:
        return x.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(x / scale) + zero, info.min, info.max).astype(dtype)


def _dequantize(y: Any, scale: float, zero: int) -> Any:
    y = y.reshape(1, -1).astype(np.float32)
    return (y - zero) * np.float32(scale) if scale else y


class UnfitError(ValueError):
    """Samples, or a file of them, that cannot be used: what is wrong, and what to do. `what`: where it is not them."""

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(" ".join(message.split())[:300])
        self.what = what


def load(path: str) -> Any:
    """The raw samples in a .npy file, or under `raw` in an .npz.

    Raises:
        UnfitError: unreadable, or no array of numbers.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            file.seek(0)
            if not start.startswith((b"PK\x03\x04", b"\x93NUMPY")):
                raise UnfitError("it is no .npy or .npz file; save the samples with numpy.save")
            loaded = np.load(file, allow_pickle=False)
            if not hasattr(loaded, "files"):
                return loaded
            if "raw" not in loaded.files:
                raise UnfitError(f"it holds {', '.join(loaded.files[:5]) or 'nothing'}; save the samples under `raw`")
            return loaded["raw"]
    except OSError as error:
        raise UnfitError(f"{error.strerror or error}; check the path") from error
    except UnfitError:
        raise
    except Exception as error:  # zip and npy parsers raise all kinds on a damaged file
        if "allow_pickle" in str(error):
            raise UnfitError("it holds Python objects, which are not read; save an array of numbers") from error
        raise UnfitError("it is damaged, or cut off; save it again") from error


def samples(raw: Any, preprocessing: dict[str, Any]) -> Any:
    """(N, ...) samples of what may be one sample alone, as manifest.json: preprocessing describes them.

    Raises:
        UnfitError: none, not numbers, not finite, or of another shape.
    """
    shape, numbers = tuple(preprocessing["raw_shape"]), preprocessing["numbers"]
    if raw.dtype.kind not in "biuf":
        raise UnfitError(f"it holds {raw.dtype}, not numbers; save {preprocessing['raw_dtype']}")
    if not raw.size:
        raise UnfitError(f"it is empty, of shape {raw.shape}; give at least one sample")
    if not np.isfinite(raw).all():
        raise UnfitError("it holds values that are not finite (NaN or infinite); remove or fill them")
    bare = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape  # one channel may be left out
    if raw.shape in (shape, bare):
        return raw.reshape(1, *shape)
    if raw.ndim > 1 and raw.shape[1:] in (shape, bare):
        return raw.reshape(-1, *shape)
    if numbers.get("any_size"):  # brought to size as the training data were
        if numbers["kind"] == "waveform" and raw.ndim == 2 and raw.shape[1] <= 8 < raw.shape[0]:
            raise UnfitError(f"it is of shape {raw.shape}, which looks like channels; give one, or (N, samples)")
        if numbers["kind"] == "waveform" and raw.ndim in (1, 2):
            return raw.reshape(-1, raw.shape[-1])
        whole = raw[None] if raw.ndim == 3 and raw.shape[2] in (1, 3) else raw
        if numbers["kind"] == "image" and whole.ndim in (3, 4) and (whole.ndim == 3 or whole.shape[3] in (1, 3)):
            return whole
    size = ", of any size" if numbers.get("any_size") else ""
    raise UnfitError(f"it is of shape {raw.shape}; give samples of shape {shape}{size}, or (N, {str(shape)[1:]}")


def _opened() -> Model:
    try:
        model = Model()
        model.manifest["preprocessing"]["raw_shape"]
        return model
    except ImportError as error:
        words = f"{error.name} is not installed; install the runtime that manifest.json names"
        raise UnfitError(words, "this bundle") from error
    except Exception as error:  # runtimes raise classes of their own
        words = f"{type(error).__name__}: {error}"
        raise UnfitError(f"it is damaged ({words}); check it with `sha256sum -c SHA256SUMS`", "this bundle") from error


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        raw = load(arguments[0])
        model = _opened()
        labels, odds = model.predict(samples(raw, model.manifest["preprocessing"]))
    except UnfitError as error:
        print(f"predict.py: cannot use {error.what or arguments[0]}: {error}", file=sys.stderr)
        return 2
    for label, row in zip(labels, odds, strict=True):
        print(f"{label}\t{row.max():.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
