from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from advisor.tasks.apply import apply
from advisor.tasks.load import open_task
from specs.errors import DataError

Make = Callable[..., Any]


@pytest.fixture
def tree(tmp_path: Path, sound: Make) -> Path:
    for i in range(12):
        for name, hz in (("low", 300), ("high", 2000)):
            sound(tmp_path / "set" / name / f"{i}.wav", hz + 10 * i)
    return tmp_path / "set"


@pytest.mark.parametrize(("frontend", "shape"), [("auto", (24, 10, 1)), ("log-mel", (24, 40, 1)), ("raw", (4000, 1))])
def test_class_folders(spec: Make, tree: Path, frontend: str, shape: tuple[int, ...]) -> None:
    task = open_task(spec("audio", tree, frontend=frontend))
    assert task.shape == shape
    assert task.shapes == (shape,)
    assert task.classes == ("high", "low")
    for split in ("train", "val", "test"):
        loaded = task.load(split)
        assert loaded.x.shape[1:] == shape
        assert task.raw(split).dtype == np.int16
        np.testing.assert_array_equal(apply(task.preprocessing().numbers, task.raw(split)), loaded.x)


def test_split_folders(spec: Make, tmp_path: Path, sound: Make) -> None:
    for i in range(6):
        for name in ("train/a", "train/b", "test/a", "test/b"):
            sound(tmp_path / name / f"{i}.wav", 300 + 100 * i + 31 * len(name) + ord(name[-1]))
    task = open_task(spec("audio", tmp_path))
    assert [len(task.load(split)) for split in ("train", "val", "test")] == [10, 2, 12]


def test_sample_formats_rates_and_channels_agree(spec: Make, tmp_path: Path, sound: Make) -> None:
    for i in range(6):
        sound(tmp_path / "a" / f"{i}.wav", 440 + i, rate=16000)
    variants = [
        sound(tmp_path / "b" / "stereo.wav", rate=16000, channels=2),
        sound(tmp_path / "b" / "deep.wav", rate=16000, width=3),
        sound(tmp_path / "b" / "deeper.wav", rate=16000, width=4),
        sound(tmp_path / "b" / "shallow.wav", rate=16000, width=1),
        sound(tmp_path / "b" / "fast.wav", rate=44100),
        sound(tmp_path / "b" / "slow.wav", rate=8000),
    ]
    wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)).astype(np.float32)
    wavfile.write(tmp_path / "b" / "float.wav", 16000, wave)
    task = open_task(spec("audio", tmp_path, frontend="raw"))
    assert task.preprocessing().numbers["rate_hz"] == 16000
    raw = np.concatenate([task.raw(s)[task.load(s).y == 1] for s in ("train", "val", "test")]).astype(float)
    assert len(raw) == len(variants) + 1
    middle = raw[:, 200:-200]  # resampling rings at the ends
    assert np.abs(middle - 32767 * wave[200:-200]).max() < 300  # eight bits are steps of 256
    assert any("resampled to 16000 Hz from 8000, 44100 Hz" in note for note in task.notes)


def test_common_length(spec: Make, tmp_path: Path, sound: Make) -> None:
    for i in range(30):
        sound(tmp_path / "a" / f"{i}.wav", 300 + i, seconds=0.62)
        sound(tmp_path / "b" / f"{i}.wav", 900 + i, seconds=0.3)
    sound(tmp_path / "b" / "long.wav", seconds=9)
    task = open_task(spec("audio", tmp_path, frontend="raw"))
    assert task.shape == (5600, 1)
    assert any("1 recording cut to 0.7 s" in note for note in task.notes)


def test_bad_files_are_skipped_and_counted(spec: Make, tree: Path, sound: Make) -> None:
    whole = (tree / "low" / "0.wav").read_bytes()
    (tree / "low" / "empty.wav").touch()
    (tree / "low" / "head.wav").write_bytes(whole[:30])
    (tree / "low" / "text.wav").write_text("hello")
    (tree / "low" / "readme.txt").write_text("hello")
    sound(tree / "low" / "silent.wav", seconds=0)
    wavfile.write(tree / "low" / "nan.wav", 8000, np.full(4000, np.nan, np.float32))
    wavfile.write(tree / "low" / "rate.wav", 10, np.zeros(4000, np.int16))
    task = open_task(spec("audio", tree))
    assert sum(len(task.load(split)) for split in ("train", "val", "test")) == 24
    text = "; ".join(task.notes)
    for note in (
        "4 files skipped: corrupt",
        "1 file skipped: not a .wav",
        "1 file skipped: empty",
        "1 file skipped: rate",
    ):
        assert note in text


def test_a_header_that_lies_allocates_nothing(spec: Make, tree: Path) -> None:
    data = bytearray((tree / "low" / "0.wav").read_bytes())
    data[40:44] = (0x7FFFFFF0).to_bytes(4, "little")
    (tree / "low" / "0.wav").write_bytes(bytes(data))
    task = open_task(spec("audio", tree, frontend="raw"))
    assert task.shape[0] <= 4000


def test_random_damage_never_escapes(spec: Make, tree: Path) -> None:
    rng = np.random.RandomState(3)
    for file in sorted(tree.rglob("*.wav")):
        data = bytearray(file.read_bytes())
        for at in rng.randint(0, 44, 3):
            data[at] ^= 1 << rng.randint(8)
        file.write_bytes(bytes(data))
    with contextlib.suppress(DataError):  # anything else would escape
        open_task(spec("audio", tree))


def test_no_recordings(spec: Make, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp3").write_bytes(b"ID3")
    with pytest.raises(DataError, match=r"no recordings.*not a \.wav.*ffmpeg"):
        open_task(spec("audio", tmp_path))
