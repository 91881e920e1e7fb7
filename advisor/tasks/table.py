"""Windows of sensor readings as .csv, one row each.

The header names the columns. Special ones, in any order and any case: `label` (the window's class, required), `split`
(`train`, `val` or `test`) and `subject` or `group` (whom the window came from). All others are readings, numbers in one
of three layouts:

- `NAME_INDEX`, such as `ax_0, ax_1, …, ay_0, …`: channel NAME at time INDEX;
- `tINDEX_NAME`, such as `t0_ax, t0_ay, t1_ax, …`: the same, time first;
- any other names: one channel, its times in the order of the columns.

Every channel needs the same indexes, evenly spaced (`0 1 2 …` or `0 10 20 …`): a window is sampled at a fixed rate, and
a column that is missing would shift all later readings. Channels come in the order of their first column. The
separator is a comma, semicolon or tab.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.raw import MAX_BYTES, Part, Read, check_size, some
from specs.errors import DataError

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_TIME_FIRST = re.compile(r"t(\d{1,7})_(.+)")
_LABEL_WORDS = ("labels", "class", "classes", "target", "category", "activity", "y")
"""What others call the column."""
_TIME_LAST = re.compile(r"(.+)_(\d{1,7})")


def read_table(path: Path) -> Read:
    """The windows of a .csv: float32 (N, T, C).

    Raises:
        DataError: not such a file; the line and column where there are any.
    """
    where = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            check_size(path.stat().st_size, 1, 1, where)
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            mark = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
            return _windows(csv.reader(file, delimiter=mark), header, where)
    except DataError:
        raise
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(error, where) from error


def unreadable(error: Exception, where: str) -> DataError:
    """What a file that is no table is told to be."""
    return DataError("the table cannot be read", where=where, seen=f"{type(error).__name__}: {error}",
                     allowed="UTF-8 text, columns separated by commas", next="save it as .csv again")  # fmt: skip


def _windows(rows: Iterator[list[str]], header: list[str], where: str) -> Read:
    label, split, group, readings = columns_of(header, where)
    order, shape = layout([header[i] for i in readings], where)
    values, labels, splits, groups = array("f"), [], [], []
    for line, row in checked(rows, header, where):
        for i in readings:
            values.append(_number(row[i], f"{where}: line {line}, column {header[i]}"))
        labels.append(row[label].strip())
        if split is not None:
            name = row[split].strip().lower()
            if name not in SPLIT_NAMES:
                raise DataError(
                    "not a split", where=f"{where}: line {line}", seen=row[split], allowed="train, val, test"
                )
            splits.append(SPLIT_NAMES[name])
        if group is not None:
            groups.append(row[group].strip())
        if len(values) * 4 > MAX_BYTES:
            check_size(len(values), 1, 4, where)
    flat = np.frombuffer(values.tobytes(), np.float32).reshape(len(labels), len(readings))
    x = np.ascontiguousarray(flat[:, order]).reshape(len(labels), *shape)
    whole = Part(x, label_values(labels), np.array(groups) if group is not None else None)
    parts = _parted(whole, np.array(splits)) if splits else {"train": whole}
    if "train" not in parts:
        raise DataError("no window for training", where=f"{where}: column split", seen=sorted(set(splits)))
    return Read(where, "series", parts["train"], parts.get("val"), parts.get("test"))


def checked(rows: Iterable[list[str]], header: list[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with their lines.

    Raises:
        DataError: one is longer or shorter than the header.
    """
    for line, row in enumerate(rows, 2):
        if row and len(row) != len(header):
            raise DataError("a row of another length", where=f"{where}: line {line}", seen=f"{len(row)} columns",
                            allowed=f"{len(header)}, as in the header", next="complete or remove it")  # fmt: skip
        if row:
            yield line, row


def columns_of(header: list[str], where: str) -> tuple[int, int | None, int | None, list[int]]:
    """Indexes of label, split, group and readings."""
    lower = [name.lower() for name in header]
    if not any(header) or all(_is_number(name) for name in header):
        raise DataError("no header line", where=where, seen=some(header), allowed="column names in the first line",
                        next="name the columns, such as ax_0, ax_1, …, label")  # fmt: skip
    twice = sorted({name for name in lower if lower.count(name) > 1})
    if twice:
        raise DataError("columns of the same name", where=where, seen=some(twice), next="rename or remove one of them")
    split = lower.index("split") if "split" in lower else None
    group = next((lower.index(name) for name in ("subject", "group") if name in lower), None)
    others = [i for i in range(len(header)) if i not in (split, group)]
    if "label" not in lower:
        meant = next((name for name in header if name.lower() in _LABEL_WORDS), "")
        raise DataError("no column `label`", where=where, seen=some(header, 8), allowed="readings and a column `label`",
                        next=f"rename the column {meant[:60] or 'that holds the class'} to `label`"
                        + ("" if meant else ", or add one"))  # fmt: skip
    label = lower.index("label")
    readings = [i for i in others if i != label]
    if not readings:
        raise DataError("no columns of readings", where=where, seen=some(header, 8),
                        allowed="readings such as ax_0, ax_1, … beside the label", next="add them")  # fmt: skip
    return label, split, group, readings


def layout(names: list[str], where: str) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """The order that sorts reading columns by time, then channel, and their (T, C).

    Raises:
        DataError: channels with different or uneven indexes.
    """
    for pattern, time_group, name_group in ((_TIME_FIRST, 1, 2), (_TIME_LAST, 2, 1)):
        matches = [pattern.fullmatch(name) for name in names]
        if not all(matches):
            continue
        keys = [(match[name_group], int(match[time_group])) for match in matches if match]
        channels = list(dict.fromkeys(name for name, _ in keys))
        times = sorted({time for _, time in keys})
        if len(set(keys)) == len(keys) == len(channels) * len(times):
            _check_even(times, where)
            rank = {name: i for i, name in enumerate(channels)}
            order = sorted(range(len(keys)), key=lambda i: (keys[i][1], rank[keys[i][0]]))
            return np.array(order, np.int64), (len(times), len(channels))
        short = [name for name in channels if sum(key[0] == name for key in keys) < len(times)]
        raise DataError("channels of different lengths", where=where, seen=f"short: {some(short)}",
                        allowed="every channel with the same indexes", next="add or remove the columns")  # fmt: skip
    return np.arange(len(names)), (len(names), 1)


def _check_even(times: list[int], where: str) -> None:
    """Raise DataError unless the indexes (sorted, distinct) are one step apart, as most of them are."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    step = Counter(steps).most_common(1)[0][0] if steps else 1
    at = next((i for i, found in enumerate(steps) if found != step), None)
    if at is not None:
        mend = f"add the columns of index {times[at] + step}"
        if steps[at] < step:
            mend = f"remove the columns of index {times[at + 1]}"
        raise DataError("indexes of columns are not evenly spaced", where=where,
                        seen=f"{times[at + 1]} after {times[at]}", allowed=f"steps of {step}, as between the others",
                        next=f"{mend}, or number them anew")  # fmt: skip


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text.strip() else float("nan")  # missing readings are counted with the other ones
    except ValueError:
        raise DataError("not a number", where=where, seen=text, allowed="a number, decimal point `.`") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_values(labels: list[str]) -> NDArray[np.str_] | NDArray[np.int64]:
    """Whole numbers as such, so that class 10 follows class 9."""
    if all(re.fullmatch(r"-?\d{1,9}", label) for label in labels):
        return np.array([int(label) for label in labels], np.int64)
    return np.array(labels, dtype=np.str_)


def _parted(whole: Part, splits: NDArray[np.str_]) -> dict[str, Part]:
    return {
        str(name): Part(whole.x[splits == name], whole.y[splits == name],
                        None if whole.groups is None else whole.groups[splits == name])
        for name in np.unique(splits)
    }  # fmt: skip
