"""Outputs of a model file, computed in a process of its own: a file that crashes its runtime, or needs too much time
or memory, costs one line.

The process reads a JSON job on standard input: {"runtime", "path", "inputs", "outputs", "dtype", "scale", "zero",
"memory"}; `inputs` and `outputs` are .npy files, float32, the latter (samples, numbers). It answers {"arena_bytes"} or
{"error"}.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.measure.protocol import one_thread
from specs.errors import ModelFileError

MEMORY_BYTES = 6 << 30
"""Address space of the process beside the model file and the samples."""


def file_outputs(
    runtime: str, path: Path, x: NDArray[np.float32], dtype: str, scale: float, zero: int, timeout_s: float
) -> tuple[NDArray[np.float32], int | None]:
    """First outputs (samples, numbers) for samples `x` in the file's own layout, and the arena where the runtime tells.

    `dtype`, `scale` and `zero` are the input's. One thread, one sample at a time, as on the device.

    Raises:
        ModelFileError: the runtime cannot load or run the file, or not in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(inputs, x)
        job = {"runtime": runtime, "path": str(path.absolute()), "inputs": str(inputs), "outputs": str(outputs),
               "dtype": dtype, "scale": scale, "zero": zero,
               "memory": MEMORY_BYTES + 6 * path.stat().st_size + 2 * x.nbytes}  # fmt: skip
        answer = apart("advisor.measure.outputs", runtime, path, job, timeout_s)
        return np.load(outputs, allow_pickle=False), answer["arena_bytes"]


def apart(module: str, runtime: str, path: Path, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """What the `main` of `module` answers to a job about the model file at `path`, in a process of its own.

    Raises:
        ModelFileError: an error was the answer, none came in time, or the process died.
    """
    try:
        done = subprocess.run([sys.executable, "-m", module], input=json.dumps(job), env=one_thread(), text=True,
                              capture_output=True, errors="replace", timeout=timeout_s, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"{runtime} did not answer in time", where=str(path), seen=f"{timeout_s:g} s") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        answer = {"error": f"the process died with status {done.returncode}"}
    if "error" in answer:
        raise ModelFileError(f"{runtime} cannot run it", where=str(path), seen=answer["error"])
    return answer


def main(run: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer the job on standard input by what `run` makes of it, within the job's `memory`."""
    job = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)  # native libraries print; the answer keeps standard output to itself
    try:
        _bound(job["memory"])
        answer = run(job)
    except Exception as error:  # whatever the runtime raises is the answer
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        # onnxruntime begins with its own codes and the whole path, which the caller names anyway
        first = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?", "", first)
        answer = {"error": f"{type(error).__name__}: {first}"[:300]}
    with os.fdopen(answers, "w") as out:
        json.dump(answer, out)


def _bound(memory: int) -> None:
    try:
        import resource
    except ImportError:
        return  # not on this system
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _run(job: dict[str, Any]) -> dict[str, Any]:
    x = np.load(job["inputs"], mmap_mode="r", allow_pickle=False)
    run, arena = _opened(job["runtime"], job["path"])
    rows = []
    for i in range(len(x)):
        rows.append(np.asarray(run(_numbers(np.asarray(x[i : i + 1]), job))).reshape(1, -1))
    found = np.concatenate(rows)
    if found.dtype.kind not in "fiu":
        raise ValueError(f"the output is {found.dtype}, not numbers")
    np.save(job["outputs"], np.nan_to_num(found.astype(np.float32), nan=-np.inf))
    return {"arena_bytes": arena()}


def _numbers(x: NDArray[np.float32], job: dict[str, Any]) -> NDArray[Any]:
    """Real values as the input takes them."""
    if not job["scale"]:
        return x.astype(job["dtype"])
    info = np.iinfo(job["dtype"])
    found: NDArray[Any] = np.clip(np.rint(x / job["scale"]) + job["zero"], info.min, info.max)
    return found.astype(job["dtype"])


def _opened(runtime: str, path: str) -> tuple[Callable[[NDArray[Any]], Any], Callable[[], int | None]]:
    """One inference as a function, and the arena as another."""
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name, result = session.get_inputs()[0].name, session.get_outputs()[0].name
        return (lambda x: session.run([result], {name: x})[0]), lambda: None
    if runtime == "litert":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def run(x: NDArray[Any]) -> Any:
            interpreter.set_tensor(into, x)
            interpreter.invoke()
            return interpreter.get_tensor(out)

        return run, lambda: None
    if runtime == "tflm":
        return _opened_tflm(path)
    raise ValueError(f"runtime {runtime} runs nothing on this host")


def _opened_tflm(path: str) -> tuple[Callable[[NDArray[Any]], Any], Callable[[], int | None]]:
    from tflite_micro.python.tflite_micro import runtime

    micro = runtime.Interpreter.from_file(path)

    def run(x: NDArray[Any]) -> Any:
        micro.set_input(x, 0)
        micro.invoke()
        return np.array(micro.get_output(0))

    def arena() -> int | None:
        with tempfile.TemporaryFile() as sink:
            saved = os.dup(2)
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)  # it prints what it allocated, past Python's streams
            micro.print_allocations()
            os.dup2(saved, 1)
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            match = re.search(rb"Arena allocation head (\d+) bytes", sink.read())
        return int(match[1]) if match else None

    return run, arena


if __name__ == "__main__":
    main(_run)
