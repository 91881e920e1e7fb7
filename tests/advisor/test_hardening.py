"""Training against corruptions: what copies are made of, and that hardening raises robust accuracy of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robust_samples import SMALL, digit_candidate, opened, waves, windows

from advisor import robustness
from advisor.build import plans
from advisor.evaluate import Request, evaluate
from advisor.robustness import corrupted_copies, robust_accuracy
from advisor.space.search_space import make_candidate
from specs.limits import CORRUPTIONS


@pytest.fixture(scope="module")
def digits() -> Any:
    return opened("image-classification")


def test_copies_are_of_training_samples_and_repeatable(digits):
    x, rows = corrupted_copies(digits, (8, 8, 1), ("noise", "tilt"), 0)
    clean = digits.load("train").x
    assert x.shape == (len(rows), 8, 8, 1)
    assert len(rows) == 4 * len(clean)
    assert (np.bincount(rows, minlength=len(clean)) == 4).all()
    # nearer to the sample they were made of than to another
    own, other = (np.abs(x - clean[r]).mean() for r in (rows, np.roll(rows, 1)))
    assert own < 0.7 * other
    robustness._kept.clear()
    np.testing.assert_array_equal(corrupted_copies(digits, (8, 8, 1), ("noise", "tilt"), 0)[0], x)
    assert np.abs(corrupted_copies(digits, (8, 8, 1), ("noise", "tilt"), 1)[0] - x).max() > 0.1


def test_copies_of_large_samples_are_fewer(digits, monkeypatch):
    monkeypatch.setattr(robustness, "MAX_COPIES_BYTES", 4 * 64 * 500)
    size = len(digits.load("train"))
    robustness._kept.clear()
    assert len(corrupted_copies(digits, (8, 8, 1), ("noise",), 0)[1]) == max(500, -(-size // 4))
    robustness._kept.clear()


def result(task: Any, candidate: Any, folder: Path, under: tuple[str, ...], harden: bool) -> Any:
    request = Request(candidate, ("onnxruntime",), "short", folder, 0, False, under, harden)
    (found,) = evaluate(request, task, lambda *_: None)
    assert found.error == ""
    return found


@pytest.mark.parametrize("quantization", ["fp32", "int8"])
def test_hardening_pays_on_digits(digits, tmp_path, quantization):
    under = ("low-light", "occlusion")  # what augmentation does not already cover
    plain, hard = (
        result(digits, digit_candidate(quantization), tmp_path / str(harden), under, harden) for harden in (False, True)
    )
    for found in (plain, hard):
        assert found.robust.value <= found.accuracy.value + 0.03
        assert found.details["robust"]["samples"] > 200
    assert hard.robust.value > plain.robust.value + 0.1
    assert hard.accuracy.value > plain.accuracy.value - 0.08  # so small a network pays with some clean accuracy
    # and on samples and corruptions that neither training nor selection met
    unseen = [
        robust_accuracy(found.artifact, digit_candidate(quantization), digits, under, 7, "test")[0].value
        for found in (plain, hard)
    ]
    assert unseen[1] > unseen[0] + 0.1


def test_what_is_not_asked_for_is_not_judged(digits, tmp_path, monkeypatch):
    monkeypatch.setitem(plans.PLANS, "short", replace(plans.PLANS["short"], passes=2000, min_epochs=1))
    found = result(digits, digit_candidate(), tmp_path, (), False)
    assert found.robust is None
    assert "robust" not in found.details


@pytest.mark.parametrize("kind", ["audio-classification", "timeseries-classification"])
def test_sounds_and_sensors_from_training_to_the_exported_file(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(plans.PLANS, "short", replace(plans.PLANS["short"], passes=3000, min_epochs=4))
    audio = kind == "audio-classification"
    task = opened(kind, waves(tmp_path / "d.npz") if audio else windows(tmp_path / "d.npz"), "macro-f1")
    candidate = make_candidate("dscnn", tuple(sorted(SMALL.items())), task.shape, (0.0, 0.0), "fp32", len(task.classes))
    found = result(task, candidate, tmp_path / "hard", CORRUPTIONS[kind], True)
    assert found.accuracy.value > 0.9
    assert 0.5 < found.robust.value <= found.accuracy.value + 0.05
    assert all(row["value"] is not None for row in found.details["robust"]["under"].values())
    again = robust_accuracy(found.artifact, candidate, task, CORRUPTIONS[kind])
    assert again == (found.robust, found.details["robust"])
    other, table = robust_accuracy(found.artifact, candidate, task, CORRUPTIONS[kind], split="test")
    assert table["split"] == "test"
    assert other.value == pytest.approx(found.robust.value, abs=0.25)
