"""From a data set as read to three checked splits with class indexes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.raw import SPLITS, Form, Part, Read, plural, some
from advisor.tasks.split import TEST_SHARE, VAL_SHARE, digests, grouped, stratified
from specs.errors import DataError

LEAST_SAMPLES = 10
"""Training samples of all classes together, before any is held out."""
_FEW = 10
"""Training samples of a class below which the user is told."""


@dataclass(frozen=True)
class Samples:
    """Raw samples and their class indexes."""

    x: NDArray[Any]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class RawData:
    form: Form
    splits: dict[str, Samples]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    rate_hz: int = 0
    scale: float = 0.0
    any_size: bool = False

    def fingerprint(self) -> str:
        """SHA-256 over samples and labels of all splits, class names and rate."""
        digest = hashlib.sha256(repr((self.form, self.classes, self.rate_hz)).encode())
        for split in SPLITS:
            for values in (self.splits[split].x, self.splits[split].y):
                digest.update(f"{split} {values.dtype.str} {values.shape}".encode())
                digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def assemble(read: Read) -> RawData:
    """Checked samples of all three splits; test and validation carved from training where they are missing.

    Validation never overlaps test: samples that are in test as well are taken out of it.

    Raises:
        DataError: no samples, values that are not finite, labels out of line with samples or classes, fewer than two
            classes, or a class too small to split.
    """
    for split, part in read.parts().items():
        _check(part, f"{read.where}: {split}")
    classes, parts = _encode(read)
    notes = list(read.notes)
    least = max(2, 1 + ("test" not in parts) + ("val" not in parts))
    counts = np.bincount(parts["train"].y, minlength=len(classes))
    small = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]
    if small:
        raise DataError("classes with too few training samples", where=read.where, seen=some(small),
                        allowed=f"at least {least} each", next="add samples or leave the class out")  # fmt: skip
    if (total := sum(counts)) < LEAST_SAMPLES:
        raise DataError("too few training samples to learn and judge by", where=read.where, seen=int(total),
                        allowed=f"at least {LEAST_SAMPLES}", next="add samples")  # fmt: skip
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < _FEW]
    if few:
        notes.append(f"classes with few training samples: {some(few)}")
    if "test" not in parts:
        _carve(parts, "test", TEST_SHARE, read.where, notes)
    absent = [classes[i] for i in np.setdiff1d(np.arange(len(classes)), parts["test"].y)]
    if absent:
        notes.append(f"classes without test samples: {some(absent)}")
    if "val" not in parts:
        _carve(parts, "val", VAL_SHARE, read.where, notes)
    _overlaps(parts, read.where, notes)
    splits = {split: Samples(np.ascontiguousarray(parts[split].x), parts[split].y) for split in SPLITS}
    return RawData(read.form, splits, classes, tuple(notes), read.rate_hz, read.scale, read.any_size)


def _check(part: Part, where: str) -> None:
    if part.y.ndim == 2 and part.y.shape[1] == 1:
        part = replace(part, y=part.y[:, 0])
    if part.y.ndim == 2:
        raise DataError("labels must be one a sample", where=where, seen=f"shape {part.y.shape}",
                        next="for one-hot labels use `y.argmax(axis=1)`")  # fmt: skip
    if part.y.shape != (len(part.x),):
        raise DataError("labels out of line with samples", where=where,
                        seen=f"{len(part.x)} samples and labels of shape {part.y.shape}",
                        allowed="one label a sample")  # fmt: skip
    if not len(part.x):
        raise DataError("no samples", where=where, seen=0, allowed="at least one")
    if part.x.dtype.kind == "f":
        bad = sum(not np.isfinite(sample).all() for sample in part.x)
        if bad:
            raise DataError("samples with values that are not finite numbers (NaN or infinite)", where=where,
                            seen=f"{bad} of {len(part.x)}", next="remove or fill them")  # fmt: skip


def _encode(read: Read) -> tuple[tuple[str, ...], dict[str, Part]]:
    """Class names, and parts whose labels are indexes into them."""
    labels = {split: _label_values(part.y, f"{read.where}: {split}") for split, part in read.parts().items()}
    known = np.unique(labels["train"])
    if len({values.dtype.kind for values in labels.values()}) > 1:
        raise DataError("labels are numbers in one split and text in another", where=read.where)
    values: Iterable[Any]
    if read.classes:
        if len(set(read.classes)) < len(read.classes):
            raise DataError("class names twice", where=f"{read.where}: classes", seen=list(read.classes))
        names = read.classes
        values = names if known.dtype.kind == "U" else range(len(names))
    else:
        names = tuple(str(value) for value in known.tolist())
        values = known.tolist()
    index: dict[Any, int] = {value: i for i, value in enumerate(values)}
    if len(names) < 2:
        raise DataError("a single class: nothing to tell apart", where=read.where, seen=list(names),
                        allowed="at least two classes")  # fmt: skip
    parts = {}
    for split, part in read.parts().items():
        strange = [str(value) for value in np.unique(labels[split]).tolist() if value not in index]
        if strange:
            raise DataError("labels without a class", where=f"{read.where}: {split}", seen=some(strange),
                            allowed=some([str(value) for value in index], 12))  # fmt: skip
        y = np.array([index[value] for value in labels[split].tolist()], np.int64)
        parts[split] = replace(part, y=y)
    return names, parts


def _label_values(y: NDArray[Any], where: str) -> NDArray[Any]:
    """Labels as int64 or as text."""
    y = y.reshape(-1)
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U":
        return y
    if y.dtype.kind in "bi" or (y.dtype.kind == "u" and (y < 2**63).all()):
        return y.astype(np.int64)
    if y.dtype.kind == "f" and np.isfinite(y).all() and (np.abs(y) < 2**53).all() and (y == np.rint(y)).all():
        return y.astype(np.int64)
    raise DataError("labels are neither whole numbers nor text", where=where, seen=y[:5].tolist(),
                    allowed="class indexes or class names")  # fmt: skip


def _carve(parts: dict[str, Part], name: str, share: float, where: str, notes: list[str]) -> None:
    """Moves `share` of training into split `name`, by whole groups where they are known."""
    train = parts["train"]
    held, how = None, "stratified"
    if train.groups is not None:
        held, how = grouped(train.y, train.groups, share), "by group"
        if held is None:
            how = "stratified, for no choice of whole groups has every class"
    if held is None:
        held = _held_out(parts, share, where)
    for split, keep in ((name, held), ("train", ~held)):
        groups = None if train.groups is None else train.groups[keep]
        parts[split] = Part(train.x[keep], train.y[keep], groups)
    notes.append(f"{name}: {plural(int(held.sum()), 'sample')} carved from training, {how}")


def _held_out(parts: dict[str, Part], share: float, where: str) -> NDArray[np.bool_]:
    """A stratified choice among distinct samples that are not in test; copies of a chosen one go with it."""
    train = parts["train"]
    contents = np.array(digests(train.x))
    _, first = np.unique(contents, return_index=True)
    if "test" in parts:
        first = first[~np.isin(contents[first], np.array(digests(parts["test"].x)))]
    first.sort()
    held = np.isin(contents, contents[first[stratified(train.y[first], share)]])
    if not held.any() or held.all():
        raise DataError("too few distinct samples to hold some out", where=where, seen=f"{len(first)} distinct",
                        next="remove duplicates and add samples")  # fmt: skip
    return np.asarray(held)


def _overlaps(parts: dict[str, Part], where: str, notes: list[str]) -> None:
    hashes = {split: digests(part.x) for split, part in parts.items()}
    test = set(hashes["test"])
    both = sum(digest in test for digest in hashes["train"])
    if both:
        notes.append(f"{plural(both, 'training sample')} also in test: its scores may flatter")
    keep = np.array([digest not in test for digest in hashes["val"]], np.bool_)
    if not keep.any():
        raise DataError("every validation sample is also in test", where=where, seen=f"{len(keep)} samples",
                        next="remove duplicates")  # fmt: skip
    if not keep.all():
        val = parts["val"]
        parts["val"] = Part(val.x[keep], val.y[keep])
        notes.append(f"{plural(int((~keep).sum()), 'validation sample')} left out, also in test")
    train, test_groups = parts["train"].groups, parts["test"].groups
    if train is not None and test_groups is not None:
        known = np.intersect1d(train, test_groups)
        if len(known):
            notes.append(f"{plural(len(known), 'group')} in training and in test: scores hold for known ones only")
