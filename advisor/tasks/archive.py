"""Data sets as .npz: `X_train, y_train, X_test, y_test`, optional `X_val, y_val`, `classes`, `rate`, groups.

Groups are `subject_train`, `group_train` or `speaker_train` (and `…_test`): whom each sample came from. Other keys
are ignored. Nothing is unpickled, and declared sizes are checked before any array is read.
"""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from advisor.tasks.raw import MAX_BYTES, Form, Part, Read, check_size
from specs.errors import DataError
from specs.spec import TaskKind

REQUIRED = ("X_train", "y_train", "X_test", "y_test")
_GROUPS = ("subject", "group", "speaker")
_LARGEST_SIDE = 1024
_RATES_HZ = (8_000, 16_000)


def read_archive(path: Path, kind: TaskKind) -> Read:
    """The arrays of an .npz in the form its task kind gives them.

    image: (N, H, W, 1 or 3) or (N, H, W). audio: waveforms (N, samples), or features (N, T, F) or (N, T, F, 1).
    timeseries: (N, T, C) or (N, T). Whole numbers stay as they are up to 16 bits, all else becomes float32. `rate` is
    the waveforms' sampling rate in Hz; without it they are taken to last about a second: the one of 8 and 16 kHz
    that is nearer to their length.

    Raises:
        DataError: not such a file, arrays missing, pickled, too large, or of another shape.
    """
    where = str(path)
    arrays = _read(path)
    missing = [key for key in REQUIRED if key not in arrays]
    missing += [key for key, other in (("X_val", "y_val"), ("y_val", "X_val")) if key not in arrays and other in arrays]
    if missing:
        raise DataError(f"arrays missing: {', '.join(missing)}", where=where, seen=sorted(arrays),
                        allowed="X_train, y_train, X_test, y_test (and X_val, y_val)",
                        next="save them with `numpy.savez_compressed`")  # fmt: skip
    splits = [split for split in ("train", "val", "test") if f"X_{split}" in arrays]
    shapes = {split: arrays[f"X_{split}"].shape[1:] for split in splits}
    if len(set(shapes.values())) > 1:
        raise DataError("splits of different shapes", where=where, seen=shapes, allowed="one sample shape")
    form: Form = "series"
    parts = {}
    for split in splits:
        form, x = _shaped(arrays[f"X_{split}"], kind, f"{where}: X_{split}")
        parts[split] = Part(x, arrays[f"y_{split}"], _groups(arrays, split, len(x), where))
    rate_hz, notes = 0, []
    if form == "waveform":
        rate_hz, note = rate_of(arrays, parts["train"].x.shape[1], where)
        notes = [note] if note else []
    classes = tuple(_text(name) for name in arrays["classes"].ravel()) if "classes" in arrays else ()
    return Read(where, form, parts["train"], parts.get("val"), parts["test"], classes, rate_hz, notes=tuple(notes))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that mean something here, by name."""
    wanted = {f"{key}_{split}" for key in ("X", "y", *_GROUPS) for split in ("train", "val", "test")}
    wanted |= {"classes", "rate"}
    arrays: dict[str, NDArray[Any]] = {}
    name = ""
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            for name in sorted(wanted & set(members)):
                with archive.open(members[name]) as member:
                    size = declared(member, f"{path}: {name}")[1]
                total += size
                check_size(total, 1, 1, str(path))
                if members[name].file_size > size + 2**16:
                    raise DataError("the archive is corrupt", where=str(path), seen=f"{name} is longer than its header")
            for name in sorted(wanted & set(members)):
                with archive.open(members[name]) as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
            if not arrays:
                return {name: np.empty(0) for name in members}  # for the error to show what there is
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path)) from error
    except Exception as error:
        raise unreadable(error, f"{path}: {name}" if name else str(path)) from error
    return arrays


def unreadable(error: Exception, where: str) -> DataError:
    """What a damaged or hostile file is told to be: zip, deflate and npy parsers raise all kinds on one."""
    seen = str(error) if isinstance(error, zipfile.BadZipFile) else f"{type(error).__name__}: {error}"
    return DataError("not an .npz file, or a damaged one", where=where, seen=seen,
                     next="copy it again, or save the arrays with `numpy.savez_compressed`")  # fmt: skip


def declared(member: Any, where: str) -> tuple[tuple[int, ...], int]:
    """Shape and bytes of an .npy member by its header, read up to the data."""
    version = npy.read_magic(member)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = reader(member)
    if dtype.hasobject:
        raise DataError("pickled objects are not read", where=where, seen=f"dtype {dtype}",
                        allowed="arrays of numbers or of text",
                        next="save text with `numpy.array(labels, dtype=str)`")  # fmt: skip
    if dtype.kind not in "biufUS" or any(n < 0 for n in shape):
        raise DataError("not an array of numbers or text", where=where, seen=f"dtype {dtype}, shape {shape}")
    if prod(shape) > MAX_BYTES:  # also of no bytes each, such as empty text
        check_size(prod(shape), 1, 1, where)
    return shape, prod(shape) * dtype.itemsize


def _shaped(x: NDArray[Any], kind: TaskKind, where: str) -> tuple[Form, NDArray[Any]]:
    if x.dtype.kind not in "biuf":
        raise DataError("samples must be numbers", where=where, seen=f"dtype {x.dtype}")
    form, shape, allowed = form_of(x.shape, kind)
    if not form or 0 in shape[1:]:
        hint = "use `X.transpose(0, 2, 3, 1)`" if allowed.startswith("(N, H") and x.shape[1:2] in ((1,), (3,)) else ""
        raise DataError(f"not {kind} data", where=where, seen=f"shape {x.shape}", allowed=allowed, next=hint)
    # waveforms become smaller on their way to float32, all else is kept as that too
    check_size(len(x), prod(shape[1:]), x.itemsize if form == "waveform" else 4, where)
    x = np.ascontiguousarray(x.reshape(shape), x.dtype.newbyteorder("="))
    if x.dtype == np.bool_:
        return form, x.astype(np.uint8)
    if form == "image" and x.dtype != np.uint8:
        return form, _floats(x)
    return form, x if x.dtype.kind in "iu" and x.itemsize <= 2 else _floats(x)


def _floats(x: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is counted as such
        return x.astype(np.float32)


def form_of(shape: tuple[int, ...], kind: TaskKind) -> tuple[Form | None, tuple[int, ...], str]:
    """The form an array of `shape` has for `kind`, the shape it gets, and the shapes allowed."""
    rank = len(shape)
    if kind == "image-classification":
        full = (*shape, 1) if rank == 3 else shape
        fits = len(full) == 4 and full[3] in (1, 3) and all(8 <= side <= _LARGEST_SIDE for side in full[1:3])
        return ("image" if fits else None), full, f"(N, H, W, 1 or 3) or (N, H, W), sides from 8 to {_LARGEST_SIDE}"
    if kind == "audio-classification":
        if rank == 2:
            return "waveform", shape, ""
        fits = rank == 3 or (rank == 4 and shape[3] == 1)
        return ("features" if fits else None), shape[:3], "waveforms (N, samples) or features (N, T, F)"
    fits = rank in (2, 3)
    return ("series" if fits else None), (*shape, 1) if rank == 2 else shape, "(N, T, C) or (N, T)"


def _groups(arrays: dict[str, NDArray[Any]], split: str, count: int, where: str) -> NDArray[Any] | None:
    """Whom each sample came from. Speakers matter only where those of test are unknown in training: a data set that
    tests known speakers is validated with known speakers."""
    for name in _GROUPS:
        groups = arrays.get(f"{name}_{split}")
        if groups is None:
            continue
        if groups.shape != (count,):
            raise DataError(f"{name}_{split} out of line with its samples", where=where, seen=f"shape {groups.shape}",
                            allowed=f"({count},)")  # fmt: skip
        if name == "speaker":
            train, test = arrays.get("speaker_train"), arrays.get("speaker_test")
            if train is None or test is None or np.isin(test, train).any():
                return None
        return groups
    return None


def rate_of(arrays: dict[str, NDArray[Any]], samples: int, where: str) -> tuple[int, str]:
    if "rate" not in arrays:
        nearer = min(_RATES_HZ, key=lambda hz: abs(hz - samples))
        return nearer, f"no `rate` in the file: waveforms of {samples} samples taken as {nearer} Hz"
    value = arrays["rate"].ravel()
    rate = float(value[0]) if value.dtype.kind in "iuf" and value.size == 1 else 0.0
    if not (1_000 <= rate <= 384_000 and rate.is_integer()):
        raise DataError("not a sampling rate", where=f"{where}: rate", seen=arrays["rate"].tolist(),
                        allowed="one whole number, 1000 to 384000 (Hz)")  # fmt: skip
    return int(rate), ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
