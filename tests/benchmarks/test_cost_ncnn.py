"""The benchmark takes any table and folder of graphs, and says in a line what it cannot take."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cost_ncnn.py"
COLUMNS = ("device", "model_variant", "compute_unit", "threads", "latency_ms", "notes")


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def tables(tmp_path):
    """Four boards and eight networks of one to eight convolutions, whose latency is what they multiply."""
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    rows = []
    for layers in range(1, 9):
        lines = ["7767517", f"{layers + 1} {layers + 1}", "Input data 0 1 b0 0=32 1=32 2=8"]
        lines += [f"Convolution c{i} 1 1 b{i} b{i + 1} 0=8 1=3 4=1 5=1 6=576" for i in range(layers)]
        (graphs / f"net{layers}.param").write_text("\n".join(lines) + "\n")
        rows += [(f"board {b}", f"net{layers}", "CPU", 1, layers * (1 + b), "powersave=0") for b in range(4)]
    rows += [("board 0", "no graph", "CPU", 1, 5.0, ""), ("board 0", "net1", "GPU", 1, 1.0, "")]
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return table, graphs


def test_reports_held_out_errors(tables):
    done = run("--measurements", tables[0], "--graphs", tables[1], "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["boards"], found["networks"], found["skipped"]) == (4, 8, ["no graph"])
    assert found["unseen_network"]["median_error"] < 0.08
    assert found["unseen_board"]["median_error"] < 0.10
    assert found["unseen_network"]["baseline"] < 0.01  # latency is linear in MACs here


@pytest.mark.parametrize("wrong", ["table", "graphs", "columns"])
def test_bad_input_is_one_line(tables, tmp_path, wrong):
    table, graphs = tables
    if wrong == "table":
        table = tmp_path / "none.csv"
    elif wrong == "graphs":
        graphs = tmp_path / "none"
    else:
        table.write_text("a,b\n1,2\n")
    done = run("--measurements", table, "--graphs", graphs)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
