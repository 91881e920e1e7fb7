from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.tasks.apply import apply
from advisor.tasks.load import open_task
from advisor.tasks.peek import peek
from advisor.tasks.table import layout
from specs.errors import DataError

Make = Callable[..., Any]


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(header: list[str], rows: list[list[Any]], mark: str = ",", encoding: str = "utf-8") -> Path:
        path = tmp_path / "windows.csv"
        lines = [mark.join(str(value) for value in row) for row in [header, *rows]]
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write


def windows(rng: np.random.RandomState, count: int = 30, values: int = 6) -> list[list[Any]]:
    return [[*(round(v, 4) for v in rng.standard_normal(values)), "walk" if i % 2 else "run"] for i in range(count)]


@pytest.mark.parametrize(
    ("header", "order", "shape"),
    [
        (["ax_0", "ax_1", "ax_2", "ay_0", "ay_1", "ay_2"], [0, 3, 1, 4, 2, 5], (3, 2)),
        (["ax_1", "ay_1", "ax_2", "ay_2", "ax_3", "ay_3"], [0, 1, 2, 3, 4, 5], (3, 2)),
        (["t2_ay", "t2_ax", "t6_ay", "t6_ax", "t10_ay", "t10_ax"], [0, 1, 2, 3, 4, 5], (3, 2)),
        (["gyro_x_1", "gyro_x_0", "gyro_y_1", "gyro_y_0", "z_0", "z_1"], [1, 3, 4, 0, 2, 5], (2, 3)),
        (["a", "b", "c", "d", "e", "f"], [0, 1, 2, 3, 4, 5], (6, 1)),
        (["s_0", "s_1", "s_2", "s_3", "s_4", "mean"], [0, 1, 2, 3, 4, 5], (6, 1)),
    ],
)
def test_layouts(
    spec: Make, table: Make, rng: np.random.RandomState, header: list[str], order: list[int], shape: tuple[int, int]
) -> None:
    found, sides = layout(header, "here")
    assert (found.tolist(), sides) == (order, shape)
    rows = windows(rng)
    for mark in ",;\t":
        task = open_task(spec("series", table([*header, "label"], rows, mark, "utf-8-sig")))
        assert task.shape == shape
        assert task.classes == ("run", "walk")
        raw = {tuple(np.asarray(row[:6], np.float32)[order]) for row in rows}
        for split in ("train", "val", "test"):
            assert {tuple(sample.ravel()) for sample in task.raw(split)} <= raw
            np.testing.assert_array_equal(apply(task.preprocessing().numbers, task.raw(split)), task.load(split).x)


def test_special_columns_anywhere(spec: Make, table: Make, rng: np.random.RandomState) -> None:
    rows = [["train" if i < 20 else "test", 10 - i % 2, *rng.standard_normal(4), f"s{i // 5}"] for i in range(30)]
    task = open_task(spec("series", table(["Split", "Label", "ax_0", "ax_1", "ay_0", "ay_1", "Subject"], rows)))
    assert task.shape == (2, 2)
    assert task.classes == ("9", "10"), "numbers in the order of their values"
    assert len(task.load("test")) == 10
    assert any("by group" in note for note in task.notes)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (["a", "b", "c", "what"], "rename the column that holds the class to `label`, or add one"),
        (["a", "b", "c", "Class"], "rename the column Class to `label`"),
        (["ax_0", "ax_1", "ax_2", "ax_3"], "allowed: readings and a column `label`"),
    ],
)
def test_a_table_without_labels_is_refused(
    spec: Make, table: Make, rng: np.random.RandomState, header: list[str], told: str
) -> None:
    path = table(header, [[*rng.standard_normal(3), i % 2] for i in range(20)])
    for ask in (open_task, peek):
        with pytest.raises(DataError, match="no column `label`; seen '") as caught:
            ask(spec("series", path))
        assert told in caught.value.line()


def test_a_row_that_is_too_short_is_refused_before_a_search_too(spec: Make, table: Make) -> None:
    for ask in (open_task, peek):
        with pytest.raises(DataError, match=r"line 14: a row of another length; seen '2 columns'"):
            ask(spec("series", table(["x_0", "x_1", "label"], [*ROWS, [1, 2]])))


def test_a_hole_among_the_indexes_is_refused_and_a_wider_step_is_not(
    spec: Make, table: Make, rng: np.random.RandomState
) -> None:
    rows = windows(rng, values=4)
    for ask in (open_task, peek):
        with pytest.raises(DataError, match=r"3 after 1.*steps of 1.*add the columns of index 2"):
            ask(spec("series", table(["ax_0", "ax_1", "ax_3", "ax_4", "label"], rows)))
    assert open_task(spec("series", table(["ax_0", "ax_10", "ax_20", "ax_30", "label"], rows))).shape == (4, 1)


def test_test_and_validation_by_subject(spec: Make, table: Make, rng: np.random.RandomState) -> None:
    rows = [[i // 8, *rng.standard_normal(3), "yes" if i % 2 else "no"] for i in range(80)]
    for row in rows:
        row[1] = row[0]  # to find it again
    task = open_task(spec("series", table(["group", "a", "b", "c", "label"], rows)))
    seen = [set(task.raw(split)[:, 0, 0]) for split in ("train", "val", "test")]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 10


ROWS: list[list[Any]] = [[i, i * 2, "a" if i % 2 else "b"] for i in range(12)]
BAD: list[tuple[list[str], list[list[Any]], str]] = [
    (["1.0", "2.0", "3"], ROWS, "no header line"),
    ([""], [], "no header line"),
    (["x", "x", "label"], ROWS, "columns of the same name; seen 'x'"),
    (["label"], [["a"]], "no columns of readings"),
    (["x_0", "x_1", "label"], [*ROWS, [1, 2]], "line 14: a row of another length; seen '2 columns'"),
    (["x_0", "x_1", "label"], [*ROWS, [1, "1,5", "a"]], "line 14"),
    (["x_0", "x_1", "label"], [*ROWS, [1, "much", "a"]], "line 14, column x_1: not a number; seen 'much'"),
    (["x_0", "x_1", "label"], [*ROWS, [1, "", "a"], [1, "nan", "a"], [1, "1e99", "b"]], "3 of 15"),
    (["x_0", "y_1", "label"], ROWS, "channels of different lengths"),
    (["x_0", "split", "label"], ROWS, "line 2: not a split; seen '0'"),
    (["x_0", "split", "label"], [[1, "test", "a"]], "no window for training"),
    (["x_0", "x_1", "label"], [], "no samples"),
    (["x_0", "x_1", "label"], [[1, 2, "a"], [3, 4, "a"]], "a single class"),
    (["x_0", "x_1", "label"], [*ROWS, [5, 5, "c"], [6, 6, "c"]], r"c \(2\)"),
]


@pytest.mark.parametrize(("header", "rows", "message"), BAD, ids=[message[:30] for _, _, message in BAD])
def test_one_clear_line(spec: Make, table: Make, header: list[str], rows: list[list[Any]], message: str) -> None:
    path = table(header, rows)
    with pytest.raises(DataError, match=message) as caught:
        open_task(spec("series", path))
    assert caught.value.line().startswith(str(path))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a", b"a_0,label\n\x00\xff,1\n", b'"' + b"x" * 200_000])
def test_not_a_table(spec: Make, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "windows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError):
        open_task(spec("series", path))
