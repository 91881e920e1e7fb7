from __future__ import annotations

import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from specs.spec import Spec, TaskSpec

KINDS = {"image": "image-classification", "audio": "audio-classification", "series": "timeseries-classification"}
DATASETS = Path(
    os.environ.get("EDGE_ADVISOR_DATASETS") or Path(__file__).resolve().parents[3].parent / "shared" / "datasets"
)


@pytest.fixture
def spec() -> Callable[..., Spec]:
    """spec("image", path, metric=…, frontend=…)."""

    def make(kind: str, data: Path | str, **more: str) -> Spec:
        task = TaskSpec(KINDS[kind], str(data), **more)  # type: ignore[arg-type]
        return Spec("test", task, ())

    return make


@pytest.fixture
def dataset() -> Callable[[str], Path]:
    """The path of a real data set; skips the test where it is not on this machine."""

    def find(name: str) -> Path:
        path = DATASETS / name
        if not path.exists():
            pytest.skip(f"{name} is not in {DATASETS}; set EDGE_ADVISOR_DATASETS to where it is")
        return path

    return find


@pytest.fixture
def rng() -> np.random.RandomState:
    return np.random.RandomState(7)


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a picture; a number as `pixels` is a flat gray level."""

    def write(path: Path, pixels: Any = 100, size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = (
            Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else Image.new("L", size, pixels).convert(mode)
        )
        image.save(path)
        return path

    return write


@pytest.fixture
def sound() -> Callable[..., Path]:
    """Writes a .wav of a sine: 16-bit unless `width` says other bytes a sample."""

    def write(
        path: Path, hz: float = 440.0, seconds: float = 0.5, rate: int = 8000, channels: int = 1, width: int = 2
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        wave_ = 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
        top = 2 ** (8 * width - 1)
        values = np.rint(wave_ * (top - 1)).astype(np.int64) + (128 if width == 1 else 0)
        frames = np.repeat(values[:, None], channels, axis=1)
        data = frames.astype("<i8").reshape(-1, 1).view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(data)
        return path

    return write


@pytest.fixture
def arrays(rng: np.random.RandomState) -> Callable[..., dict[str, Any]]:
    """Arrays of a valid .npz: `train`/`test` samples of `shape`, three classes in turn."""

    def make(
        shape: tuple[int, ...] = (16, 3), train: int = 60, test: int = 15, dtype: str = "float32"
    ) -> dict[str, Any]:
        def draw(count: int) -> Any:
            if dtype.startswith("float"):
                return rng.standard_normal((count, *shape)).astype(dtype)
            info = np.iinfo(dtype)
            return rng.randint(info.min, info.max + 1, (count, *shape)).astype(dtype)

        return {
            "X_train": draw(train),
            "y_train": np.arange(train) % 3,
            "X_test": draw(test),
            "y_test": np.arange(test) % 3,
        }

    return make


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    def write(**values: Any) -> Path:
        path = tmp_path / "data.npz"
        np.savez_compressed(path, **values)
        return path

    return write
