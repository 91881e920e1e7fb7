"""Reads the workload of any model file: told by its content, bounded, one line of error for anything unfit."""

from __future__ import annotations

from pathlib import Path

from cost_models.ncnn_text import MAGIC
from cost_models.read_common import read_bounded as read_bounded
from cost_models.read_ncnn import read_ncnn
from cost_models.read_onnx import read_onnx
from cost_models.read_tflite import read_tflite
from cost_models.workload import Workload
from specs.errors import ModelFileError


def read_workload(path: Path) -> Workload:
    """The operators of the .onnx, .tflite or ncnn .param file at `path`, whatever it is called.

    Raises:
        ModelFileError: unreadable, too large, of no known format, truncated, or with shapes known at run time only.
    """
    data = read_bounded(path)
    try:
        if data[4:8] == b"TFL3":
            return read_tflite(data, path.stem)
        if data[:64].lstrip().startswith(MAGIC) or path.suffix == ".param":
            return read_ncnn(path)
        return read_onnx(data, path.stem, path.parent)
    except ModelFileError as error:
        raise error.at(str(path)) from None
