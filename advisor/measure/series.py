"""The measuring process for many files: each timed in short blocks that alternate with one reference model.

On a shared machine the absolute time of one model moves by half within minutes, but its ratio to a reference model of
the same runtime and precision, taken block by block, stays within a percent or two. So every answer carries both.
Other work on the machine slows some models more than others, which no ratio takes out: blocks beside which the
reference was slower than it can be are waited out, for as long as PATIENCE allows.

Reads a JSON job on standard input, writes one JSON line an item on standard output as it comes:
job    {"runtime", "cpu", "reference", "calm_ns", "items": [{"id", "path", "seconds", "profile_s"}]}
answer {"id", "ratio", "spread", "wall_ns", "reference_ns", "blocks", "calm", "version", "nodes"} or {"id", "error"}
`calm_ns`: what the reference takes on the undisturbed machine, as far as known; `calm`: share of blocks taken so.
`ratio`: median over blocks of the model's median over its neighbouring references' median. `wall_ns`: median.
`nodes`: [[name, operator, µs, [[input shape]…], [[output shape]…]]] of runtimes that tell (onnxruntime).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advisor.measure.worker import open_model

BLOCK_NS = 6_000_000
REFERENCE_NS = 2_500_000
MIN_BLOCKS = 5
CALM = 1.12
"""The reference's time over its quickest up to which a block counts as undisturbed."""
PATIENCE = 4.0
"""How many times its own time an item may take until it was undisturbed for long enough."""
MIN_PROFILED, MAX_PROFILED = 8, 400
"""Profiled inferences: the more, the longer their events take to write and read."""


def main() -> None:
    job = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)  # native libraries print; the answers keep standard output to themselves
    if job.get("cpu") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job["cpu"]})
    reference = open_model(job["runtime"], job["reference"])[0]
    _warm(reference, 0.2)
    beside = Reference(reference, job.get("calm_ns") or float("inf"))
    with os.fdopen(answers, "w") as out:
        for item in job["items"]:
            try:
                answer = _measured(job["runtime"], item, beside)
            except Exception as error:  # whatever the runtime raises is the item's outcome
                first = str(error).strip().split("\n")[0]
                answer = {"error": f"{type(error).__name__}: {first}"[:300]}
            out.write(json.dumps({"id": item["id"], **answer}) + "\n")
            out.flush()


class Reference:
    """The model that every other is timed beside. `calm_ns`: its quickest block so far."""

    def __init__(self, run: Callable[[], Any], calm_ns: float) -> None:
        self.run, self.calm_ns = run, calm_ns

    def block(self) -> float:
        taken = _block(self.run, REFERENCE_NS)
        self.calm_ns = min(self.calm_ns, taken)
        return taken


def _measured(runtime: str, item: dict[str, Any], reference: Reference) -> dict[str, Any]:
    run, _, version = open_model(runtime, item["path"])
    _warm(run, min(0.25, item["seconds"]))
    blocks, calm = _blocks(run, reference, item["seconds"])
    ratios = sorted(model / beside for model, beside in blocks)
    answer: dict[str, Any] = {
        "ratio": statistics.median(ratios),
        "spread": ratios[len(ratios) * 3 // 4] / ratios[len(ratios) // 4] - 1,
        "wall_ns": statistics.median(model for model, _ in blocks),
        "reference_ns": statistics.median(beside for _, beside in blocks),
        "blocks": len(blocks),
        "calm": calm,
        "version": version,
    }
    if item.get("profile_s") and runtime == "onnxruntime":
        del run
        answer["nodes"] = _profiled(item["path"], item["profile_s"], reference, answer["reference_ns"])
    return answer


def _blocks(run: Callable[[], Any], reference: Reference, seconds: float) -> tuple[list[tuple[float, float]], float]:
    """(model, reference) medians in ns, block by block, and the share of blocks that were undisturbed.

    The reference's is the mean of the two around the block. Undisturbed blocks alone where they are enough.
    """
    found: list[tuple[float, float, float]] = []  # model, reference, the slower of the two references
    before = reference.block()
    clock = time.perf_counter
    begun = last = clock()
    calm_s = 0.0
    while len(found) < MIN_BLOCKS or (calm_s < seconds and last - begun < PATIENCE * seconds):
        model = _block(run, BLOCK_NS)
        after = reference.block()
        found.append((model, (before + after) / 2, max(before, after)))
        now = clock()
        calm_s += now - last if found[-1][2] <= CALM * reference.calm_ns else 0.0
        before, last = after, now
    calm = [(model, beside) for model, beside, slower in found if slower <= CALM * reference.calm_ns]
    every = [(model, beside) for model, beside, _ in found]
    return (calm if len(calm) >= MIN_BLOCKS else every), len(calm) / len(found)


def _block(run: Callable[[], Any], length_ns: int) -> float:
    samples = []
    clock = time.perf_counter_ns
    start = clock()
    stop = start + length_ns
    while start < stop:
        run()
        end = clock()
        samples.append(end - start)
        start = end
    # the first runs fetch back what the other model put out of the caches
    return float(statistics.median(samples[1:] if len(samples) > 1 else samples))


def _warm(run: Callable[[], Any], seconds: float) -> None:
    end = time.perf_counter() + seconds
    run()
    run()
    while time.perf_counter() < end:
        run()


def _profiled(path: str, seconds: float, reference: Reference, usual_ns: float) -> list[list[Any]]:
    """Time of each node in µs at the reference's usual speed: the mean without outliers of what the runtime tells."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run, session = open_profiled(path, folder)
        _warm(run, min(0.1, seconds))
        drift = []
        end = time.perf_counter() + seconds
        count = 0
        while (time.perf_counter() < end and count < MAX_PROFILED) or count < MIN_PROFILED:
            stop = time.perf_counter_ns() + 4 * BLOCK_NS
            while time.perf_counter_ns() < stop and count < MAX_PROFILED:
                run()
                count += 1
            drift.append(reference.block())
        events = json.loads(Path(session.end_profiling()).read_text())
    speed = usual_ns / statistics.median(drift)
    times: dict[str, list[float]] = {}
    arguments: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"])
            arguments[name] = event["args"]
    return [
        [name, args["op_name"], _typical(times[name][-count:]) * speed, _shapes(args, "input"), _shapes(args, "output")]
        for name, args in arguments.items()
    ]


def _shapes(arguments: dict[str, Any], side: str) -> list[list[int]]:
    return [next(iter(shape.values())) for shape in arguments.get(f"{side}_type_shape", [])]


def _typical(durations: list[float]) -> float:
    """Durations are whole µs, rounded down: the mean of those near the median tells the fraction."""
    middle = statistics.median(durations)
    near = [d for d in durations if d <= 1.3 * middle + 1.5]
    return statistics.fmean(near) + 0.5


def open_profiled(path: str, folder: str) -> tuple[Callable[[], Any], Any]:
    """An onnxruntime session that writes what each node takes into `folder`."""
    import onnxruntime

    from advisor.measure.worker import feed_of, onnx_options

    options = onnx_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder) / "profile")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = feed_of(session)
    names = [o.name for o in session.get_outputs()]
    return (lambda: session.run(names, feed)), session


if __name__ == "__main__":
    main()
