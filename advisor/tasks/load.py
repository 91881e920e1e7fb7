"""Opens a spec's task: the reader its data needs, checked splits, one preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advisor.tasks.archive import read_archive
from advisor.tasks.assemble import assemble
from advisor.tasks.images import read_images
from advisor.tasks.raw import Part, Read
from advisor.tasks.sounds import read_sounds
from advisor.tasks.split import TEST_SHARE, stratified
from advisor.tasks.table import read_table
from advisor.tasks.task import MemoryTask
from specs.errors import DataError, nearest
from specs.search import OWN_MODEL
from specs.spec import Spec, TaskKind

if TYPE_CHECKING:
    from advisor.tasks.base import Task

BUILTIN = ("digits",)
_ALLOWED = {
    "image-classification": "a folder with one sub-folder of pictures a class, an .npz, or `digits`",
    "audio-classification": "a folder with one sub-folder of .wav a class, or an .npz",
    "timeseries-classification": "a .csv or an .npz",
}


def open_task(spec: Spec) -> Task:
    """The task of `spec`, its samples read into memory. Equal data opens equally, in any process.

    Models of the user's own were trained on features as they are: beside them `normalization: auto` is `training`.

    Raises:
        DataError: the data is missing, unreadable or unfit for the task.
    """
    task = spec.task
    read = _read_digits(task.kind) if task.data in BUILTIN else _read(spec.data_path(), task.kind)
    try:
        own = bool(spec.baseline) or any(name.startswith(OWN_MODEL) for name in spec.search.architectures)
        normalization = "training" if own and task.normalization == "auto" else task.normalization
        return MemoryTask(task.kind, task.metric, assemble(read), task.frontend, normalization)
    except DataError as error:
        if error.where.startswith(read.where):
            raise
        raise error.at(read.where) from None


def _read(path: Path, kind: TaskKind) -> Read:
    try:
        folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # a name too long or with a null byte
        raise DataError("not a path", where="task.data", seen=str(path)) from error
    if not exists:
        hint = nearest(path.name, BUILTIN) or "give the path relative to the spec file"
        raise DataError("no such data set", where=str(path), allowed=_ALLOWED[kind], next=hint)
    suffix = path.suffix.lower()
    if folder and kind == "image-classification":
        return read_images(path)
    if folder and kind == "audio-classification":
        return read_sounds(path)
    if path.is_file() and suffix == ".npz":
        return read_archive(path, kind)
    if path.is_file() and suffix == ".csv" and kind == "timeseries-classification":
        return read_table(path)
    raise DataError(f"not {kind} data", where=str(path), seen="a folder" if folder else suffix or "a file",
                    allowed=_ALLOWED[kind])  # fmt: skip


def _read_digits(kind: TaskKind) -> Read:
    """scikit-learn's 1,797 scanned digits: uint8 (N, 8, 8, 1), levels 0 to 16."""
    if kind != "image-classification":
        raise DataError("`digits` are pictures", where="task.data", seen=kind, allowed="kind: image-classification")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images.astype(np.uint8)[..., None]
    y = bunch.target.astype(np.int64)
    test = stratified(y, TEST_SHARE)
    return Read("digits", "image", Part(x[~test], y[~test]), test=Part(x[test], y[test]), scale=1 / 16)
