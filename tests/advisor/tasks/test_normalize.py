"""Features over time lose each sample's own mean unless that is what tells the classes apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.tasks.load import open_task
from advisor.tasks.normalize import chosen
from specs.search import SearchSpec
from specs.spec import Spec

Make = Callable[..., Any]


def sounds(steady: float, moving: float, shape: tuple[int, int] = (20, 6), count: int = 400, seed: int = 0) -> Any:
    """Features and labels of four classes that differ in what lasts, in what changes, or in both; every sample with
    an offset of its own, as microphones give."""
    rng = np.random.default_rng(0)
    level, course = rng.standard_normal((4, 1, shape[1])), rng.standard_normal((4, *shape))
    course -= course.mean(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    x = steady * level[labels] + moving * course[labels] + rng.standard_normal((count, *shape))
    return (x + 0.3 * rng.standard_normal((count, 1, shape[1]))).astype(np.float32), labels


@pytest.mark.parametrize(
    ("steady", "moving", "expected"), [(1.0, 0.0, "training"), (0.0, 1.0, "sample"), (1.0, 0.3, "training")]
)
def test_what_lasts_is_kept_where_it_tells(steady: float, moving: float, expected: str) -> None:
    verdict = chosen(*sounds(steady, moving), *sounds(steady, moving, count=200, seed=1))
    assert verdict.normalization == expected
    assert f"{verdict.sample * 100:.1f} % right with it, {verdict.training * 100:.1f} % without" in verdict.words


@pytest.mark.parametrize("shape", [(5, 1), (17, 3), (49, 40), (6, 300), (1000, 2)])
def test_any_shape(shape: tuple[int, int]) -> None:
    assert chosen(*sounds(0.0, 2.0, shape), *sounds(0.0, 2.0, shape, 100, 1)).normalization == "sample"


def test_few_steps_keep_their_mean() -> None:
    verdict = chosen(*sounds(1.0, 1.0, (4, 10)), *sounds(1.0, 1.0, (4, 10), 100, 1))
    assert (verdict.normalization, verdict.words) == ("training", "")


def test_few_samples_tell_nothing() -> None:
    x, labels = sounds(0.0, 1.0, count=12)
    assert chosen(x, labels, x, labels).normalization == "training"
    x, labels = sounds(0.0, 1.0, count=16)
    assert chosen(x, labels, x, labels).normalization == "sample"


def test_values_that_are_barely_finite() -> None:
    (x, y), (vx, vy) = sounds(1.0, 0.0), sounds(1.0, 0.0, count=200, seed=1)
    assert chosen(x * np.float32(1e36), y, vx * np.float32(1e36), vy).normalization == "training"


def test_values_that_never_change() -> None:
    x, labels = np.ones((40, 8, 3), np.float32), np.arange(40) % 2
    verdict = chosen(x, labels, x, labels)
    assert (verdict.normalization, verdict.sample, verdict.training) == ("sample", 0.5, 0.5)


def test_the_data_decide_and_the_user_is_told(spec: Make, npz: Make) -> None:
    def archive(steady: float, moving: float) -> Any:
        (x, y), (tx, ty) = sounds(steady, moving), sounds(steady, moving, count=80, seed=1)
        return npz(X_train=x, y_train=y, X_test=tx, y_test=ty)

    kept = open_task(spec("audio", archive(1.0, 0.0)))
    assert kept.normalization == "training"
    assert "mean over time is kept" in kept.notes[-1]
    path = archive(0.0, 1.0)
    task = open_task(spec("audio", path))
    assert task.normalization == "sample"
    assert "mean over time is subtracted" in task.notes[-1]
    assert np.abs(task.load("test").x[..., 0].mean(axis=1)).max() < 1e-5  # the training mean is 0 then
    assert "subtract from each feature its mean over this sample's 20 steps" in task.preprocessing().words
    told = open_task(spec("audio", path, normalization="training"))
    assert (told.normalization, len(told.notes)) == ("training", len(task.notes) - 1)
    assert "this sample's" not in told.preprocessing().words
    assert task.fingerprint == told.fingerprint


def test_models_of_the_user_see_features_as_they_are(spec: Make, npz: Make) -> None:
    (x, y), (tx, ty) = sounds(0.0, 1.0), sounds(0.0, 1.0, count=80, seed=1)
    plain: Spec = spec("audio", npz(X_train=x, y_train=y, X_test=tx, y_test=ty))
    for other in (
        replace(plain, baseline="old.tflite"),
        replace(plain, search=SearchSpec(architectures=("dscnn", "model:old.onnx"))),
    ):
        assert open_task(other).normalization == "training"
        asked = replace(other, task=replace(other.task, normalization="sample"))
        assert open_task(asked).normalization == "sample"
    assert open_task(plain).normalization == "sample"


@pytest.mark.parametrize(("kind", "shape"), [("image", (8, 8, 1)), ("series", (16, 3))])
def test_other_data_have_no_choice(spec: Make, arrays: Make, npz: Make, kind: str, shape: tuple[int, ...]) -> None:
    task = open_task(spec(kind, npz(**arrays(shape))))
    assert task.normalization == task.preprocessing().numbers["normalization"] == "training"


def test_raw_waveforms_have_no_choice(spec: Make, arrays: Make, npz: Make) -> None:
    assert open_task(spec("audio", npz(**arrays((8000,), dtype="int16")), frontend="raw")).normalization == "training"


@pytest.mark.parametrize("name", ["fsdd_mfcc49x10.npz", "fsdd_audio8k_1s.npz"])
def test_speech_loses_its_mean(spec: Make, dataset: Make, name: str) -> None:
    assert open_task(spec("audio", dataset(name))).normalization == "sample"
