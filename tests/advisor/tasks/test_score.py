from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from advisor.tasks.score import score, wilson
from specs.errors import DataError
from specs.spec import SCORES

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=80)


@given(pairs)
def test_equals_scikit_learn_and_lies_in_its_interval(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = (np.array(side) for side in zip(*pairs, strict=True))
    expected = {
        "accuracy": accuracy_score(labels, predictions),
        # balanced accuracy, without the warning for classes that are predicted only
        "balanced-accuracy": recall_score(
            labels, predictions, labels=np.unique(labels), average="macro", zero_division=0.0
        ),
        "macro-f1": f1_score(labels, predictions, average="macro", zero_division=0.0),
    }
    for metric in SCORES:
        found = score(metric, predictions, labels)
        assert found.value == pytest.approx(expected[metric], abs=1e-12)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert (found.source, found.n) == ("measured", len(labels))
        assert found == score(metric, predictions, labels), "equal predictions, equal interval"


def test_wilson_known_values() -> None:
    # Newcombe 1998, table I, gives 81 of 263 at 95 %; at 90 % the formula was worked by hand for 9 of 10
    z = 1.6448536269514722
    low, high = wilson(9, 10)
    for bound in (low, high):  # Wilson's bounds solve (p̂ - p)² = z² p (1 - p) / n
        assert (0.9 - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / 10)
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 10)[0] == 0.0


@pytest.mark.parametrize("metric", SCORES)
def test_perfect_score_is_not_certain(metric: str) -> None:
    labels = np.repeat(np.arange(5), 10)
    found = score(metric, labels, labels)
    assert found.value == 1.0
    assert 0.85 < found.low < 1.0
    assert found.high == 1.0


@pytest.mark.parametrize("metric", SCORES)
def test_more_samples_narrower_interval(metric: str) -> None:
    rng = np.random.RandomState(0)
    widths = []
    for count in (50, 500, 5000):
        labels = rng.randint(0, 4, count)
        predictions = np.where(rng.random_sample(count) < 0.9, labels, (labels + 1) % 4)
        found = score(metric, predictions, labels)
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("metric", "predictions", "labels"),
    [("auc", [0], [0]), ("accuracy", [], []), ("accuracy", [0, 1], [0]), ("macro-f1", [[0, 1]], [[0, 1]])],
)
def test_refuses(metric: str, predictions: list[Any], labels: list[Any]) -> None:
    with pytest.raises(DataError, match="allowed"):
        score(metric, np.array(predictions), np.array(labels))


@pytest.mark.slow
@pytest.mark.parametrize("metric", SCORES)
def test_intervals_cover(metric: str) -> None:
    rng = np.random.RandomState(1)
    for accuracy, sizes in ((0.7, [30] * 6), (0.9, [100, 20, 10]), (0.97, [50] * 5)):
        classes = len(sizes)
        chance = np.full((classes, classes), (1 - accuracy) / (classes - 1))
        np.fill_diagonal(chance, accuracy)
        expected = chance * np.array(sizes)[:, None]
        f1 = (2 * np.diag(expected) / (expected.sum(axis=0) + expected.sum(axis=1))).mean()
        truth = f1 if metric == "macro-f1" else accuracy
        labels = np.repeat(np.arange(classes), sizes)
        hits = 0
        for _ in range(300):
            predictions = np.concatenate([rng.choice(classes, n, p=chance[k]) for k, n in enumerate(sizes)])
            found = score(metric, predictions, labels)
            hits += found.low <= truth <= found.high
        assert hits / 300 > 0.84
