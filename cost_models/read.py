"""Reads the workload of any model file: told by its content, bounded, one line of error for anything unfit."""

from __future__ import annotations

import stat
from pathlib import Path

from cost_models.read_onnx import read_onnx
from cost_models.read_tflite import read_tflite
from cost_models.workload import Workload
from specs.errors import ModelFileError

MAX_FILE_BYTES = 1 << 30


def read_workload(path: Path) -> Workload:
    """The operators of the .onnx or .tflite file at `path`, whatever it is called.

    Raises:
        ModelFileError: unreadable, too large, of no known format, truncated, or with shapes known at run time only.
    """
    data = read_bounded(path)
    try:
        if data[4:8] == b"TFL3":
            return read_tflite(data, path.stem)
        return read_onnx(data, path.stem, path.parent)
    except ModelFileError as error:
        raise error.at(str(path)) from None


def read_bounded(path: Path) -> bytes:
    """The bytes of a regular file of at most MAX_FILE_BYTES."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ModelFileError("not a regular file", where=str(path), next="pass an .onnx or .tflite file")
        if info.st_size > MAX_FILE_BYTES:
            raise ModelFileError("file too large", where=str(path), seen=f"{info.st_size} bytes",
                                 allowed=f"{MAX_FILE_BYTES} bytes")  # fmt: skip
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ModelFileError("cannot read", where=str(path), seen=error.strerror, next="check the path") from None
    if not data:
        raise ModelFileError("file is empty", where=str(path))
    return data
