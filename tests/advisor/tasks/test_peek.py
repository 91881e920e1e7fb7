"""A peek says what `open_task` would, from headers; without data it says what it assumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.tasks import peek as module
from advisor.tasks.load import open_task
from advisor.tasks.peek import least, peek
from specs.errors import DataError
from specs.spec import Spec

Make = Callable[..., Spec]


def agrees(spec: Spec) -> None:
    seen, task = peek(spec), open_task(spec)
    assert seen.shapes == task.shapes
    assert seen.frontend_macs == task.preprocessing().macs
    assert seen.classes == len(task.classes)
    assert not seen.assumed
    assert seen.note


def test_digits(spec: Make) -> None:
    agrees(spec("image", "digits"))


def test_digits_are_no_sounds(spec: Make) -> None:
    with pytest.raises(DataError, match="pictures"):
        peek(spec("audio", "digits"))


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("image", (32, 32, 3), "uint8"), ("image", (20, 24), "uint8"), ("image", (9, 9, 1), "float32"),
        ("series", (16, 3), "float32"), ("series", (40,), "float64"), ("audio", (16000,), "int16"),
        ("audio", (49, 10), "float32"), ("audio", (49, 10, 1), "float32"),
    ],
)  # fmt: skip
def test_archives(spec: Make, arrays: Any, npz: Any, kind: str, shape: tuple[int, ...], dtype: str) -> None:
    agrees(spec(kind, npz(**arrays(shape, dtype=dtype))))


def test_archives_with_named_classes_and_a_rate(spec: Make, arrays: Any, npz: Any) -> None:
    more = {"classes": np.array(["a", "b", "c"]), "rate": np.array(8000)}
    agrees(spec("audio", npz(**arrays((8000,), dtype="int16"), **more)))


@pytest.mark.parametrize("front", ["mfcc", "log-mel", "raw"])
def test_front_ends(spec: Make, arrays: Any, npz: Any, front: str) -> None:
    agrees(spec("audio", npz(**arrays((8000,), dtype="int16")), frontend=front))


def test_tables(spec: Make, tmp_path: Path, rng: np.random.RandomState) -> None:
    names = [f"{axis}_{i}" for axis in ("ax", "ay") for i in range(8)]
    lines = [",".join([*names, "label", "split"])]
    for i in range(60):
        split = "test" if i % 4 == 0 else "train"
        lines.append(",".join([*(f"{v:.3f}" for v in rng.standard_normal(16)), str(i % 3), split]))
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines))
    agrees(spec("series", path))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_folders_of_pictures(spec: Make, tmp_path: Path, picture: Any, rng: np.random.RandomState, mode: str) -> None:
    for label in ("cat", "dog"):
        for i in range(8):
            pixels = rng.randint(0, 256, (40, 44) if mode == "L" else (40, 44, 3)).astype(np.uint8)
            picture(tmp_path / "data" / label / f"{i}.png", pixels)
    (tmp_path / "data" / "dog" / "broken.png").write_bytes(b"no picture")
    seen = peek(spec("image", tmp_path / "data"))
    assert seen.shapes[0] == (40, 40, 1 if mode == "L" else 3)
    agrees(spec("image", tmp_path / "data"))


@pytest.mark.parametrize("width", [1, 2, 4])
def test_folders_of_sounds(spec: Make, tmp_path: Path, sound: Any, width: int) -> None:
    for label, hz in (("low", 300), ("high", 900)):
        for i in range(8):
            sound(
                tmp_path / "data" / label / f"{i}.wav", hz + i, 0.4 + 0.01 * i, 16000, channels=1 + i % 2, width=width
            )
    (tmp_path / "data" / "low" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "data" / "low" / "notes.txt").write_text("no sound")
    agrees(spec("audio", tmp_path / "data"))


def test_large_folders_are_sampled(
    spec: Make, tmp_path: Path, picture: Any, rng: np.random.RandomState, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("a", "b", "c"):
        for i in range(9):
            picture(tmp_path / "data" / label / f"{i}.png", rng.randint(0, 256, (24, 24, 3)).astype(np.uint8))
    monkeypatch.setattr(module, "MAX_HEADERS", 5)
    seen = peek(spec("image", tmp_path / "data"))
    assert seen.classes == 3
    assert seen.shapes[0] == (24, 24, 3)
    assert "selection" in seen.note


@pytest.mark.parametrize(
    ("kind", "shape", "classes"), [("image", (96, 96, 3), 2), ("audio", (49, 10, 1), 12), ("series", (64, 6), 5)]
)
def test_data_that_does_not_exist_yet_is_assumed(spec: Make, kind: str, shape: tuple[int, ...], classes: int) -> None:
    seen = peek(spec(kind, "nowhere/at-all"))
    assert (seen.shapes[0], seen.classes) == (shape, classes)
    assert "nowhere/at-all does not exist yet" in seen.assumed
    assert "assumed" in seen.assumed
    assert all(len(small) == len(shape) for small in least(spec(kind, "x").task.kind).shapes)


def test_damaged_data_is_an_error(spec: Make, tmp_path: Path, arrays: Any, npz: Any) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(DataError):
        peek(spec("image", path))
    with pytest.raises(DataError, match="missing"):
        peek(spec("series", npz(X_train=np.zeros((4, 3)))))
    with pytest.raises(DataError, match="not image"):
        peek(spec("image", npz(**arrays((3, 32, 32)))))
    with pytest.raises(DataError):
        peek(spec("image", _empty(tmp_path)))


def test_a_peek_imports_nothing_heavy() -> None:
    code = (
        "import sys; from specs.spec import Spec, TaskSpec; from advisor.tasks.peek import peek; "
        "peek(Spec('t', TaskSpec('image-classification', 'digits'), ())); "
        "import advisor.feasibility.assess, advisor.report.feasibility; "
        "print([m for m in ('torch', 'tensorflow', 'sklearn', 'onnxruntime', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _empty(folder: Path) -> Path:
    (folder / "none" / "class").mkdir(parents=True)
    return folder / "none"
