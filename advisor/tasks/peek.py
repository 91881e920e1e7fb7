"""What feasibility asks of a data set: input shapes and number of classes, without reading the samples.

The same as `open_task` would give, from file headers and labels. Data that does not exist yet gets an assumed input,
because feasibility is asked before anyone collects any.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from advisor.tasks import archive, frontend, images, sounds, table
from advisor.tasks.folders import Tree, walk
from advisor.tasks.load import BUILTIN, open_task
from advisor.tasks.riff import wave_header
from advisor.tasks.task import smaller
from specs.errors import DataError
from specs.spec import Spec, TaskKind, TaskSpec

MAX_HEADERS = 2000
"""Files of a folder whose headers are read; of larger folders an even selection."""
_ASSUMED_CLASSES = {"image-classification": 2, "audio-classification": 12, "timeseries-classification": 5}
_ASSUMED_SERIES = (64, 6)
_ASSUMED_RATE_HZ = 16_000
"""One second of speech at this rate; twelve classes as in keyword spotting."""
_LEAST: dict[TaskKind, tuple[tuple[int, ...], ...]] = {
    "image-classification": ((images.SMALLEST_SIDE, images.SMALLEST_SIDE, 1),),
    "audio-classification": ((2, 1, 1), (1, 1, 1)),  # the first one keeps the temporal architectures in
    "timeseries-classification": ((1, 1),),
}


@dataclass(frozen=True, slots=True)
class Peek:
    """Input `shapes` the search may choose from (channels last, without batch) and the number of `classes`.

    `assumed` is empty where both were read from data, else says what was assumed and why; `note` says what was read.
    """

    shapes: tuple[tuple[int, ...], ...]
    classes: int
    assumed: str = ""
    note: str = ""
    frontend_macs: int = 0
    """Of the signal processing before the network, which a device spends too."""
    any_size: bool = False
    """As `Task.any_size`."""


def peek(spec: Spec) -> Peek:
    """What `_peek` finds, if anything can be told apart in it.

    Raises:
        DataError: the data exists and is damaged or unfit for the task.
    """
    found = _peek(spec)
    if found.classes < 2:
        raise DataError("fewer than two classes: nothing to tell apart", where=spec.task.data, seen=found.classes,
                        next="check the labels, or the folders")  # fmt: skip
    return found


def _peek(spec: Spec) -> Peek:
    """Shapes and classes of the spec's data, or assumed ones where there is no data yet.

    Raises:
        DataError: the data exists and is damaged or unfit for the task.
    """
    task = spec.task
    if task.data in BUILTIN:
        if task.kind != "image-classification":
            open_task(spec)  # raises, with the reason
        return Peek(((8, 8, 1),), 10, note="builtin data set `digits`")
    path = spec.data_path()
    try:
        folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):
        folder = exists = False
    if not exists:
        return assumed(spec, f"{task.data} does not exist yet")
    suffix = path.suffix.lower()
    if folder and task.kind == "image-classification":
        return _pictures(path)
    if folder and task.kind == "audio-classification":
        return _recordings(path, task)
    if path.is_file() and suffix == ".npz":
        return _archive(path, task)
    if path.is_file() and suffix == ".csv" and task.kind == "timeseries-classification":
        return _table(path)
    opened = open_task(spec)
    return Peek(opened.shapes, len(opened.classes), any_size=opened.any_size)


def assumed(spec: Spec, why: str) -> Peek:
    """A usual input of the task kind."""
    kind = spec.task.kind
    macs = 0
    shapes: tuple[tuple[int, ...], ...] = (_ASSUMED_SERIES,)
    if kind == "image-classification":
        shapes = smaller((images.LARGEST_SIDE, images.LARGEST_SIDE, 3))
    elif kind == "audio-classification":
        shape, macs = _features(spec.task, _ASSUMED_RATE_HZ, _ASSUMED_RATE_HZ)
        shapes = (shape,)
    classes = _ASSUMED_CLASSES[kind]
    words = "×".join(map(str, shapes[0]))
    why = f"{why}: an input of {words} and {classes} classes assumed"
    return Peek(shapes, classes, why, frontend_macs=macs, any_size=True)


def least(kind: TaskKind) -> Peek:
    """The smallest input any data set of the kind can have: what holds for it holds for every data set."""
    return Peek(_LEAST[kind], 2, note="the smallest input possible")


def _archive(path: Path, task: TaskSpec) -> Peek:
    kind = task.kind
    arrays = {}
    shape: tuple[int, ...] = ()
    where = f"{path}: X_train"
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
            if not {f"{name}.npy" for name in archive.REQUIRED} <= names:
                archive.read_archive(path, kind)  # raises, with what is missing
            with file.open("X_train.npy") as member:
                shape, _ = archive.declared(member, where)
            for name in {"y_train", "classes", "rate"} & {name.removesuffix(".npy") for name in names}:
                with file.open(f"{name}.npy") as member:
                    archive.declared(member, f"{path}: {name}")  # bounded before it is read
                with file.open(f"{name}.npy") as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:
        raise archive.unreadable(error, str(path)) from error
    form, full, allowed = archive.form_of(shape, kind)
    if not form or 0 in full[1:]:
        raise DataError(f"not {kind} data", where=where, seen=f"shape {shape}", allowed=allowed)
    labels = arrays["classes"] if "classes" in arrays else np.unique(arrays["y_train"])
    sample: tuple[int, ...] = full[1:]
    macs = 0
    if form == "waveform":
        rate_hz, _ = archive.rate_of(arrays, full[1], str(path))
        sample, macs = _features(task, full[1], rate_hz)
    elif form == "features":
        sample = (*sample, 1)
    return Peek(_choices(form, sample), int(labels.size), "", f"headers and labels of {path.name}", macs)


def _table(path: Path) -> Peek:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            mark = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
            label, split, _, readings = table.columns_of(header, str(path))
            _, shape = table.layout([header[i] for i in readings], str(path))
            rows = [row for _, row in table.checked(csv.reader(file, delimiter=mark), header, str(path))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise table.unreadable(error, str(path)) from error
    labels = table.label_values([row[label].strip() for row in rows])
    if split is not None:
        labels = labels[[table.SPLIT_NAMES.get(row[split].strip().lower()) == "train" for row in rows]]
    return Peek((shape,), int(np.unique(labels).size), note=f"header and labels of {path.name}")


def _pictures(path: Path) -> Peek:
    tree = walk(path)
    files, whole = _some([file for group in tree.files.values() for file in group])
    unread = Tree()
    sizes = {file: images.shorter_side(file, unread) for file, _ in files}
    readable = [size for size in sizes.values() if size]
    if not readable:
        images.read_images(path)  # raises, with the reasons
    side = images.common_side(readable)
    channels = 3 if any(_coloured(file, side) for file, size in sizes.items() if size) else 1
    labels = {label for file, label in _training(tree) if sizes.get(file, True)}
    return Peek(smaller((side, side, channels)), len(labels), note=_note(path, len(files), whole), any_size=True)


def _coloured(file: Path, side: int) -> bool:
    pixels = images.pixels(file, side)
    return pixels is not None and bool((pixels != pixels[..., :1]).any())


def _recordings(path: Path, task: TaskSpec) -> Peek:
    tree = walk(path)
    files, whole = _some([file for group in tree.files.values() for file in group])
    headers = {file: wave_header(file) for file, _ in files}
    read = [header for header in headers.values() if header]
    if not read:
        sounds.read_sounds(path)  # raises, with the reasons
    rate_hz, length_s = sounds.common_length([rate for rate, _ in read], [count / rate for rate, count in read])
    shape, macs = _features(task, round(length_s * rate_hz), rate_hz)
    labels = {label for file, label in _training(tree) if headers.get(file, True)}
    return Peek((shape,), len(labels), "", _note(path, len(files), whole), macs, any_size=True)


def _features(task: TaskSpec, samples: int, rate_hz: int) -> tuple[tuple[int, ...], int]:
    """Shape of what a front end makes of a waveform, and what it costs in MACs: the most, where the data decide."""
    numbers = frontend.design("mfcc" if task.frontend == "auto" else task.frontend, samples, rate_hz)
    numbers["normalization"] = "training" if task.normalization == "training" else "sample"
    return tuple(numbers["shape"]), frontend.price(numbers)[0]


def _some(files: list[tuple[Path, str]]) -> tuple[list[tuple[Path, str]], bool]:
    """At most MAX_HEADERS of the files, evenly spread, and whether these are all."""
    if len(files) <= MAX_HEADERS:
        return files, True
    step = len(files) / MAX_HEADERS
    return [files[int(i * step)] for i in range(MAX_HEADERS)], False


def _training(tree: Tree) -> Iterable[tuple[Path, str]]:
    return tree.files.get("all") or tree.files["train"]


def _note(path: Path, count: int, whole: bool) -> str:
    return f"headers of {count} files of {path.name}" + ("" if whole else ", an even selection of all")


def _choices(form: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return smaller(shape) if form == "image" else (shape,)
