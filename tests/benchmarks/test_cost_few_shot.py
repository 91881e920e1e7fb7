"""The few-shot benchmark on a made-up table: reads no more than it may, and prints what it promises."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPERATORS = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
NAMES = ["alpha_1", "alpha_32", "beta", "gamma_1", "delta", "epsilon"]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("cost_few_shot")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    numbers = rng.choice(5**6, 500, replace=False)
    cells = np.stack([numbers // 5**k % 5 for k in range(6)], 1)
    text = [
        "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*(OPERATORS[code] for code in row)) for row in cells
    ]  # fmt: skip
    count = np.stack([(cells == k).sum(1) for k in range(5)], 1)
    prices = rng.gamma(2, 1, (len(NAMES) + 1, 5)) * [0.1, 0.2, 0.5, 1, 4]
    ms = (2 + count @ prices.T) * np.exp(rng.normal(0, 0.02, (500, len(NAMES) + 1)))
    folder = tmp_path_factory.mktemp("tables")
    sources = pd.DataFrame({"arch_idx": range(500), "arch_str": text, **dict(zip(NAMES, ms[:, :-1].T, strict=True))})
    sources.to_csv(folder / "sources.csv.gz", index=False)
    table = pd.DataFrame(
        {"arch_str": text, "flops_M": 1.0, "lat_new": ms[:, -1], "lat_alpha_64": ms[:, 0] * 1.01,
         "lat_disguised": ms[:, 2].round(3)}
    )  # fmt: skip
    table.sample(frac=1, random_state=0).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv", folder / "sources.csv.gz"


def test_a_chips_own_columns_are_no_sources(script, files):
    bench = script.load(*files, None)
    _, names, _ = script.sample_and_fit(bench, "lat_alpha_64", 12, "random", 0)
    assert names == ["beta", "gamma_1", "delta", "epsilon"]


@pytest.mark.parametrize("sampling", ["random", "designed"])
def test_a_source_with_the_devices_own_values_is_found_out(script, files, sampling):
    bench = script.load(*files, None)
    _, names, _ = script.sample_and_fit(bench, "lat_disguised", 12, sampling, 0)
    assert "beta" not in names
    assert "delta" in names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("lat_1080ti_1", "1080ti_256", True),
        ("lat_titanx_1", "titan_rtx_1", False),
        ("lat_gold_6240", "silver_4210r", False),
        ("lat_1080ti_1", "2080ti_1", False),
        ("lat_pixel3", "pixel3", True),
        ("lat_samsung_a50", "samsung_s7", False),
    ],
)
def test_chips_are_told_by_name(script, one, other, same):
    assert (script.chip(one) == script.chip(other)) == same


@pytest.mark.parametrize("sampling", ["random", "designed"])
def test_latencies_of_cells_not_sampled_are_not_read(script, files, sampling):
    bench = script.load(*files, None)
    chosen, names, model = script.sample_and_fit(bench, "lat_new", 12, sampling, 0)
    hidden = np.setdiff1d(np.arange(len(bench.latency)), chosen)
    bench.latency.loc[hidden, "lat_new"] = 1e6
    again, _, blind = script.sample_and_fit(bench, "lat_new", 12, sampling, 0)
    assert np.array_equal(chosen, again)
    assert np.array_equal(model.weights, blind.weights)
    assert len(names) == len(NAMES)


def test_one_device_prints_one_document(script, files, capsys):
    table, sources = map(str, files)
    arguments = ["--table", table, "--sources", sources, "--device", "lat_new", "--seeds", "2", "--json"]
    assert script.main([*arguments, "--samples", "15"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["device", "samples", "spearman", "within_10", "median_ape"]
    assert (told["device"], told["samples"]) == ("lat_new", 15)
    assert told["spearman"] > 0.9
    assert told["within_10"] > 0.6


def test_the_table_shows_the_baseline_beside(script, files, capsys):
    table, sources = map(str, files)
    assert script.main(["--table", table, "--sources", sources, "--samples", "10", "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    assert "baseline" in out
    assert "lat_disguised" in out
    assert "mean" in out


def test_wrong_names_are_told_with_what_is_allowed(script, files, tmp_path, capsys):
    table, sources = map(str, files)
    with pytest.raises(SystemExit, match="lat_alpha_64"):
        script.main(["--table", table, "--sources", sources, "--device", "lat_nothing"])
    with pytest.raises(SystemExit, match="gamma_1"):
        script.main(["--table", table, "--sources", sources, "--source-devices", "zeta"])
    assert script.main(["--table", str(tmp_path / "none.csv")]) == 0
    assert "skipped" in capsys.readouterr().out


def test_edges_without_input_or_output_are_pruned(script):
    none, skip, conv = 0, 1, 4
    # node 1 is fed and used; node 2 is fed only; e03 is off
    cells = np.array([[conv, skip, none, none, skip, none]])
    fed, used, live = script.cell_tools.pruned(cells)
    assert fed.tolist() == [[conv, skip, none, none, skip, none]]
    assert used.tolist() == [[conv, none, none, none, skip, none]]
    assert live.tolist() == used.tolist()
