"""Fits the learned latency model of ncnn on CPUs from published tables, or from the facts the package carries.

Deterministic; `data/learned.json` carries the SHA-256 of the facts it was fitted on.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.conformal import grouped_quantile
from cost_models.hierarchical import SCHEMA, fit_hierarchy
from cost_models.published import single_thread_table
from cost_models.work_groups import GROUPS, group_work

HERE = Path(__file__).parent / "data"
RUNTIME = "ncnn"
CHIPS = (
    ("Raspberry Pi 3 Model B+", "raspberry-pi-3b-plus"), ("Raspberry Pi 4", "raspberry-pi-4"),
    ("Raspberry Pi 5", "raspberry-pi-5"), ("Raspberry Pi Zero 2", "raspberry-pi-zero-2"), ("RK3566", "rk3566"),
    ("RK3568", "rk3568"), ("RK3588", "rk3588"), ("Jetson Nano", "jetson-nano"), ("AGX Orin", "jetson-agx-orin"),
    ("Orin Nano", "jetson-orin-nano"), ("QRB2210", "qrb2210"), ("Snapdragon 8 Gen 2", "snapdragon-8-gen-2"),
)  # fmt: skip
"""What a published board's name holds, and the chip of the catalogue it is."""
Array = NDArray[np.float64]


def chip_of(board: str) -> str:
    """The catalogue's chip, or the board's own name where it is not in there."""
    return next((chip for text, chip in CHIPS if text.lower() in board.lower()), board)


def fit_learned(boards: Sequence[str], networks: Sequence[str], work: Array, log_ms: Array) -> dict[str, Any]:
    """JSON-ready parameters: the hierarchy, the rates of every chip of the catalogue, what intervals need.

    Several boards of one chip are one row of their mean log latencies; runs on little cores are left out.
    """
    used = [i for i, board in enumerate(boards) if "powersave=1" not in board]
    chips = [chip_of(boards[i]) for i in used]
    names = sorted(set(chips))
    rows = np.full((len(names), len(networks)), np.nan)
    for index, name in enumerate(names):
        found = log_ms[[i for i, chip in zip(used, chips, strict=True) if chip == name]]
        known = (~np.isnan(found)).sum(axis=0)
        rows[index] = np.where(known, np.nansum(found, axis=0) / np.maximum(known, 1), np.nan)
    model = fit_hierarchy(work, rows)
    families = np.array([re.sub(r"_int8$", "", name) for name in networks])
    scores = np.full(rows.shape, np.nan)
    for family in sorted(set(families)):
        out = families == family
        left = fit_hierarchy(work[~out], rows[:, ~out])
        for board, posterior in enumerate(left.boards):
            value, variance = posterior.predict(work[out])
            scores[board, out] = np.abs(rows[board, out] - value) / np.sqrt(variance + left.noise)
    known_chips = {chip for _, chip in CHIPS}
    parts = {
        name: {"rates": np.round(model.boards[i].rates, 4).tolist(),
               "covariance": np.round(model.boards[i].covariance, 4).tolist(),
               "n": int((~np.isnan(rows[i])).sum())}
        for i, name in enumerate(names) if name in known_chips
    }  # fmt: skip
    totals = work.sum(axis=1)
    return {"schema": SCHEMA, "runtime": RUNTIME, "groups": list(GROUPS), "hierarchy": model.to_dict(), "chips": parts,
            "width": round(grouped_quantile(scores), 4), "boards": len(names), "networks": len(networks),
            "work_range": [float(totals.min()), float(totals.max())]}  # fmt: skip


def refit(measurements: Path | None, networks: Path | None, out: Path) -> list[str]:
    """Write `ncnn_facts.csv`, `ncnn_networks.json` and `learned.json` below `out`; returns the lines of a report.

    `measurements` is a folder with `ncnn_benchmark.csv` and `networks` one with the graphs it names; where either is
    missing, the facts carried are fitted again.
    """
    table_path = measurements / "ncnn_benchmark.csv" if measurements else None
    if table_path is not None and table_path.is_file() and networks is not None:
        table = single_thread_table(table_path, networks)
        with (out / "ncnn_facts.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("board", "network", "latency_ms", "source"))
            for b, n in np.argwhere(~np.isnan(table.log_ms)):
                writer.writerow((table.boards[b], table.networks[n], f"{math.exp(table.log_ms[b, n]):.5g}", SOURCE))
        rows = group_work(table.workloads)
        lines = ",\n".join(f"{json.dumps(n)}: {row.tolist()}" for n, row in zip(table.networks, rows, strict=True))
        (out / "ncnn_networks.json").write_text(f"{{\n{lines}\n}}\n", "utf-8")
    folder = out if (out / "ncnn_facts.csv").exists() else HERE
    boards, names, work, log_ms = carried(folder)
    result = fit_learned(boards, names, work, log_ms)
    digest = hashlib.sha256((folder / "ncnn_facts.csv").read_bytes()).hexdigest()
    body = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in {**result, "facts": digest}.items())
    (out / "learned.json").write_text(f"{{\n{body}\n}}\n", "utf-8")
    measured = int((~np.isnan(log_ms)).sum())
    return [f"{measured} latencies of {len(boards)} boards and {len(names)} networks",
            f"{len(result['chips'])} chips of the catalogue; half an interval is {result['width']:.2f} standard "
            "deviations"]  # fmt: skip


SOURCE = "Tencent/ncnn benchmark/README.md@a4d2ea1d4422"


def carried(folder: Path) -> tuple[list[str], list[str], Array, Array]:
    """Boards, networks, work (networks, groups) and log milliseconds (boards, networks) of the facts in a folder."""
    rows = json.loads((folder / "ncnn_networks.json").read_text("utf-8"))
    names = sorted(rows)
    with (folder / "ncnn_facts.csv").open(newline="", encoding="utf-8") as file:
        facts = [(row["board"], row["network"], math.log(float(row["latency_ms"]))) for row in csv.DictReader(file)]
    boards = sorted({board for board, _, _ in facts})
    log_ms = np.full((len(boards), len(names)), np.nan)
    for board, network, value in facts:
        log_ms[boards.index(board), names.index(network)] = value
    return boards, names, np.array([rows[name] for name in names], dtype=np.float64), log_ms
