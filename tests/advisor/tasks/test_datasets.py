"""The readers on real recordings, pictures and windows, where they are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from advisor.tasks.apply import apply
from advisor.tasks.load import open_task

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "name", "frontend", "shape", "test"),
    [
        ("image", "sign_digits_32.npz", "auto", (32, 32, 3), 423),
        ("audio", "fsdd_mfcc49x10.npz", "auto", (49, 10, 1), 300),
        ("audio", "fsdd_audio8k_1s.npz", "auto", (49, 10, 1), 300),
        ("audio", "fsdd_audio8k_1s.npz", "log-mel", (49, 40, 1), 300),
        ("series", "har_smartphone.npz", "auto", (64, 6), 1267),
    ],
)
def test_opens_and_repeats(
    spec: Make, dataset: Make, kind: str, name: str, frontend: str, shape: tuple[int, ...], test: int
) -> None:
    task = open_task(spec(kind, dataset(name), frontend=frontend))
    assert task.shape == shape
    sizes = [len(task.load(split)) for split in ("train", "val", "test")]
    assert sizes[2] == test
    assert 0.13 < sizes[1] / (sizes[0] + sizes[1]) < 0.22
    raw, loaded = task.raw("test")[40:47], task.load("test").x[40:47]
    np.testing.assert_allclose(apply(task.preprocessing().numbers, raw), loaded, atol=1e-5)


def test_our_mfcc_tells_words_apart(spec: Make, dataset: Make) -> None:
    """A plain forest on our front end comes near the 96 % it has on reference features."""
    from sklearn.ensemble import RandomForestClassifier

    task = open_task(spec("audio", dataset("fsdd_audio8k_1s.npz")))
    train, unseen = task.load("train"), task.load("test")
    forest = RandomForestClassifier(60, random_state=0).fit(train.x.reshape(len(train), -1), train.y)
    found = task.score(forest.predict(unseen.x.reshape(len(unseen), -1)), unseen.y)
    assert found.value is not None
    assert found.value > 0.92


def test_har_is_validated_on_other_subjects(spec: Make, dataset: Make) -> None:
    path = dataset("har_smartphone.npz")
    task = open_task(spec("series", path))
    assert any("by group" in note for note in task.notes)
    with np.load(path, allow_pickle=False) as data:
        of = {sample.tobytes(): subject for sample, subject in zip(data["X_train"], data["subject_train"], strict=True)}
    train, val = ({of[sample.tobytes()] for sample in task.raw(split)} for split in ("train", "val"))
    assert val
    assert not train & val
