"""Corrupting raw samples: from their own type to unit range, changed, and back, as a device would record them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.base import Preprocessing, Split
from advisor.tasks.corruptions.base import SEVERITIES, Corruption, Facts, Samples
from advisor.tasks.corruptions.features import FEATURES
from advisor.tasks.corruptions.images import IMAGES
from advisor.tasks.corruptions.sensors import SENSORS
from advisor.tasks.corruptions.sounds import SOUNDS
from advisor.tasks.raw import Form
from specs.errors import DataError, nearest

BY_FORM: dict[Form, dict[str, Corruption]] = {
    "image": IMAGES,
    "waveform": SOUNDS,
    "features": FEATURES,
    "series": SENSORS,
}
_CHUNK = 128
"""Samples changed at a time, so that transforms of a whole split are never held at once."""
_LOOKED_AT = 4096
"""Training samples that give the spread of a channel."""


class RawTask(Protocol):
    """What is asked of a task: its raw samples and how they are prepared."""

    def raw(self, split: Split) -> NDArray[Any]: ...

    def preprocessing(self, shape: tuple[int, ...] | None = None) -> Preprocessing: ...


def facts_of(task: RawTask) -> Facts:
    """What corruptions have to know of a task's raw samples, from its training split."""
    numbers, raw = task.preprocessing().numbers, task.raw("train")
    form: Form = numbers["kind"]
    shape, scale = tuple(raw.shape[1:]), float(numbers["scale"])
    if form == "image":
        least = float(raw.min())
        # pixels from 0, whose scale says where white is; float ones that go below have no such scale
        low, high = (0.0, 1.0 / scale) if least >= 0 else (least, float(raw.max()))
        return Facts(form, shape, low, max(high, low + 1e-30))
    if form == "waveform":
        return Facts(form, shape, scale=scale, rate_hz=int(numbers["rate_hz"]))
    some = raw[:: -(-len(raw) // _LOOKED_AT)].reshape(-1, shape[-1]).astype(np.float64)
    return Facts(form, shape, mean=some.mean(axis=0).astype(np.float32), std=some.std(axis=0).astype(np.float32))


def corruption(name: str, facts: Facts) -> Corruption:
    """What `name` means for such samples.

    Raises:
        DataError: nothing of that name is done to them.
    """
    known = BY_FORM[facts.form]
    if name not in known:
        raise DataError(f"unknown corruption of {facts.form} data", seen=name, allowed=", ".join(known),
                        next=nearest(name, known))  # fmt: skip
    return known[name]


def corrupt(name: str, raw: NDArray[Any], severity: int, facts: Facts, rng: np.random.Generator) -> NDArray[Any]:
    """Raw samples as they come out of a corruption: same shape, same type. Severity 0 changes nothing.

    Raises:
        DataError: unknown name or severity, or a corruption that means nothing for such samples.
    """
    found = corruption(name, facts)
    if severity not in (0, *SEVERITIES):
        raise DataError("unknown severity", seen=severity, allowed="0 (none), 1 to 5")
    if reason := found.lacks(facts):
        raise DataError(reason, seen=name)
    result = raw.copy()
    if severity == 0:
        return result
    level = float(found.levels(facts)[severity - 1])
    for start in range(0, len(raw), _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = _back(found.act(_unit(raw[part], facts), level, rng, facts), raw.dtype, facts)
    return result


def _unit(raw: NDArray[Any], facts: Facts) -> Samples:
    x = raw.astype(np.float32)
    if facts.form == "image":
        return (x - np.float32(facts.low)) / np.float32(facts.high - facts.low)
    return x * np.float32(facts.scale) if facts.form == "waveform" else x


def _back(x: NDArray[Any], dtype: np.dtype[Any], facts: Facts) -> NDArray[Any]:
    """Clipped to what the sensor can deliver and, for whole numbers, rounded to its steps."""
    if facts.form == "image":
        x = np.asarray(np.clip(x, 0.0, 1.0) * (facts.high - facts.low) + facts.low)
    elif facts.form == "waveform":
        x = np.asarray(np.clip(x, -1.0, 1.0) / facts.scale)
    if dtype.kind not in "iu":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(x), info.min, info.max).astype(dtype))
