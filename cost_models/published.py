"""Tables of published latencies, networks by boards, as the hierarchical fit takes them."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cost_models.read import read_workload
from cost_models.workload import Workload
from specs.errors import ModelFileError, SpecError

_NEEDED = ("device", "model_variant", "compute_unit", "threads", "latency_ms")


@dataclass(frozen=True)
class LatencyTable:
    """`log_ms`: (boards, networks), NaN where not published. `devices`: (boards,) which of them are one device run in
    several ways; `families`: (networks,) which are one network in several precisions."""

    boards: tuple[str, ...]
    devices: tuple[str, ...]
    networks: tuple[str, ...]
    families: tuple[str, ...]
    workloads: tuple[Workload, ...]
    log_ms: NDArray[np.float64]
    skipped: tuple[str, ...] = ()
    """Networks of the table without a readable graph."""


def single_thread_table(measurements: Path, graphs: Path) -> LatencyTable:
    """CPU rows of one thread whose network has an ncnn graph below `graphs`.

    Raises:
        SpecError: the table or the folder is missing, has other columns, or leaves nothing to compare.
    """
    rows = _rows(measurements)
    workloads: dict[str, Workload] = {}
    for path in sorted(graphs.rglob("*.param")) if graphs.is_dir() else []:
        try:
            workloads[path.stem.rsplit("__", 1)[-1]] = read_workload(path)
        except ModelFileError:
            continue  # named in `skipped` where the table asks for it
    if not workloads:
        raise SpecError("no readable ncnn graphs", where=str(graphs), allowed="a folder of .param files")
    cells: dict[tuple[str, str], float] = {}
    device_of: dict[str, str] = {}
    seen: Counter[tuple[str, str]] = Counter()
    skipped = set()
    for row in rows:
        network = row["model_variant"]
        if network not in workloads:
            skipped.add(network)
            continue
        governor = re.search(r"powersave=(\d+)", row.get("notes") or "")
        board = row["device"].strip() + (f" (powersave={governor[1]})" if governor else "")
        repeat = seen[board, network]
        seen[board, network] += 1
        board += f" run {repeat + 1}" if repeat else ""
        cells[board, network] = math.log(float(row["latency_ms"]))
        device_of[board] = row["device"].strip()
    boards, networks = sorted(device_of), sorted({network for _, network in cells})
    table = np.array([[cells.get((b, n), math.nan) for n in networks] for b in boards]).reshape(len(boards), -1)
    families = tuple(re.sub(r"[_-](int8|fp16|fp32|quant)$", "", name) for name in networks)
    if len(set(families)) < 3:
        raise SpecError("too few networks to leave one out", where=str(measurements), seen=len(set(families)),
                        allowed="3 or more with graphs")  # fmt: skip
    return LatencyTable(tuple(boards), tuple(device_of[b] for b in boards), tuple(networks), families,
                        tuple(workloads[n] for n in networks), table, tuple(sorted(skipped)))  # fmt: skip


def _rows(path: Path) -> Sequence[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise SpecError("columns are missing", where=str(path), seen=", ".join(reader.fieldnames or ("none",)),
                                allowed=", ".join(_NEEDED))  # fmt: skip
            return [row for row in reader if row["compute_unit"].upper().startswith("CPU") and _usable(row)]
    except OSError as error:
        raise SpecError("cannot read the measurements", where=str(path), seen=error.strerror) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecError("not a table of comma-separated values", where=str(path), seen=str(error)[:80]) from None


def _usable(row: dict[str, str]) -> bool:
    try:
        latency, threads = float(row["latency_ms"]), float(row["threads"])
    except (TypeError, ValueError):
        return False
    return threads == 1 and math.isfinite(latency) and latency > 0
