"""A task over samples in memory: one preprocessing, recorded in numbers that `apply.py` repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.tasks import frontend, normalize
from advisor.tasks.apply import apply
from advisor.tasks.assemble import RawData
from advisor.tasks.base import Dataset, Preprocessing, Split
from advisor.tasks.raw import MAX_BYTES, SPLITS
from advisor.tasks.score import score
from cost_models.estimate import Estimate
from specs.errors import DataError
from specs.spec import TaskKind

_ROWS = 65536  # samples' rows summed at a time, so that their squares never double the data


class MemoryTask:
    """The task of `data`; see `advisor.tasks.base.Task`. Prepared splits are kept, except when pickled."""

    def __init__(
        self, kind: TaskKind, metric: str, data: RawData, front: str = "auto", normalization: str = "auto"
    ) -> None:
        self.kind: TaskKind = kind
        self.metric = metric
        self.classes = data.classes
        self.any_size = data.any_size
        self.fingerprint = data.fingerprint()
        self._data = data
        self._base = _numbers(data, front)
        self.notes = data.notes
        self.normalization = normalization if _over_time(self._base) else "training"
        if self.normalization == "auto":
            self.normalization, words = _decided(data, self._base)
            self.notes += words
        self._base["normalization"] = self.normalization
        self.shape: tuple[int, ...] = tuple(self._base["shape"])
        self.shapes: tuple[tuple[int, ...], ...] = smaller(self.shape) if data.form == "image" else (self.shape,)
        self._moments: tuple[list[float], list[float]] | None = None
        self._prepared: dict[tuple[str, tuple[int, ...]], Dataset] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": {}}

    def load(self, split: Split, shape: tuple[int, ...] | None = None) -> Dataset:
        """The split, resized to `shape` where given.

        Raises:
            DataError: an unknown split, or a shape this task cannot take.
        """
        key = (_known(split), self._checked(shape))
        if key not in self._prepared:
            samples = self._data.splits[split]
            x = apply(self.preprocessing(shape).numbers, samples.x)
            self._prepared[key] = Dataset(x, samples.y)
        return self._prepared[key]

    def raw(self, split: Split) -> NDArray[Any]:
        """The split's samples as `apply` takes them: images and waveforms as integers, windows as read."""
        return self._data.splits[_known(split)].x

    def preprocessing(self, shape: tuple[int, ...] | None = None) -> Preprocessing:
        """How raw samples become the input, `numbers` as `advisor.tasks.apply.apply` takes them."""
        shape = self._checked(shape)
        mean, std = self._statistics()
        numbers = self._base | {"shape": list(shape), "mean": mean, "std": std}
        macs, moved = frontend.price(numbers) if numbers["kind"] == "waveform" else (0, 0)
        return Preprocessing(_words(numbers), numbers, macs, moved)

    def score(self, predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> Estimate:
        """The task's metric with its 90 % interval.

        Raises:
            DataError: predictions out of line with labels.
        """
        return score(self.metric, predictions, labels)

    def _statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel of the training split, at its natural shape.

        Resized images keep them: what is compared between sizes is then the size alone.
        """
        if self._moments is None:
            samples = self._data.splits["train"]
            x = apply(self._base, samples.x)
            mean, std = moments(x.reshape(-1, len(self._base["mean"])))
            self._moments = mean, std
            # the same arithmetic as `apply`, without running a front end twice
            flat = x.reshape(-1, len(mean))
            np.divide(flat - np.asarray(mean, np.float32), np.asarray(std, np.float32), out=flat)
            self._prepared["train", self.shape] = Dataset(x, samples.y)
        return self._moments

    def _checked(self, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        if shape is None or tuple(shape) == self.shape:
            return self.shape
        image = self._data.form == "image" and len(shape) == 3 and shape[2] == self.shape[2]
        if not image or not all(1 <= side <= 1024 for side in shape[:2]):
            allowed = " or ".join(map(str, self.shapes)) + (" or other sides up to 1024" if image else "")
            raise DataError("not an input shape of this task", seen=shape, allowed=allowed)
        return tuple(shape)


def smaller(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """An image shape and, where its shorter side is above 16, three quarters and half of it in multiples of 8."""
    shapes = [shape]
    for share in (0.75, 0.5) if min(shape[:2]) > 16 else ():
        sides = tuple(max(8, 8 * int(side * share / 8 + 0.5)) for side in shape[:2])
        if sides[0] < shape[0] and sides[1] < shape[1] and (*sides, shape[2]) not in shapes:
            shapes.append((*sides, shape[2]))
    return tuple(shapes)


def moments(rows: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column; 1 for columns that do not vary beyond rounding."""
    total = sum(rows[i : i + _ROWS].sum(axis=0, dtype=np.float64) for i in range(0, len(rows), _ROWS))
    mean = np.asarray(total) / len(rows)
    squares = sum(((rows[i : i + _ROWS] - mean) ** 2).sum(axis=0) for i in range(0, len(rows), _ROWS))
    std = np.sqrt(np.asarray(squares) / len(rows))
    std[(std <= 1e-6 * np.abs(mean)) | (std < 1e-30)] = 1.0
    return mean.tolist(), std.tolist()


def _numbers(data: RawData, front: str) -> dict[str, Any]:
    """Everything but the training statistics, which start as 0 and 1."""
    raw = data.splits["train"].x
    numbers: dict[str, Any] = {"kind": data.form, "dtype": raw.dtype.name, "scale": data.scale or _scale(data),
                               "any_size": data.any_size}  # fmt: skip
    if data.form == "image":
        numbers |= {"layout": "NHWC", "resize": "bilinear", "shape": list(raw.shape[1:])}
    elif data.form == "series":
        numbers |= {"layout": "NTC", "shape": list(raw.shape[1:])}
    elif data.form == "features":
        if front != "auto":
            raise DataError("the data holds features already, no front end applies", seen=front, allowed="auto",
                            next="remove `frontend` from the task")  # fmt: skip
        numbers |= {"layout": "NHWC", "shape": [*raw.shape[1:], 1], "frontend": "none"}
    else:
        numbers |= frontend.design("mfcc" if front == "auto" else front, raw.shape[1], data.rate_hz)
        numbers["layout"] = "NTC" if numbers["frontend"] == "raw" else "NHWC"
    shape = numbers["shape"]
    count = sum(len(data.splits[split].y) for split in SPLITS)
    if count * int(np.prod(shape)) * 4 > MAX_BYTES:
        raise DataError("the prepared data set is too large", seen=f"{count} samples of shape {tuple(shape)}",
                        allowed=f"at most {MAX_BYTES // 1024**3} GiB as float32")  # fmt: skip
    channels = shape[1] if data.form in ("waveform", "features") and len(shape) == 3 else shape[-1]
    return numbers | {"mean": [0.0] * channels, "std": [1.0] * channels}


def _over_time(numbers: dict[str, Any]) -> bool:
    """Whether samples are features (T, F, 1), computed here or given."""
    form: str = numbers["kind"]
    return form == "features" or (form == "waveform" and numbers["frontend"] != "raw")


def _decided(data: RawData, numbers: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The normalization that suits features over time, and a note for the user."""
    train, val = data.splits["train"], data.splits["val"]
    verdict = normalize.chosen(apply(numbers, train.x)[..., 0], train.y, apply(numbers, val.x)[..., 0], val.y)
    return verdict.normalization, (verdict.words,) if verdict.words else ()


def _scale(data: RawData) -> float:
    """What brings pixels to 0…1 and waveforms to ±1; windows and features keep their units."""
    x = data.splits["train"].x
    if data.form not in ("image", "waveform"):
        return 1.0
    if x.dtype.kind in "iu":
        return 1.0 / (np.iinfo(x.dtype).max + (x.dtype.kind == "i"))
    low, high = float(x.min()), float(x.max())
    if data.form == "waveform":
        return 1.0 if max(-low, high) <= 1.0 else 1 / 32768
    if low < 0 or high <= 1.0:
        return 1.0
    return 1 / 255 if high <= 255 else 1 / 65535


def _words(numbers: dict[str, Any]) -> str:
    shape = "×".join(str(side) for side in numbers["shape"])
    if numbers["kind"] == "image":
        colour = "RGB" if numbers["shape"][2] == 3 else "gray"
        steps = (f"stretch the {colour} image to {shape} (bilinear, averaging when shrinking), "
                 f"multiply {numbers['dtype']} pixels by {frontend.ratio(numbers['scale'])}")  # fmt: skip
        per = "colour channel"
    elif numbers["kind"] == "waveform":
        steps, per = frontend.words(numbers), "coefficient" if numbers["frontend"] != "raw" else "channel"
    else:
        steps = f"take a window of {shape} as {numbers['dtype']}"
        per = "feature" if numbers["kind"] == "features" else "channel"
    if numbers["normalization"] == "sample":
        steps += f"; subtract from each {per} its mean over this sample's {numbers['shape'][0]} steps"
    return f"{steps}; subtract the mean and divide by the standard deviation of each {per}; layout {numbers['layout']}"


def _known(split: str) -> str:
    if split not in SPLITS:
        raise DataError("unknown split", seen=split, allowed=", ".join(SPLITS))
    return split
