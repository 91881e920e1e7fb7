from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.tasks.apply import apply
from advisor.tasks.base import Task
from advisor.tasks.load import open_task
from advisor.tasks.task import MemoryTask, smaller
from specs.errors import DataError

Make = Callable[..., Any]


def test_digits(spec: Make) -> None:
    task: Task = open_task(spec("image", "digits"))
    assert task.kind == "image-classification"
    assert (task.shape, task.shapes) == ((8, 8, 1), ((8, 8, 1),))
    assert task.classes == tuple("0123456789")
    data = {split: task.load(split) for split in ("train", "val", "test")}
    assert sum(map(len, data.values())) == 1797
    assert len(data["test"]) == 359
    for split, loaded in data.items():
        assert np.bincount(loaded.y).min() >= 25, split
        np.testing.assert_array_equal(apply(task.preprocessing().numbers, task.raw(split)), loaded.x)  # type: ignore[attr-defined]
    assert abs(float(data["train"].x.mean())) < 1e-5
    numbers = task.preprocessing().numbers
    assert numbers["scale"] == 1 / 16
    assert "1/16" in task.preprocessing().words
    assert task.score(data["test"].y, data["test"].y).value == 1.0
    assert task.load("train") is data["train"], "kept in memory"


def test_equal_in_every_process(spec: Make) -> None:
    task = open_task(spec("image", "digits"))
    code = (
        "from specs.spec import Spec, TaskSpec; from advisor.tasks.load import open_task;"
        "t = open_task(Spec('x', TaskSpec('image-classification', 'digits'), ()));"
        "print(t.fingerprint, float(t.load('val').x.sum()), t.load('train').y[:9].tolist())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = f"{task.fingerprint} {float(task.load('val').x.sum())} {task.load('train').y[:9].tolist()}"
    assert result.stdout.strip() == expected


def test_pickles_without_what_it_prepared(spec: Make) -> None:
    task = open_task(spec("image", "digits"))
    before = len(pickle.dumps(task))
    x = task.load("test").x
    assert len(pickle.dumps(task)) < before + 1000
    copy = pickle.loads(pickle.dumps(task))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(copy.load("test").x, x)


def test_fingerprint_follows_the_data(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    first = open_task(spec("series", npz(**data))).fingerprint
    assert open_task(spec("series", npz(**data, more=np.zeros(2)))).fingerprint == first
    data["X_test"][0, 0, 0] += 1
    assert open_task(spec("series", npz(**data))).fingerprint != first


def test_numbers_are_json(spec: Make, npz: Make, arrays: Make) -> None:
    import json

    for kind, shape, dtype in (
        ("series", (16, 3), "float32"),
        ("image", (9, 9, 3), "uint8"),
        ("audio", (8000,), "int16"),
    ):
        task = open_task(spec(kind, npz(**arrays(shape, dtype=dtype))))
        numbers = task.preprocessing().numbers
        again = json.loads(json.dumps(numbers, allow_nan=False))
        assert again == numbers
        np.testing.assert_array_equal(apply(again, task.raw("test")), task.load("test").x)  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy", "macro-f1"])
def test_metric_of_the_spec(spec: Make, metric: str) -> None:
    task = open_task(spec("image", "digits", metric=metric))
    assert isinstance(task, MemoryTask)
    labels = np.array([0, 0, 0, 1])
    expected = {"accuracy": 0.75, "balanced-accuracy": 0.5, "macro-f1": 3 / 7}
    assert task.score(np.zeros(4, np.int64), labels).value == pytest.approx(expected[metric])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8, 1), []),
        ((16, 16, 3), []),
        ((28, 28, 1), [(24, 24, 1), (16, 16, 1)]),
        ((32, 32, 3), [(24, 24, 3), (16, 16, 3)]),
        ((96, 96, 3), [(72, 72, 3), (48, 48, 3)]),
        ((20, 40, 1), [(16, 32, 1), (8, 24, 1)]),
    ],
)
def test_smaller_shapes(shape: tuple[int, ...], expected: list[tuple[int, ...]]) -> None:
    assert list(smaller(shape)) == [shape, *expected]


def test_refuses(spec: Make, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("x")
    (tmp_path / "data.csv").write_text("x")
    for kind, data, message in (
        ("image", "nowhere", "no such data set"),
        ("image", "digit", "did you mean 'digits'"),
        ("image", "a" * 5000, "not a path|no such data set"),
        ("image", "a\0b", "not a path|no such data set"),
        ("image", tmp_path / "data.txt", r"not image-classification data; seen '\.txt'"),
        ("image", tmp_path / "data.csv", r"seen '\.csv'"),
        ("series", tmp_path, "seen 'a folder'; allowed: a .csv or an .npz"),
        ("series", "digits", "`digits` are pictures"),
    ):
        with pytest.raises(DataError, match=message):
            open_task(spec(kind, data))
    with pytest.raises(DataError, match="unknown split"):
        open_task(spec("image", "digits")).load("all")


def test_import_is_light() -> None:
    code = (
        "import sys, advisor.tasks.load; print([m for m in ('sklearn', 'PIL', 'scipy', 'torch') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
