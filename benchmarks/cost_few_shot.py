"""Claim: the latency of 15,625 cells on a device without data, from 10, 20 or 100 cells measured there.

    python benchmarks/cost_few_shot.py [--table CSV] [--device lat_raspi4] [--samples N] [--sources CSV]
        [--source-devices a,b] [--sampling designed|random] [--seeds K] [--noise-floor] [--json]

Sources are other devices' tables, smoothed by a boosted-tree model each; the device's own chip is never among them.
Of the device's column only the sampled cells are read, before the scoring. `designed` samples are chosen by what the
sources leave open, without any latency; `random` ones uniformly. Scores are means over seeds, on all cells not
sampled. The baseline is a ridge on the sources' raw measurements and the counts of live operators.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cells as cell_tools
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from advisor.report.text import table as text_table
from cost_models.transfer import TransferModel, TransferPrior, choose, learn_prior

Array = NDArray[np.float64]
Index = NDArray[np.intp]
SAMPLES = (10, 20, 100)
METRICS = ("spearman", "within_10", "median_ape")
_VARIANT = re.compile(r"_(?:b|bs|batch)?(?:1|2|4|8|16|32|64|128|256|512|1024)$|_(?:fp16|fp32|int8|cpu|gpu)$")


def chip(name: str) -> str:
    """The chip in a column's name: without `lat_`, batch size, precision and processor."""
    name = name.lower().removeprefix("lat_")
    while (shorter := _VARIANT.sub("", name)) != name:
        name = shorter
    return name


@dataclass
class Bench:
    """Both tables on their common cells, and what was learnt of the sources so far."""

    latency: pd.DataFrame
    """Columns lat_*, ms; NaN where not measured."""
    cells: cell_tools.Codes
    measured: pd.DataFrame
    """The sources, log ms."""
    smooth: pd.DataFrame = field(default_factory=pd.DataFrame)
    priors: dict[tuple[str, ...], TransferPrior] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.features = cell_tools.features(self.cells)
        self.structure = cell_tools.structure(self.cells)
        self.smooth = pd.DataFrame(index=self.measured.index)

    def predicted(self, names: list[str]) -> Array:
        """(n, s) log latencies of the sources, measurement noise taken out."""
        for name in names:
            if name not in self.smooth:
                progress(f"model of source {name}")
                self.smooth[name] = boosted().fit(self.structure, self.measured[name]).predict(self.structure)
        return self.smooth[names].to_numpy()

    def prior(self, names: list[str]) -> TransferPrior:
        if tuple(names) not in self.priors:
            predicted = self.predicted(names)
            progress(f"rehearsing {len(names)} sources")
            self.priors[tuple(names)] = learn_prior(
                predicted, self.features, measured_log=self.measured[names].to_numpy(), groups=[chip(n) for n in names]
            )
        return self.priors[tuple(names)]


def boosted() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.12, max_leaf_nodes=31, min_samples_leaf=10, early_stopping=False, random_state=0
    )


def load(table: Path, sources: Path, only: list[str] | None) -> Bench:
    """Both tables joined on the cell; SystemExit names what cannot be used."""
    ours, theirs = pd.read_csv(table), pd.read_csv(sources)
    for path, frame in ((table, ours), (sources, theirs)):
        if "arch_str" not in frame:
            raise SystemExit(f"{path}: no column arch_str; seen {list(frame)[:6]}")
    known = [
        name for name in theirs if name not in ("arch_idx", "arch_str") and pd.api.types.is_numeric_dtype(theirs[name])
    ]
    for name in only or []:
        if name not in known:
            raise SystemExit(f"--source-devices: no column {name!r} in {sources}; allowed: {', '.join(known)}")
    joined = ours[["arch_str", *(c for c in ours if c.startswith("lat_"))]].merge(
        theirs[["arch_str", *(only or known)]].drop_duplicates("arch_str"), on="arch_str"
    )
    usable = (joined[only or known] > 0).all(axis=1)
    joined = joined[usable].reset_index(drop=True)
    if len(joined) < 200:
        raise SystemExit(f"{table} and {sources}: {len(joined)} common cells; allowed: 200 or more")
    latency = joined[[c for c in joined if c.startswith("lat_")]]
    return Bench(latency.where(latency > 0), cell_tools.codes(joined), np.log(joined[only or known]))


def same_device(values: Array, source: Array) -> bool:
    """Whether a source's values (ms) are the measured ones to rounding, in whatever unit."""
    if len(values) < 3:
        return False
    decimals = max(len(np.format_float_positional(v, trim="-").partition(".")[2]) for v in values)
    rounded = np.allclose(np.round(source, decimals), values, rtol=1e-6, atol=1e-9)
    return bool(rounded or np.std(np.log(values / source)) < 1e-3)


def sample_and_fit(
    bench: Bench, device: str, n: int, sampling: str, seed: int
) -> tuple[Index, list[str], TransferModel]:
    """Cells to measure, sources used, and the model; a source that proves to be the device is dropped, chip and all."""
    names = [name for name in bench.measured if chip(name) != chip(device)]
    has = np.flatnonzero(bench.latency[device].notna())
    if n > len(has) // 2:
        raise SystemExit(f"--samples {n}: {device} has {len(has)} cells; allowed: up to half of them")
    while names:
        prior, predicted = bench.prior(names), bench.predicted(names)
        rng = np.random.default_rng(seed)
        if sampling == "random":
            chosen = rng.choice(has, n, replace=False)
        else:
            chosen = has[choose(prior, predicted[has], bench.features[has], n, rng)]
        values = bench.latency[device].to_numpy()[chosen]
        doubles = {chip(name) for name in names if same_device(values, np.exp(bench.measured[name].to_numpy()[chosen]))}
        if not doubles:
            return chosen, names, TransferModel.fit(prior, predicted[chosen], bench.features[chosen], values)
        names = [name for name in names if chip(name) not in doubles]
    raise SystemExit(f"{device}: no source of another chip is left")


def score(predicted_log: Array, actual: Array) -> dict[str, float]:
    error = np.abs(np.exp(predicted_log) / actual - 1)
    return {
        "spearman": float(spearmanr(predicted_log, actual)[0]),
        "within_10": float(np.mean(error <= 0.1)),
        "median_ape": float(np.median(error)),
    }


def evaluate(bench: Bench, device: str, n: int, sampling: str, seeds: int, baseline: bool = False) -> dict[str, float]:
    """Means over seeds of the METRICS, `coverage` of the 90 % intervals, and the same for the baseline (`base_*`)."""
    actual = bench.latency[device].to_numpy()
    rows = []
    for seed in range(seeds):
        chosen, names, model = sample_and_fit(bench, device, n, sampling, seed)
        progress(f"{device}: {n} {sampling} cells, seed {seed + 1} of {seeds}")
        told = model.predict(bench.predicted(names), bench.features)
        rest = np.isfinite(actual)
        rest[chosen] = False
        row = score(np.log(told.latency_ms[rest]), actual[rest])
        row["coverage"] = float(np.mean((told.low_ms <= actual)[rest] & (actual <= told.high_ms)[rest]))
        if baseline:
            plain = ridge(bench, names, chosen, np.log(actual[chosen]))
            row |= {f"base_{name}": value for name, value in score(plain[rest], actual[rest]).items()}
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def ridge(bench: Bench, names: list[str], chosen: Index, target: Array) -> Array:
    """The baseline's log latency of every cell."""
    live = cell_tools.counts(cell_tools.pruned(bench.cells)[2])
    inputs = StandardScaler().fit_transform(np.column_stack([bench.measured[names].to_numpy(), live]))
    fitted: Array = RidgeCV(np.logspace(-2, 3, 12)).fit(inputs[chosen], target).predict(inputs)
    return fitted


def noise_floor(bench: Bench, device: str, sampling: str) -> dict[str, dict[str, float]]:
    """What no few-shot model can pass: the device's own table at hand, and this model with 900 cells."""
    actual = bench.latency[device].to_numpy()
    has = np.isfinite(actual)
    folds = KFold(5, shuffle=True, random_state=0)
    progress(f"{device}: its own table, five folds")
    own = cross_val_predict(boosted(), bench.structure[has], np.log(actual[has]), cv=folds)
    live = cell_tools.pruned(bench.cells)[2][has]
    log = pd.Series(np.log(actual[has]))
    same = [live[:, i] for i in range(live.shape[1])]
    twins = log.groupby(same).transform("size") > 1
    apart = log - log.groupby(same).transform("mean")
    kept = pd.Series(log.to_numpy() - own)
    return {
        "own table, all other cells": score(own, actual[has]),
        "this model, 900 cells": evaluate(bench, device, min(900, int(has.sum()) // 2), sampling, 1),
        "spread": {
            "cells of one live network": float(apart[twins].std()),
            "the same, structure explained": float((kept - kept.groupby(same).transform("mean"))[twins].std()),
        },
    }


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=cell_tools.shared("nasbench/nb201.csv.gz"))
    parser.add_argument("--sources", type=Path, default=cell_tools.shared("measurements/help_nb201_latency_ms.csv.gz"))
    parser.add_argument("--device", help="a lat_* column; without, all of them")
    parser.add_argument("--samples", type=int, help="measured cells; without, 10, 20 and 100 (20 with --device --json)")
    parser.add_argument("--source-devices", help="columns of --sources to use, comma-separated; without, all")
    parser.add_argument("--sampling", choices=("designed", "random"), help="without: designed, the table shows both")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--noise-floor", action="store_true", help="also what the device's own table allows")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    for path in (args.table, args.sources):
        if not path.is_file():
            print(
                f"skipped: no table {path} (name one with --table and --sources)",
                file=sys.stderr if args.json else sys.stdout,
            )
            return 0
    if args.seeds < 1 or (args.samples is not None and args.samples < 1):
        parser.error("--seeds and --samples must be 1 or more")
    bench = load(args.table, args.sources, args.source_devices.split(",") if args.source_devices else None)
    devices = [args.device] if args.device else list(bench.latency)
    if not devices or devices[0] not in bench.latency:
        raise SystemExit(f"--device: no column {args.device!r} in {args.table}; allowed: {', '.join(bench.latency)}")
    one = args.json and args.device
    counts = (args.samples,) if args.samples else (20,) if one else SAMPLES
    ways = (args.sampling,) if args.sampling else ("designed",) if args.json else ("designed", "random")
    results: list[dict[str, Any]] = [
        {"device": device, "samples": n, "sampling": way, **evaluate(bench, device, n, way, args.seeds, not one)}
        for way in ways for n in counts for device in devices
    ]  # fmt: skip
    floors = {device: noise_floor(bench, device, ways[0]) for device in devices} if args.noise_floor and not one else {}
    progress("")
    if one:
        print(json.dumps({key: results[0][key] for key in ("device", "samples", *METRICS)}))
    elif args.json:
        print(json.dumps({"results": results, **({"noise_floor": floors} if floors else {})}))
    else:
        print(report(results, floors))
    return 0


def report(results: list[dict[str, Any]], floors: dict[str, dict[str, dict[str, float]]]) -> str:
    """A line a device, sample count and way of sampling, with means over devices."""

    def figures(row: dict[str, float], prefix: str = "") -> str:
        rho, within, median = (row[prefix + name] for name in METRICS)
        return f"{rho:.3f} / {within * 100:.0f} % / {median * 100:.1f} %"

    rows = []
    frame = pd.DataFrame(results)
    for (way, n), group in frame.groupby(["sampling", "samples"], sort=False):
        lines = group.to_dict("records")
        if len(lines) > 1:
            lines.append({"device": "mean", **group.mean(numeric_only=True).to_dict()})
        rows += [
            (way, str(n), line["device"], figures(line), figures(line, "base_"), f"{line['coverage'] * 100:.0f} %")
            for line in lines
        ]
    headers = (
        "sampling",
        "N",
        "device",
        "this model: Spearman / ±10 % / median error",
        "ridge baseline",
        "90 % interval holds",
    )
    text = text_table(headers, rows)
    if floors:
        rows = []
        for device, floor in floors.items():
            spread = floor.pop("spread")
            rows += [(device, name, figures(row)) for name, row in floor.items()]
            rows += [(device, f"log spread, {name}", f"{value * 100:.1f} %") for name, value in spread.items()]
        text += "\n\n" + text_table(("device", "noise floor", "Spearman / ±10 % / median error"), rows)
    return text


if __name__ == "__main__":
    sys.exit(main())
