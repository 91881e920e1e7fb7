"""Latency of unseen networks on many CPU boards, and of an unseen board from five measured networks.

    python benchmarks/cost_ncnn.py --measurements ../shared/measurements/ncnn_benchmark.csv \
        --graphs ../shared/models/ncnn_param [--json]

Leaves out one network at a time (in all its precisions, on every board), then one device at a time (in all the ways it
was run), and prints the median error beside a fit on MACs alone, and the share of truths inside the 90 % intervals,
whose width is read off the other networks or devices. One thread, CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.conformal import grouped_quantile
from cost_models.hierarchical import fit_hierarchy
from cost_models.published import LatencyTable, single_thread_table
from cost_models.work_groups import group_work
from specs.errors import AdvisorError

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAMPLES = 5
Array = NDArray[np.float64]


def unseen_networks(table: LatencyTable, work: Array) -> tuple[Array, Array]:
    """Predicted log latencies and their standard deviations, (boards, networks), each network left out."""
    predicted, doubt = np.full(table.log_ms.shape, np.nan), np.full(table.log_ms.shape, np.nan)
    families = np.array(table.families)
    for family in sorted(set(families)):
        _progress(f"without {family}")
        out = families == family
        boards = np.flatnonzero((~np.isnan(table.log_ms[:, ~out])).any(axis=1))
        model = fit_hierarchy(work[~out], table.log_ms[np.ix_(boards, np.flatnonzero(~out))])
        for board, posterior in zip(boards, model.boards, strict=True):
            value, variance = posterior.predict(work[out])
            predicted[board, out], doubt[board, out] = value, np.sqrt(variance + model.noise)
    return predicted, doubt


def unseen_boards(table: LatencyTable, work: Array) -> tuple[Array, Array, Array]:
    """The same with each device left out but for five networks, which are chosen without looking at it.

    What the others' residuals say of a network is used: these networks are known, the device is not. The third array
    is the baseline fitted on the same five.
    """
    predicted, doubt, baseline = (np.full(table.log_ms.shape, np.nan) for _ in range(3))
    devices, macs = np.array(table.devices), _log_macs(table)
    for device in sorted(set(devices)):
        _progress(f"without {device[:40]}")
        out = devices == device
        model = fit_hierarchy(work, table.log_ms[~out])
        residuals = model.residuals
        assert residuals is not None
        known = (~np.isnan(residuals)).sum(axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # networks that no other board ran
            usual = np.nan_to_num(np.nanmedian(residuals, axis=0)) * known / (known + 1)
        for board in np.flatnonzero(out):
            have = np.flatnonzero(~np.isnan(table.log_ms[board]))
            chosen = have[model.informative(work[have], SAMPLES)]
            seen = table.log_ms[board, chosen]
            posterior = model.posterior(work[chosen], seen - usual[chosen])
            value, variance = posterior.predict(work)
            predicted[board], doubt[board] = value + usual, np.sqrt(variance + model.noise)
            slope, level = _line(macs[chosen], seen)
            baseline[board] = level + slope * macs
            predicted[board, chosen] = np.nan
    return predicted, doubt, baseline


def macs_alone(table: LatencyTable) -> Array:
    """Log latencies by a line in log MACs, one fit a board and precision, each network left out."""
    macs, predicted = _log_macs(table), np.full(table.log_ms.shape, np.nan)
    families = np.array(table.families)
    int8 = np.array([work.precision == "int8" for work in table.workloads])
    for board, row in enumerate(table.log_ms):
        for network in np.flatnonzero(~np.isnan(row)):
            used = ~np.isnan(row) & (families != families[network]) & (int8 == int8[network])
            if used.sum() > 1:
                slope, level = _line(macs[used], row[used])
                predicted[board, network] = level + slope * macs[network]
    return predicted


def coverage(predicted: Array, doubt: Array, truth: Array, groups: NDArray[Any]) -> float:
    """Share of truths inside 90 % intervals whose width comes from the other groups along the second axis."""
    score = np.abs(truth - predicted) / doubt
    inside, count = 0, 0
    for group in sorted(set(groups)):
        out = groups == group
        width = grouped_quantile(_by_group(score[:, ~out], groups[~out]))
        found = score[:, out][~np.isnan(score[:, out])]
        inside, count = inside + int((found <= width).sum()), count + len(found)
    return inside / count if count else float("nan")


def _by_group(score: Array, groups: NDArray[Any]) -> Array:
    """Columns of one group below each other: (rows x most columns of a group, groups)."""
    parts = [score[:, groups == group].ravel() for group in sorted(set(groups))]
    result = np.full((max(len(part) for part in parts), len(parts)), np.nan)
    for index, part in enumerate(parts):
        result[: len(part), index] = part
    return result


def _log_macs(table: LatencyTable) -> Array:
    return np.log([max(1, work.macs) for work in table.workloads])


def _line(x: Array, y: Array) -> tuple[float, float]:
    if np.ptp(x) < 1e-6:
        return 1.0, float(np.mean(y - x))
    slope, level = np.polyfit(x, y, 1)
    return float(slope), float(level)


def _median(predicted: Array, truth: Array) -> float:
    return float(np.nanmedian(np.abs(np.exp(predicted - truth) - 1)))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measurements", type=Path, default=SHARED / "measurements" / "ncnn_benchmark.csv")
    parser.add_argument("--graphs", type=Path, default=SHARED / "models" / "ncnn_param")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        table = single_thread_table(args.measurements, args.graphs)
    except AdvisorError as error:
        print(f"cost_ncnn: {error}", file=sys.stderr)
        return 2
    work, truth = group_work(table.workloads), table.log_ms
    network, doubt = unseen_networks(table, work)
    board, board_doubt, five = unseen_boards(table, work) if len(set(table.devices)) > 2 else (truth * np.nan,) * 3
    _progress("")
    compared = ~np.isnan(board)
    result = {
        "boards": len(table.boards), "devices": len(set(table.devices)), "networks": len(table.networks),
        "unseen_network": {
            "median_error": _median(network, truth), "baseline": _median(macs_alone(table), truth),
            "coverage": coverage(network, doubt, truth, np.array(table.families)), "asked": 0.08},
        "unseen_board": {
            "median_error": _median(board, truth) if compared.any() else None,
            "baseline": _median(np.where(compared, five, np.nan), truth) if compared.any() else None,
            "coverage": coverage(board.T, board_doubt.T, truth.T, np.array(table.devices)), "asked": 0.10},
        "skipped": list(table.skipped),
    }  # fmt: skip
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{result['boards']} boards, {result['networks']} networks, one CPU thread; median error of latency")
    print(f"{'':44}{'MACs alone':>12}{'ours':>9}{'asked':>9}{'inside 90 %':>14}")
    for key, name in (("unseen_network", "network left out"), ("unseen_board", "device left out, 5 networks measured")):
        row: Any = result[key]
        if row["median_error"] is None:
            print(f"{name:44}{'too few devices':>21}")
            continue
        print(
            f"{name:44}{row['baseline']:>12.1%}{row['median_error']:>9.1%}{row['asked']:>9.0%}{row['coverage']:>14.1%}"
        )
    if table.skipped:
        print("without a graph, left out: " + ", ".join(table.skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
