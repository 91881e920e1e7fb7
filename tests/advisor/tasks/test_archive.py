from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.tasks.apply import apply
from advisor.tasks.load import open_task
from specs.errors import DataError

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "shape", "dtype", "expected"),
    [
        ("image", (16, 16, 3), "uint8", (16, 16, 3)),
        ("image", (16, 12), "uint8", (16, 12, 1)),
        ("image", (8, 8, 1), "float32", (8, 8, 1)),
        ("audio", (8000,), "int16", (49, 10, 1)),
        ("audio", (8000,), "float64", (49, 10, 1)),
        ("audio", (20, 12), "float32", (20, 12, 1)),
        ("audio", (20, 12, 1), "float16", (20, 12, 1)),
        ("series", (16, 3), "float32", (16, 3)),
        ("series", (16,), "float64", (16, 1)),
        ("series", (16, 2), "int16", (16, 2)),
        ("series", (16, 2), ">i2", (16, 2)),
    ],
)
def test_forms(
    spec: Make, npz: Make, arrays: Make, kind: str, shape: tuple[int, ...], dtype: str, expected: tuple[int, ...]
) -> None:
    data = arrays(shape, dtype="int16" if dtype == ">i2" else dtype)
    data |= {key: data[key].astype(dtype) for key in ("X_train", "X_test")}
    task = open_task(spec(kind, npz(**data, ignored=np.zeros(3))))
    assert task.shape == expected
    assert task.classes == ("0", "1", "2")
    sizes = {}
    for split in ("train", "val", "test"):
        loaded = task.load(split)
        sizes[split] = len(loaded)
        assert loaded.x.dtype == np.float32
        assert loaded.x.shape == (len(loaded), *expected)
        assert loaded.y.dtype == np.int64
        np.testing.assert_array_equal(apply(task.preprocessing().numbers, task.raw(split)), loaded.x)
    assert sizes["test"] == 15
    assert sizes["train"] + sizes["val"] == 60
    assert 9 <= sizes["val"] <= 12
    np.testing.assert_array_equal(task.load("test").y, np.arange(15) % 3)
    flat = task.load("train").x.astype(np.float64)
    flat = flat.reshape(-1, len(task.preprocessing().numbers["mean"]))
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=1e-3)


def test_front_ends_of_waveforms(spec: Make, npz: Make, arrays: Make) -> None:
    path = npz(**arrays((16000,), 12, 6, "int16"))
    assert open_task(spec("audio", path, frontend="log-mel")).shape == (49, 40, 1)
    assert open_task(spec("audio", path, frontend="raw")).shape == (16000, 1)
    task = open_task(spec("audio", path))
    assert task.preprocessing().macs > 100_000
    assert task.preprocessing().bytes > 100_000
    assert any("16000 samples taken as 16000 Hz" in note for note in task.notes)
    assert open_task(spec("audio", npz(**arrays((16000,), 12, 6, "int16"), rate=32000))).shape == (24, 10, 1)


@pytest.mark.parametrize("text", [True, False])
def test_label_types(spec: Make, npz: Make, arrays: Make, text: bool) -> None:
    data = arrays()
    names = np.array(["walk", "run", "sit"])
    if text:
        data |= {key: names[data[key]] for key in ("y_train", "y_test")}
    else:
        data["y_train"] = data["y_train"].astype(np.float64)[:, None]
    task = open_task(spec("series", npz(**data)))
    assert task.classes == (("run", "sit", "walk") if text else ("0", "1", "2"))
    assert task.classes[task.load("test").y[0]] == ("walk" if text else "0")


def test_class_names(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays() | {"classes": np.array(["z", "y", "x"])}
    task = open_task(spec("series", npz(**data)))
    assert task.classes == ("z", "y", "x")
    assert task.load("test").y[1] == 1
    for key in ("y_train", "y_test"):
        data[key] = data["classes"][data[key]].astype("S1")
    again = open_task(spec("series", npz(**data)))
    assert again.fingerprint == task.fingerprint


def test_labels_that_skip_numbers_become_indexes(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    data |= {"y_train": data["y_train"] * 5 - 3, "y_test": data["y_test"] * 5 - 3}
    task = open_task(spec("series", npz(**data)))
    assert task.classes == ("-3", "2", "7")
    assert set(task.load("train").y) == {0, 1, 2}


def test_given_validation_is_kept(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    other = arrays(train=9, test=3)
    task = open_task(spec("series", npz(**data, X_val=other["X_train"], y_val=other["y_train"])))
    assert [len(task.load(split)) for split in ("train", "val", "test")] == [60, 9, 15]
    np.testing.assert_array_equal(task.raw("val"), other["X_train"])


@pytest.mark.parametrize("name", ["subject", "group", "speaker"])
def test_validation_by_group(spec: Make, npz: Make, arrays: Make, name: str) -> None:
    data = arrays()
    groups = np.repeat(np.arange(6), 10)
    data |= {f"{name}_train": groups, f"{name}_test": np.full(15, 9)}
    data["X_train"][:, 0, 0] = groups  # to find them again
    task = open_task(spec("series", npz(**data)))
    train, val = (set(task.raw(split)[:, 0, 0]) for split in ("train", "val"))
    assert val
    assert not train & val
    assert any("by group" in note for note in task.notes)


def test_known_speakers_are_not_a_group(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays() | {"speaker_train": np.arange(60) % 4, "speaker_test": np.arange(15) % 4}
    assert any("stratified" in note for note in open_task(spec("series", npz(**data))).notes)
    data = arrays() | {"subject_train": np.arange(60) // 15, "subject_test": np.arange(15) % 4}
    assert any("groups in training and in test" in note for note in open_task(spec("series", npz(**data))).notes)


def test_duplicates_are_told_and_never_validate(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    data["X_train"][:40] = data["X_test"][0]
    task = open_task(spec("series", npz(**data)))
    test = {sample.tobytes() for sample in task.raw("test")}
    assert not any(sample.tobytes() in test for sample in task.raw("val"))
    text = " ".join(task.notes)
    assert "40 training samples also in test" in text
    data |= {"X_val": data["X_test"][:6].copy(), "y_val": data["y_test"][:6]}
    data["X_val"][3:] += 1
    task = open_task(spec("series", npz(**data)))
    assert len(task.load("val")) == 3
    assert any("3 validation samples left out" in note for note in task.notes)


def test_copies_stay_together(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    data["X_train"][30:] = data["X_train"][:30]
    task = open_task(spec("series", npz(**data)))
    train, val = ({sample.tobytes() for sample in task.raw(split)} for split in ("train", "val"))
    assert val
    assert not train & val
    data["X_train"][:] = 1
    with pytest.raises(DataError, match="too few distinct samples to hold some out; seen '1 distinct'"):
        open_task(spec("series", npz(**data)))


def test_scale_follows_the_range_of_pixels(spec: Make, npz: Make, arrays: Make) -> None:
    for factor, expected in ((1.0, 1.0), (255.0, 1 / 255), (65535.0, 1 / 65535), (-1.0, 1.0)):
        data = arrays((8, 8, 1))
        data |= {key: np.abs(data[key]) / 10 * factor for key in ("X_train", "X_test")}
        assert open_task(spec("image", npz(**data))).preprocessing().numbers["scale"] == expected


def test_constant_channel_stays_finite(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    data["X_train"][:, :, 1] = 1e6
    x = open_task(spec("series", npz(**data))).load("train").x
    assert (x[:, :, 1] == 0).all()
    assert np.isfinite(x).all()


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("series", {"y_test": None}, "arrays missing: y_test"),
    ("series", {"X_val": np.zeros((3, 16, 3))}, "arrays missing: y_val"),
    ("series", {"X_test": np.zeros((15, 17, 3))}, "splits of different shapes"),
    ("series", {"y_train": np.arange(59) % 3}, "labels out of line with samples"),
    ("series", {"y_train": np.eye(3)[np.arange(60) % 3]}, "argmax"),
    ("series", {"y_train": np.arange(60) / 7}, "neither whole numbers nor text"),
    ("series", {"y_train": np.zeros(60, int)}, "a single class"),
    (
        "series",
        {"y_train": np.minimum(np.arange(60), 1), "y_test": np.ones(15, int)},
        r"too few training samples; seen '0 \(1\)'",
    ),
    ("series", {"y_train": np.arange(60)}, "too few training samples"),
    ("series", {"y_test": np.full(15, 7)}, "labels without a class; seen '7'"),
    ("series", {"y_test": np.full(15, "x")}, "numbers in one split and text"),
    ("series", {"classes": np.array(["a", "b"])}, "labels without a class; seen '2'"),
    ("series", {"classes": np.array(["a", "b", "c", "d"])}, r"d \(0\)"),
    ("series", {"classes": np.array(["a", "b", "b"])}, "class names twice"),
    (
        "series",
        {"X_train": np.zeros((60, 16, 3, 2)), "X_test": np.zeros((15, 16, 3, 2))},
        r"allowed: \(N, T, C\) or \(N, T\)",
    ),
    ("series", {"X_train": np.full((60, 16, 3), "a")}, "samples must be numbers"),
    ("series", {"X_train": np.zeros((60, 16, 3), complex)}, "not an array of numbers"),
    ("series", {"X_train": np.zeros((60, 16, 3), object)}, "pickled objects"),
    ("series", {"y_train": np.array(["a"] * 60, object)}, "dtype=str"),
    ("series", {"X_train": np.full((60, 16, 3), 1e300)}, "60 of 60"),
    ("series", {"X_test": np.zeros((0, 16, 3)), "y_test": np.zeros(0, int)}, "no samples"),
    ("series", {"subject_train": np.zeros(7)}, "subject_train out of line"),
    ("image", {"X_train": np.zeros((60, 3, 16, 16)), "X_test": np.zeros((15, 3, 16, 16))}, "transpose"),
    ("image", {"X_train": np.zeros((60, 4, 4, 3)), "X_test": np.zeros((15, 4, 4, 3))}, "sides from 8"),
    ("image", {"X_train": np.zeros((60, 16, 16, 4)), "X_test": np.zeros((15, 16, 16, 4))}, "1 or 3"),
    ("audio", {"X_train": np.random.RandomState(0).rand(60, 9), "X_test": np.zeros((15, 9))}, "too short for mfcc"),
    ("audio", {"X_train": np.zeros((60, 900)), "X_test": np.zeros((15, 900)), "rate": 3}, "not a sampling rate"),
]


@pytest.mark.parametrize(("kind", "changes", "message"), BAD, ids=[f"{k}-{m[:24]}" for k, _, m in BAD])
def test_one_clear_line(spec: Make, npz: Make, arrays: Make, kind: str, changes: dict[str, Any], message: str) -> None:
    data = {key: value for key, value in (arrays() | changes).items() if value is not None}
    path = npz(**data)
    with pytest.raises(DataError, match=message) as caught:
        open_task(spec(kind, path))
    assert caught.value.line().startswith(str(path))
    assert "\n" not in str(caught.value)


def test_nan_is_counted(spec: Make, npz: Make, arrays: Make) -> None:
    data = arrays()
    data["X_train"][3, 2, 1] = np.nan
    data["X_train"][8] = np.inf
    with pytest.raises(DataError, match=r"train: samples with values that are not finite.*2 of 60"):
        open_task(spec("series", npz(**data)))


def test_features_take_no_front_end(spec: Make, npz: Make, arrays: Make) -> None:
    with pytest.raises(DataError, match="holds features already"):
        open_task(spec("audio", npz(**arrays()), frontend="mfcc"))


def _header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_header((2**40, 16, 3)), "too large"),
        (_header((2**80,), "<U0"), "too large"),
        (_header((10**6, 1000)), "too large"),
        (_header((60, 16, 3)), "damaged one"),
        (_header((60, 16, 3)) + bytes(2**20), "longer than its header"),
        (b"\x93NUMPY", "damaged one"),
        (b"", "damaged one"),
        (b"\x93NUMPY\x01\x00\x08\x00garbage\n", "damaged one"),
        (b"\x80\x04\x95pickle", "damaged one"),
    ],
)
def test_hostile_members(spec: Make, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X_train.npy", content)
    with pytest.raises(DataError, match=message):
        open_task(spec("series", path))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 60])
def test_not_an_archive(spec: Make, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not an \.npz file"):
        open_task(spec("series", path))


def test_truncated_and_flipped_files_end_in_one_line(spec: Make, npz: Make, arrays: Make) -> None:
    path = npz(**arrays())
    whole = path.read_bytes()
    rng = np.random.RandomState(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.randint(0, len(whole), 3):
            damaged[at] ^= 1 << rng.randint(8)
        path.write_bytes(bytes(damaged[: rng.randint(len(whole) // 2, len(whole) + 1)]))
        with contextlib.suppress(DataError):  # anything else would escape
            open_task(spec("series", path))


def test_empty_archive_shows_what_it_has(spec: Make, npz: Make) -> None:
    with pytest.raises(DataError, match=r"arrays missing: X_train, .*seen \['images', 'labels'\]"):
        open_task(spec("series", npz(images=np.zeros(3), labels=np.zeros(3))))
