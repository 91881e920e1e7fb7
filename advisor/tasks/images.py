"""Folders of pictures, brought to one square size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.folders import Tree, walk
from advisor.tasks.raw import Part, Read, check_size, plural
from specs.errors import DataError

LARGEST_SIDE = 96
"""What vision on microcontrollers commonly takes; larger pictures are read at this size."""
SMALLEST_SIDE = 8
_MAX_PIXELS = 64_000_000
_MAX_FILE_BYTES = 256 * 1024**2
_UNSAFE_FORMATS = ("EPS", "WMF")  # Pillow starts other programs to draw these


def read_images(path: Path) -> Read:
    """The pictures of a tree of class folders: uint8 (N, side, side, 1 or 3), stretched, one channel if all are gray.

    The side is the median of the pictures' shorter sides, at most 96, at least 8, a multiple of 8 where above 16.

    Raises:
        DataError: no class folders, or no picture in them.
    """
    tree = walk(path)
    sizes: list[int] = []
    for split, files in tree.files.items():
        kept = []
        for file, label in files:
            size = shorter_side(file, tree)
            if size:
                kept.append((file, label))
                sizes.append(size)
        tree.files[split] = kept
    if not sizes:
        seen = "; ".join(tree.notes()) or "no files"
        raise DataError("no pictures in the class folders", where=str(path), seen=seen, allowed="files Pillow can read",
                        next=_hint(path))  # fmt: skip
    side = common_side(sizes)
    check_size(len(sizes), 3 * side * side, 4, str(path))
    parts = {split: _part(files, side, tree) for split, files in tree.files.items()}
    if all(bool((part.x == part.x[..., :1]).all()) for part in parts.values()):
        parts = {split: Part(np.ascontiguousarray(part.x[..., :1]), part.y) for split, part in parts.items()}
    note = f"{plural(sum(len(p.y) for p in parts.values()), 'picture')} read at {side}×{side} (stretched, not cropped)"
    train = parts.get("all") or parts["train"]
    notes = (*tree.notes(), note)
    return Read(str(path), "image", train, parts.get("val"), parts.get("test"), notes=notes, any_size=True)


def common_side(sizes: list[int]) -> int:
    """The side that pictures with these shorter sides are read at."""
    side = max(SMALLEST_SIDE, min(LARGEST_SIDE, int(np.median(sizes))))
    return side - (side % 8 if side > 16 else 0)


def _hint(path: Path) -> str:
    if next(path.rglob("*.wav"), None):
        return "for recordings set `kind: audio-classification`"
    return "convert them to PNG or JPEG"


def _part(files: list[tuple[Path, str]], side: int, tree: Tree) -> Part:
    x = np.empty((len(files), side, side, 3), np.uint8)
    labels: list[str] = []
    for file, label in files:
        picture = pixels(file, side)
        if picture is None:
            tree.skipped["corrupt picture"] += 1
        else:
            x[len(labels)] = picture
            labels.append(label)
    return Part(x[: len(labels)], np.array(labels, dtype=np.str_))


def _open(file: Path) -> Any:
    from PIL import Image

    Image.init()
    return Image.open(file, formats=[name for name in Image.OPEN if name not in _UNSAFE_FORMATS])


def shorter_side(file: Path, tree: Tree) -> int | None:
    """The shorter side from the file's header, or None with the reason counted."""
    try:
        length = file.stat().st_size
        if not length:
            tree.skipped["empty"] += 1
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes and metadata that are judged here
            with _open(file) as picture:
                width, height = picture.size
    except Exception as error:  # the format's parser may raise anything on a hostile file
        huge = type(error).__name__ == "DecompressionBombError"
        tree.skipped["picture too large" if huge else "not a picture Pillow can read"] += 1
        return None
    if width * height > _MAX_PIXELS or length > _MAX_FILE_BYTES:
        tree.skipped["picture too large"] += 1
        return None
    return min(width, height) or None


def pixels(file: Path, side: int) -> NDArray[np.uint8] | None:
    """(side, side, 3), or None where the file is corrupt."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(file) as opened:
                opened.draft(None, (2 * side, 2 * side))  # a JPEG decodes at a fraction of its size, much faster
                picture = ImageOps.exif_transpose(opened)
                if picture.mode.startswith(("I", "F")):
                    picture = Image.fromarray(_eight_bits(np.asarray(picture)))
                picture = picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
                return np.asarray(picture)
    except Exception:  # as above: counted as corrupt by the caller
        return None


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Deep gray pixels as 8-bit ones: 16-bit files by their range, float ones as 0 to 1 or 0 to 255."""
    top = float(values.max())
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        scale = 1.0 if top <= 255 and values.dtype.itemsize > 2 else 1 / 257
    return np.clip(np.rint(values.astype(np.float64) * scale), 0, 255).astype(np.uint8)
