"""The search benchmark on made-up tables: the document it prints, what it may not read, what it refuses."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OPERATORS = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
SOURCES = ["alpha_1", "beta", "gamma_1", "delta"]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("search_nb201")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A table of 400 cells on two devices and one of other chips'; more convolutions are better and slower."""
    rng = np.random.default_rng(0)
    numbers = rng.choice(5**6, 400, replace=False)
    cells = np.stack([numbers // 5**k % 5 for k in range(6)], 1)
    text = ["|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*(OPERATORS[code] for code in row)) for row in cells]
    count = np.stack([(cells == k).sum(1) for k in range(5)], 1)
    prices = rng.gamma(2, 1, (len(SOURCES) + 2, 5)) * [0.1, 0.2, 0.5, 1, 4]
    ms = (2 + count @ prices.T) * np.exp(rng.normal(0, 0.02, (400, len(SOURCES) + 2)))
    accuracy = 75 - 40 * np.exp(-count @ [0, 0.1, 0.1, 0.5, 1.0]) + rng.normal(0, 0.2, 400)
    folder = tmp_path_factory.mktemp("tables")
    named = dict(zip(SOURCES, ms[:, 2:].T, strict=True))
    pd.DataFrame({"arch_idx": range(400), "arch_str": text, **named}).to_csv(folder / "sources.csv", index=False)
    pd.DataFrame({"arch_str": text, "acc_cifar100_test": accuracy, "lat_new": ms[:, 0], "elsewhere": ms[:, 1]}).to_csv(
        folder / "table.csv.gz", index=False
    )
    return folder / "table.csv.gz", folder / "sources.csv"


def arguments(files, *more):
    return ["--table", str(files[0]), "--sources", str(files[1]), "--processes", "1", "--seeds", "1", *more]


def test_the_document_has_means_and_every_device(script, files, capsys):
    assert script.main(arguments(files, "--latency", "lat_new", "elsewhere", "--budget", "25", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["hv"]) == list(told["regret30"]) == ["25"]
    assert set(told["per_device"]) == {"lat_new", "elsewhere"}
    each = [row["hv"]["25"] for row in told["per_device"].values()]
    assert told["hv"]["25"] == pytest.approx(np.mean(each))
    assert told["known"]["exact"]["hv"] == told["hv"]
    assert told["hv"]["25"] > told["baselines"]["tpe"]["hv"]["25"]
    assert told["known"]["few-shot"]["hv"]["25"] > told["baselines"]["tpe"]["hv"]["25"]


def test_the_table_shows_the_baseline_beside_and_processes_change_nothing(files):
    """As a command: worker processes start from its own main module."""
    shown = []
    for processes in ("1", "2"):
        more = ["--processes", processes, "--budget", "12", "--known", "exact"]
        command = [sys.executable, str(BENCHMARKS / "search_nb201.py"), *arguments(files, *more)]
        shown.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert shown[0] == shown[1]
    assert "TPE, multivariate" in shown[0]
    assert "latency known" in shown[0]
    assert "elsewhere" not in shown[0]


@pytest.mark.parametrize("known", ["exact", "few-shot"])
def test_accuracy_and_latency_that_were_not_evaluated_are_not_read(script, files, known):
    tables = script.Tables(files[0], ["lat_new"], "acc_cifar100_test", files[1], 12, 25)
    space, frame, bench = tables.learned
    accuracy, latency = frame["acc_cifar100_test"].to_numpy(float), frame["lat_new"].to_numpy(float)

    def searched(accuracy, latency):
        task = script.Task(accuracy, latency)
        if known == "exact":
            return script.ours(space, task, script.ExactLatency(space, task.log), 25, 0), []
        learned = script.FewShotLatency(space, latency, bench, "lat_new", 12, 0)
        return script.ours(space, task, learned, 25, 0), learned.measured

    seen, measured = searched(accuracy, latency)
    hidden = np.setdiff1d(np.arange(len(accuracy)), seen)
    changed = accuracy.copy()
    changed[hidden] = np.random.default_rng(1).permutation(accuracy[hidden])
    other = latency.copy()
    if known == "few-shot":
        other[np.setdiff1d(hidden, measured)] *= 1.5
        bench.latency.loc[np.setdiff1d(hidden, measured), "lat_new"] *= 1.5
    again, _ = searched(changed, other)
    assert np.array_equal(seen, again)


def test_without_sources_only_known_latency_is_shown(script, files, tmp_path, capsys):
    given = ["--table", str(files[0]), "--sources", str(tmp_path / "none.csv"), "--processes", "1"]
    assert script.main([*given, "--seeds", "1", "--budget", "12", "--samplers"]) == 0
    out = capsys.readouterr().out
    assert "few-shot skipped" in out
    assert "latency known" in out
    assert script.main([*given, "--known", "few-shot"]) == 0
    assert "HV" not in capsys.readouterr().out


def test_what_cannot_be_used_is_told_with_what_is_there(script, files, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"no column 'lat_none'; seen arch_str"):
        script.main(arguments(files, "--latency", "lat_none"))
    assert script.main(["--table", str(tmp_path / "none.csv")]) == 0
    assert "skipped" in capsys.readouterr().out


def test_isomorphic_cells_are_one_class_and_others_are_not(script):
    none, skip, pool, conv = 0, 1, 2, 4
    # edges in the order 01 02 12 03 13 23: two ways from input to output, their operators exchanged, one replaced
    cells = np.array([[skip, none, none, pool, conv, none], [skip, none, none, conv, pool, none],
                      [skip, none, none, conv, conv, none]])  # fmt: skip
    space = script.Space(cells)
    one, two, three = (space.canonical(row) for row in space.rows)
    assert one == two != three
