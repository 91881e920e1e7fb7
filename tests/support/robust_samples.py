"""Tasks, candidates and sessions that tests of robustness share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from specs.spec import Spec, TaskSpec

SMALL = {"width": 8, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}


def opened(kind: str, data: Path | str = "digits", metric: str = "accuracy") -> Any:
    return open_task(Spec("x", TaskSpec(kind, str(data), metric), ()))  # type: ignore[arg-type]


def digit_candidate(quantization: str = "fp32", width: int = 16) -> Any:
    params = SMALL | {"width": width}
    return make_candidate("dscnn", tuple(sorted(params.items())), (8, 8, 1), (0.0, 0.0), quantization, 10)


class Nearest:
    """A session that answers with the class whose mean training input is nearest."""

    def __init__(self, task: Any) -> None:
        train = task.load("train")
        flat = train.x.reshape(len(train), -1)
        self.means = np.stack([flat[train.y == k].mean(axis=0) for k in range(len(task.classes))])
        self.asked = 0

    def run(self, x: np.ndarray) -> np.ndarray:
        self.asked += len(x)
        return -((x.reshape(len(x), 1, -1) - self.means) ** 2).sum(axis=2)

    def arena_bytes(self) -> None:
        return None

    def close(self) -> None:
        return None


class Forest(Nearest):
    """A session that answers as a small random forest on the network's input."""

    def __init__(self, task: Any) -> None:
        train = task.load("train")
        self.forest = RandomForestClassifier(20, max_depth=12, random_state=0)
        self.forest.fit(train.x.reshape(len(train), -1), train.y)

    def run(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.forest.predict_proba(x.reshape(len(x), -1)))


def waves(path: Path) -> Path:
    """Two tones to tell apart, as waveforms of a second."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(count) % 2
        at = np.arange(8000) / 8000
        hz = np.where(y, 1500.0, 500.0)[:, None] * rng.uniform(0.9, 1.1, (count, 1))
        sound = np.sin(2 * np.pi * hz * at) * (np.abs(at - 0.5) < 0.25) + 0.01 * rng.standard_normal((count, 8000))
        return np.rint(sound * 16000).astype(np.int16), y

    (a, b), (c, d) = draw(100), draw(40)
    np.savez(path, X_train=a, y_train=b, X_test=c, y_test=d, rate=8000)
    return path


def windows(path: Path, shape: tuple[int, int] = (32, 6)) -> Path:
    """Three motions: constant offsets with slow swings on six axes; or features of that shape."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((3, 1, shape[1])) * 1.5

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(count) % 3
        x = centre[y] + 0.3 * rng.standard_normal((count, *shape))
        return x.astype(np.float32), y

    (a, b), (c, d) = draw(150), draw(60)
    np.savez(path, X_train=a, y_train=b, X_test=c, y_test=d)
    return path
