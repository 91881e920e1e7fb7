from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advisor.tasks.apply import apply
from advisor.tasks.load import open_task
from specs.errors import DataError

Make = Callable[..., Any]


@pytest.fixture
def tree(tmp_path: Path, picture: Make, rng: np.random.RandomState) -> Path:
    """Two classes of twelve colour pictures of 40×56, dark and light."""
    for i in range(12):
        for name, base in (("dark", 0), ("light", 128)):
            pixels = rng.randint(base, base + 100, (40, 56, 3)).astype(np.uint8)
            picture(tmp_path / "set" / name / f"{i}.{('png', 'jpg', 'bmp', 'webp')[i % 4]}", pixels)
    return tmp_path / "set"


def test_class_folders(spec: Make, tree: Path) -> None:
    task = open_task(spec("image", tree))
    assert task.classes == ("dark", "light")
    assert task.shape == (40, 40, 3)
    assert task.shapes == ((40, 40, 3), (32, 32, 3), (24, 24, 3))[: len(task.shapes)]
    sizes = {split: len(task.load(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 16, "val": 4, "test": 4}
    for split in sizes:
        loaded = task.load(split)
        brightness = loaded.x.mean(axis=(1, 2, 3))
        np.testing.assert_array_equal(brightness > 0, loaded.y == 1)


def test_every_shape_repeats(spec: Make, tree: Path) -> None:
    task = open_task(spec("image", tree))
    for shape in (*task.shapes, (20, 28, 3)):
        loaded = task.load("test", shape)
        assert loaded.x.shape[1:] == shape
        np.testing.assert_array_equal(apply(task.preprocessing(shape).numbers, task.raw("test")), loaded.x)
    assert task.raw("test").dtype == np.uint8
    for bad in ((20, 20, 1), (0, 20, 3), (20, 20), (5000, 20, 3)):
        with pytest.raises(DataError, match="not an input shape"):
            task.load("test", bad)


def test_apply_takes_the_original_picture(spec: Make, tree: Path) -> None:
    """A device gets pictures of the camera's size, not those the data set was read at."""
    task = open_task(spec("image", tree))
    numbers = task.preprocessing().numbers
    originals = np.stack([np.asarray(Image.open(tree / "dark" / f"{i}.png")) for i in (0, 4, 8)])
    found = apply(numbers, originals)
    pool = np.concatenate([task.load(split).x for split in ("train", "val", "test")])
    level = 1 / 255 / min(numbers["std"])
    for sample in found:
        assert np.abs(pool - sample).max(axis=(1, 2, 3)).min() < 1.01 * level


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Training", "testing"), ("train", "test", "val"), ("train", "val")]
)
def test_split_folders(spec: Make, tmp_path: Path, picture: Make, names: tuple[str, ...]) -> None:
    for k, split in enumerate(names):
        for i in range(10):
            for c, name in enumerate(("a", "b")):
                picture(tmp_path / split / name / f"{i}.png", 20 * i + 9 * c + k)
    task = open_task(spec("image", tmp_path))
    assert len(task.load("test")) == (20 if len(names) > 1 and names[1] != "val" else 4)
    assert len(task.load("val")) == (20 if "val" in names else 4)
    assert task.shape == (16, 16, 1), "all are gray"


def test_a_class_may_be_called_train(spec: Make, tmp_path: Path, picture: Make) -> None:
    for i in range(6):
        for c, name in enumerate(("train", "car", "bus")):
            picture(tmp_path / name / f"{i}.png", 20 * i + c)
    assert open_task(spec("image", tmp_path)).classes == ("bus", "car", "train")


def test_one_colour_picture_makes_all_colour(spec: Make, tmp_path: Path, picture: Make) -> None:
    for i in range(6):
        picture(tmp_path / "a" / f"{i}.png", 10 * i)
        picture(tmp_path / "b" / f"{i}.png", 10 * i + 5)
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 200
    picture(tmp_path / "b" / "red.png", red)
    assert open_task(spec("image", tmp_path)).shape == (20 // 8 * 8, 16, 3)


def test_modes_and_orientation(spec: Make, tmp_path: Path) -> None:
    def half(i: int) -> Any:
        """White above black, no two alike."""
        pixels = np.zeros((32, 32), np.uint8)
        pixels[:16] = 255
        pixels[i, i] = 128
        return pixels

    folder = tmp_path / "a"
    folder.mkdir()
    Image.fromarray(half(0).astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(half(1)).convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(half(2)).convert("P").save(folder / "palette.png")
    Image.fromarray((half(3) > 200).astype(np.uint8) * 255).convert("1").save(folder / "bits.png")
    Image.fromarray(half(4).astype(np.float32) / 255).save(folder / "float.tiff")
    Image.fromarray(half(5)).convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(half(6)).save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(half(7))])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(np.rot90(half(8)).copy()).save(folder / "turned.png", exif=exif)
    (tmp_path / "b").mkdir()
    for i in range(10):
        Image.fromarray(half(i).T.copy()).save(tmp_path / "b" / f"{i}.png")
    task = open_task(spec("image", tmp_path))
    assert sum(len(task.load(split)) for split in ("train", "val", "test")) == 18
    for split in ("train", "val", "test"):
        raw, y = task.raw(split).astype(float), task.load(split).y
        upper = raw[:, :16].mean(axis=(1, 2, 3)) - raw[:, 16:].mean(axis=(1, 2, 3))
        np.testing.assert_array_equal(upper > 200, y == 0)


def _huge_png(path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))))


def test_bad_files_are_skipped_and_counted(spec: Make, tree: Path, tmp_path: Path, picture: Make) -> None:
    whole = (tree / "dark" / "0.png").read_bytes()
    (tree / "dark" / "cut.png").write_bytes(whole[:900])
    (tree / "dark" / "empty.png").touch()
    (tree / "dark" / "notes.txt").write_text("hello")
    (tree / "dark" / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n")
    (tree / "dark" / ".hidden.png").write_bytes(whole)
    (tree / "stray.png").write_bytes(whole)
    _huge_png(tree / "light" / "huge.png", 9_000)
    _huge_png(tree / "light" / "bomb.png", 100_000)
    outside = picture(tmp_path / "outside" / "secret.png", 77)
    (tree / "light" / "link.png").symlink_to(outside)
    (tree / "light" / "loop").symlink_to(tree)
    (tree / "light" / "circle.png").symlink_to(tree / "light" / "circle.png")
    (tree / "light" / "dead.png").symlink_to(tree / "light" / "nothing.png")
    (tree / "circle").symlink_to(tree / "circle")
    (tree / "linked").symlink_to(outside.parent)
    os.mkfifo(tree / "light" / "pipe.png")
    task = open_task(spec("image", tree))
    assert sum(len(task.load(split)) for split in ("train", "val", "test")) == 24
    assert task.classes == ("dark", "light")
    text = "; ".join(task.notes)
    for note in (
        "1 file skipped: corrupt picture",
        "1 file skipped: empty",
        "2 files skipped: not a picture",
        "2 files skipped: picture too large",
        "3 files skipped: link that leaves",
        "2 files skipped: linked folder",
        "2 files skipped: outside the class folders",
        "1 file skipped: not a plain file",
    ):
        assert note in text


def test_links_within_the_folder_are_followed(spec: Make, tree: Path) -> None:
    (tree / "light" / "again.png").symlink_to(tree / "light" / "0.png")
    task = open_task(spec("image", tree))
    assert sum(len(task.load(split)) for split in ("train", "val", "test")) == 25


def test_random_damage_never_escapes(spec: Make, tree: Path) -> None:
    rng = np.random.RandomState(3)
    for file in sorted(tree.rglob("*.*")):
        data = bytearray(file.read_bytes())
        for at in rng.randint(0, len(data), 6):
            data[at] ^= 1 << rng.randint(8)
        file.write_bytes(bytes(data))
    with contextlib.suppress(DataError):  # anything else would escape
        open_task(spec("image", tree))


def test_refuses(spec: Make, tmp_path: Path, picture: Make, sound: Make) -> None:
    root = tmp_path / "set"
    root.mkdir()

    def line() -> str:
        with pytest.raises(DataError) as caught:
            open_task(spec("image", root))
        return str(caught.value)

    assert "no class folders" in line()
    (root / "a").mkdir()
    assert "no pictures in the class folders; seen 'no files'" in line()
    sound(root / "a" / "x.wav")
    assert "kind: audio-classification" in line()
    for i in range(4):
        picture(root / "a" / f"{i}.png", i)
    assert "a single class" in line()
    picture(root / "b" / "0.png")
    assert "b (1)" in line()
    for name in ("train", "test"):
        picture(root / name / "a" / "0.png")
    assert "folders beside train/ and test/" in line()


def test_a_test_class_unknown_in_training(spec: Make, tmp_path: Path, picture: Make) -> None:
    for i in range(4):
        for name in ("train/a", "train/b", "test/a", "test/c"):
            picture(tmp_path / name / f"{i}.png", i)
    with pytest.raises(DataError, match="test: labels without a class; seen 'c'"):
        open_task(spec("image", tmp_path))
