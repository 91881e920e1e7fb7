"""The measuring process: started fresh for every measurement, imports the one runtime and numpy, nothing else of ours.

Reads a JSON job on standard input, writes a JSON answer on standard output:
job   {"runtime", "path", "seconds", "warmup_s", "cpu", "max_samples", "seed"}
answer {"wall_ns": […], "cpu_ns": […], "reference_ns": […], "block_ns": […], "others", "peak_rss_bytes", "inputs",
       "version"} or {"error"}
`block_ns`: medians of the blocks. `others`: the share of the core measured on (with its siblings; of all cores where it
is not pinned) that other work took meanwhile, None where the system does not tell.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

BLOCK_NS = 20_000_000
"""Model and reference alternate in blocks this long, so that both see the same machine."""


class UnfitInputError(ValueError):
    """A model that runs, with inputs that no samples can be made for."""


def main() -> None:
    job = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)  # native libraries print; the answer keeps standard output to itself
    try:
        answer = measure(job)
    except Exception as error:  # whatever the runtime raises is the measurement's outcome
        first = str(error).strip().split("\n")[0]
        answer = {"error": f"{type(error).__name__}: {first}"}
    with os.fdopen(answers, "w") as out:
        json.dump(answer, out)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    if job.get("cpu") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job["cpu"]})
    run, inputs, version = open_model(job["runtime"], job["path"], job.get("seed", 0))
    left, right = (np.full((96, 96), 0.5, np.float32) for _ in range(2))

    def reference() -> None:
        np.matmul(left, right)

    _warm(run, job["warmup_s"])
    _reset_peak()
    wall: list[int] = []
    cpu: list[int] = []
    drift: list[int] = []
    blocks: list[float] = []
    cpus = set() if job.get("cpu") is None else siblings(job["cpu"])
    begun, before = time.perf_counter_ns(), _busy_s(cpus)
    end = begun + int(job["seconds"] * 1e9)
    while time.perf_counter_ns() < end and len(wall) < job["max_samples"]:
        first = len(wall)
        _block(run, wall, cpu, BLOCK_NS, job["max_samples"])
        blocks.append(float(np.median(wall[first:])))
        _block(reference, drift, [], BLOCK_NS // 10, job["max_samples"])
    took_s, after = (time.perf_counter_ns() - begun) / 1e9, _busy_s(cpus)
    share = took_s * (len(cpus) or os.cpu_count() or 1)
    others = None if before is None or after is None else (after - before) / share
    return {
        "block_ns": blocks,
        "others": others,
        "wall_ns": wall,
        "cpu_ns": cpu,
        "reference_ns": drift,
        "peak_rss_bytes": _peak(),
        "inputs": inputs,
        "version": version,
    }


def _block(run: Callable[[], Any], wall: list[int], cpu: list[int], length_ns: int, limit: int) -> None:
    stop = time.perf_counter_ns() + length_ns
    while True:
        c0, w0 = time.thread_time_ns(), time.perf_counter_ns()
        run()
        w1, c1 = time.perf_counter_ns(), time.thread_time_ns()
        wall.append(w1 - w0)
        cpu.append(c1 - c0)
        if w1 >= stop or len(wall) >= limit:
            return


def _warm(run: Callable[[], Any], seconds: float) -> None:
    end = time.perf_counter() + seconds
    run()
    while time.perf_counter() < end:
        run()


def open_model(runtime: str, path: str, seed: int = 0) -> tuple[Callable[[], Any], list[list[int]], str]:
    """One inference as a function, its input shapes, and the runtime's version; one thread, arbitrary inputs."""
    import numpy as np

    rng = np.random.default_rng(seed)
    if runtime == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, onnx_options(), providers=["CPUExecutionProvider"])
        feed = feed_of(session, seed)
        names = [o.name for o in session.get_outputs()]
        shapes = [list(v.shape) for v in feed.values()]
        return (lambda: session.run(names, feed)), shapes, str(onnxruntime.__version__)
    if runtime == "litert":
        from importlib.metadata import version

        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()
        for detail in details:
            interpreter.set_tensor(detail["index"], _sample(rng, list(detail["shape"]), detail["dtype"]))
        return interpreter.invoke, [[int(n) for n in d["shape"]] for d in details], version("ai-edge-litert")
    if runtime == "tflm":
        from importlib.metadata import version

        from tflite_micro.python.tflite_micro import runtime as tflm

        micro = tflm.Interpreter.from_file(path)
        detail = micro.get_input_details(0)
        micro.set_input(_sample(rng, list(detail["shape"]), detail["dtype"]), 0)
        return micro.invoke, [[int(n) for n in detail["shape"]]], version("tflite-micro")
    raise ValueError(f"runtime {runtime} cannot be measured on this host")


def onnx_options() -> Any:
    """One thread, errors only by exception."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def feed_of(session: Any, seed: int = 0) -> dict[str, Any]:
    """Arbitrary inputs for an onnxruntime session."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return {i.name: _sample(rng, _fixed(i.name, i.shape), _dtype(i.name, i.type)) for i in session.get_inputs()}


_ORT = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int8)": "int8",
    "tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip


def _fixed(name: str, dims: list[Any]) -> list[int]:
    """The input's shape, an open batch as 1; other open dimensions cannot be guessed."""
    fixed = [d if isinstance(d, int) and d > 0 else 1 if i == 0 else -1 for i, d in enumerate(dims)]
    if -1 in fixed:
        raise UnfitInputError(
            f"input '{name}' has dimensions known at run time only: {dims}; export it with fixed ones"
        )
    return fixed


def _dtype(name: str, kind: str) -> str:
    if kind not in _ORT:
        raise UnfitInputError(f"input '{name}' is {kind}; numbers are needed")
    return _ORT[kind]


def _sample(rng: Any, shape: list[int], dtype: Any) -> Any:
    import numpy as np

    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if np.dtype(dtype).kind == "b" else 100, shape).astype(dtype)


def siblings(cpu: int) -> set[int]:
    """Numbers of the processors that share a core with this one, itself included."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
            parts = [part.split("-") for part in file.read().strip().split(",")]
        return {number for part in parts for number in range(int(part[0]), int(part[-1]) + 1)}
    except (OSError, ValueError):
        return {cpu}


def _busy_s(cpus: set[int]) -> float | None:
    """Seconds that these processors, or all, have worked for others than this process, since the system started."""
    wanted = {f"cpu{number}" for number in cpus} or {"cpu"}
    try:
        with open("/proc/stat") as file:
            rows = [line.split() for line in file if line.split(" ")[0] in wanted]
        ticks = sum(int(value) for row in rows for value in (*row[1:4], *row[6:9]))
    except (OSError, ValueError):
        return None  # not Linux
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time() if rows else None


def _reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # not Linux, or not allowed: the peak then includes loading


def _peak() -> int | None:
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


if __name__ == "__main__":
    main()
