"""Takes the timings of a measurement set: files are written, timed in spaced rounds, and forgotten."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from advisor.calibrate import design
from advisor.calibrate.design import Item
from advisor.calibrate.graph import Graph
from advisor.calibrate.samples import SampleFile
from advisor.measure.many import measure_many
from advisor.progress import Event, Listener
from cost_models.read_onnx import read_onnx
from cost_models.read_tflite import read_tflite
from cost_models.workload import Workload
from specs.chip import Precision

ROUNDS = {"network": 2, "kernel": 2}
"""Spaced passes over the items of a role, each in processes of its own: what differs between them averages out."""
BATCH = 12
"""Items a process: its start costs as much as one of them."""
SECONDS = {"network": (0.35, 0.2), "kernel": (0.04, 0.02)}
"""Of timing and of profiling an item, by its role."""


def collect(runtime: str, items: Sequence[Item], file: SampleFile, listener: Listener,
            deadline: float | None = None) -> bool:  # fmt: skip
    """Time what `file` does not have yet; True when all was taken, False when `deadline` (monotonic) came first."""
    total = sum(ROUNDS[item.role] for item in items)
    for turn in range(max(ROUNDS.values())):
        missing = [item for item in items if turn < ROUNDS[item.role] and (item.id, turn) not in file.samples]
        for batch in _batches(missing, reverse=bool(turn % 2)):
            if deadline is not None and time.monotonic() > deadline:
                return False
            _take(runtime, batch, file, turn, listener, total)
    last = max(ROUNDS.values())
    again = [
        item
        for item in items
        if item.role == "network" and file.disagree(item.id) and (item.id, last) not in file.samples
    ]
    for batch in _batches(again, reverse=False):
        if deadline is not None and time.monotonic() > deadline:
            return True
        _take(runtime, batch, file, last, listener, total + len(again))
    return True


def _batches(items: list[Item], *, reverse: bool) -> list[list[Item]]:
    """By precision and role, since the reference and the time given differ; the second round goes backwards."""
    found = []
    for role, size in (("network", BATCH), ("kernel", 8 * BATCH)):
        for precision in design.PRECISIONS:
            chosen = [i for i in items if i.role == role and i.precision == precision]
            found += [chosen[k : k + size] for k in range(0, len(chosen), size)]
    return found[::-1] if reverse else found


def _take(runtime: str, batch: list[Item], file: SampleFile, turn: int, listener: Listener, total: int) -> None:
    if not batch:
        return
    seconds, profile_s = SECONDS[batch[0].role]
    if batch[0].role == "kernel" and turn:
        profile_s = 0.0  # the shares of its nodes are told already
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        suffix = "onnx" if runtime == "onnxruntime" else "tflite"
        reference = folder / f"reference.{suffix}"
        reference.write_bytes(model_bytes(runtime, design.reference(), batch[0].precision))
        paths = []
        for i, item in enumerate(batch):
            path = folder / f"{i}.{suffix}"
            path.write_bytes(model_bytes(runtime, item.graph, item.precision, bare=item.role == "kernel"))
            paths.append((item.id, path))
        families = {item.id: f"{item.family} {item.precision}" for item in batch}
        calm_ns = file.calm_ns(batch[0].precision)
        timings = measure_many(runtime, reference, paths, seconds=seconds, profile_s=profile_s, calm_ns=calm_ns)
        for timing in timings:
            file.append(timing, turn)
            listener(Event("calibrate", families[timing.id], len(file.samples) / max(1, total)))


def model_bytes(runtime: str, graph: Graph, precision: Precision, *, bare: bool = False) -> bytes:
    """The graph as a file of the runtime's format; `bare` without conversions at its ends."""
    if runtime == "onnxruntime":
        from advisor.calibrate.onnx_file import onnx_bytes

        return onnx_bytes(graph, int8=precision == "int8", bare=bare)
    from advisor.calibrate.tflite_file import tflite_bytes

    return tflite_bytes(graph, int8=precision == "int8")


def workload_of(runtime: str, item: Item) -> Workload:
    """What the readers see in the item's file: the same as they will see in a user's."""
    data = model_bytes(runtime, item.graph, item.precision, bare=item.role == "kernel")
    if runtime == "onnxruntime":
        return read_onnx(data, item.id, Path())
    return read_tflite(data, item.id)
