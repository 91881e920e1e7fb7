"""Runs the measuring process over many files and yields its answers as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.measure.protocol import last_cpu, one_thread
from specs.errors import ToolchainError


@dataclass(frozen=True, slots=True)
class Timing:
    """One file timed beside the reference model. `ratio`: its time over the reference's, block by block.

    `nodes`: (name, operator, µs, input shapes, output shapes) where the runtime tells; µs at the reference's usual
    speed in that process; `calm`: the share of blocks that nothing disturbed. `error` is set where the runtime refused
    the file.
    """

    id: str
    ratio: float = 0.0
    spread: float = 0.0
    wall_ns: float = 0.0
    reference_ns: float = 0.0
    version: str = ""
    nodes: tuple[tuple[Any, ...], ...] = ()
    error: str = ""
    calm: float = 1.0


def measure_many(runtime: str, reference: Path, items: Sequence[tuple[str, Path]], *, seconds: float,
                 profile_s: float = 0.0, calm_ns: float | None = None) -> Iterator[Timing]:  # fmt: skip
    """Time the files in one fresh process pinned to one core, in order; closing the iterator ends the process.

    `calm_ns`: what the reference takes on the undisturbed machine, where that is known.

    Raises:
        ToolchainError: the process died; the timings before stay valid.
    """
    job = {
        "runtime": runtime,
        "cpu": last_cpu(),
        "reference": str(reference),
        "calm_ns": calm_ns,
        "items": [{"id": id, "path": str(path), "seconds": seconds, "profile_s": profile_s} for id, path in items],
    }
    process = subprocess.Popen([sys.executable, "-m", "advisor.measure.series"], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=one_thread())  # fmt: skip
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    count = 0
    try:
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        for line in process.stdout:
            yield _timing(json.loads(line))
            count += 1
        if process.wait() != 0 or count < len(items):
            last = (process.stderr.read() if process.stderr else "").strip().splitlines()[-1:] or ["no output"]
            raise ToolchainError("the measuring process died", where=items[min(count, len(items) - 1)][0],
                                 seen=last[0][:200], next="run it again to continue")  # fmt: skip
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _timing(answer: dict[str, Any]) -> Timing:
    if "error" in answer:
        return Timing(answer["id"], error=answer["error"])
    nodes = tuple((str(n), str(op), float(us), ins, outs) for n, op, us, ins, outs in answer.get("nodes", ()))
    return Timing(answer["id"], answer["ratio"], answer["spread"], answer["wall_ns"], answer["reference_ns"],
                  answer["version"], nodes, calm=answer["calm"])  # fmt: skip
