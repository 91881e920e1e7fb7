"""Robust accuracy of exported files: what is averaged, how sure it is, and what means nothing for the data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robust_samples import SMALL, Forest, Nearest, digit_candidate, opened, windows

from advisor import robustness
from advisor.robustness import SAMPLES, check_corruptions, corrupted_copies, design, judge, scores
from advisor.space.search_space import make_candidate
from advisor.tasks.score import score, wilson
from specs.errors import SpecError
from specs.limits import CORRUPTIONS
from specs.spec import parse_spec

DATASETS = Path(os.environ.get("EDGE_ADVISOR_DATASETS") or Path(__file__).parents[2].parent / "shared" / "datasets")


@pytest.fixture(scope="module")
def digits() -> Any:
    return opened("image-classification")


# what is seen


@pytest.mark.parametrize(("size", "rounds"), [(4000, 1), (300, 1), (200, 1), (140, 2), (60, 5), (8, 5)])
def test_every_sample_is_seen_at_severities_that_go_round(size, rounds):
    labels = np.arange(size) * 3 // size
    plan = design(labels, 0)
    assert plan.severities.shape == (min(size, SAMPLES), rounds)
    assert len(set(plan.chosen.tolist())) == len(plan.chosen)
    for row in plan.severities:
        assert len(set(row.tolist())) == rounds
    counts = np.bincount(plan.severities.ravel(), minlength=6)[1:]
    assert counts.max() - counts.min() <= 1
    shares = np.bincount(labels[plan.chosen]) / len(plan.chosen)
    np.testing.assert_allclose(shares, np.bincount(labels) / size, atol=0.02 + 1 / len(plan.chosen))


def test_metrics_that_weigh_classes_equally_see_them_equally():
    labels = np.repeat(np.arange(4), (700, 400, 150, 20))
    plan = design(labels, 0, even=True)
    assert np.bincount(labels[plan.chosen]).tolist() == [94, 93, 93, 20]
    assert len(set(plan.chosen.tolist())) == SAMPLES
    for k in range(4):
        seen = np.bincount(plan.severities[labels[plan.chosen] == k, 0], minlength=6)[1:]
        assert seen.max() - seen.min() <= 1


def test_the_bound_on_inferences_holds(digits):
    session = Nearest(digits)
    under = CORRUPTIONS["image-classification"]
    judge(session, digit_candidate(), digits, under)
    assert session.asked <= SAMPLES * len(under)


# what is made of it


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy", "macro-f1"])
def test_scores_are_the_tasks_metric(metric):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    predicted = np.where(rng.random((3, 200, 1)) < 0.7, labels[None, :, None], rng.integers(0, 4, (3, 200, 1)))
    found = scores(metric, predicted, labels, 4)
    single = [score(metric, one[:, 0], labels) for one in predicted]
    np.testing.assert_allclose(found.each[0], [estimate.value for estimate in single])
    # nearly the interval of the same score on samples that nothing befell
    np.testing.assert_allclose(found.each[1], [estimate.low for estimate in single], atol=0.015)
    np.testing.assert_allclose(found.each[2], [estimate.high for estimate in single], atol=0.015)
    value, low, high = found.mean
    assert value == pytest.approx(np.mean(found.each[0]))
    assert low < value < high
    # the mean of three is surer than each, and less so than three times the samples would be
    assert 0.5 < (high - low) / (found.each[2][0] - found.each[1][0]) < 1


def test_samples_that_always_fail_together_count_once():
    labels = np.zeros(100, np.int64)
    predicted = np.zeros((4, 100, 5), np.int64)
    predicted[:, :20] = 1
    _, low, high = scores("accuracy", predicted, labels, 2).mean
    np.testing.assert_allclose((low, high), wilson(80, 100), atol=0.015)


def test_a_perfect_score_is_not_certain():
    labels = np.arange(50) % 5
    found = scores("accuracy", labels[None, :, None], labels, 5)
    assert found.mean[0] == found.mean[2] == 1
    assert found.mean[1] < 0.999


def test_the_table_says_what_the_mean_is_made_of(digits):
    under = ("noise", "tilt", "defocus")
    estimate, table = judge(Nearest(digits), digit_candidate(), digits, under)
    assert (estimate.source, estimate.n) == ("measured", table["samples"])
    assert list(table["under"]) == list(under)
    values = [table["under"][name]["value"] for name in under]
    assert estimate.value == pytest.approx(np.mean(values))
    assert table["under"][table["worst"]]["value"] == min(values)
    for name in under:
        row = table["under"][name]
        assert len(row["severities"]) == len(row["levels"]) == 5
        for at in (row, *row["severities"]):
            assert at["source"] == "measured"
            assert at["low"] <= at["value"] <= at["high"]
        assert sum(at["n"] for at in row["severities"]) == table["samples"]
        # severities weigh equally
        assert np.mean([at["value"] for at in row["severities"]]) == pytest.approx(row["value"], abs=0.01)
    assert table["under"]["tilt"]["levels"] == [5, 10, 15, 20, 30]
    first, *_, last = table["under"]["tilt"]["severities"]
    assert first["value"] > last["value"]


def test_equal_questions_get_equal_answers_and_inputs_are_made_once(digits, monkeypatch):
    first = judge(Nearest(digits), digit_candidate(), digits, ("noise",), seed=3)
    monkeypatch.setattr(robustness, "corrupt", None)  # whoever asks again must not need it
    assert judge(Nearest(digits), digit_candidate(), digits, ("noise",), seed=3) == first
    monkeypatch.undo()
    robustness._kept.clear()
    assert judge(Nearest(digits), digit_candidate(), digits, ("noise",), seed=3) == first
    assert judge(Nearest(digits), digit_candidate(), digits, ("noise",), seed=4) != first


def test_what_is_kept_is_bounded(digits, monkeypatch):
    robustness._kept.clear()
    monkeypatch.setattr(robustness, "MAX_KEPT_BYTES", 200_000)
    judge(Nearest(digits), digit_candidate(), digits, CORRUPTIONS["image-classification"])
    assert sum(x.nbytes for arrays in robustness._kept.values() for x in arrays) <= 200_000
    robustness._kept.clear()


def test_corruptions_without_a_meaning_have_a_reason(tmp_path):
    task = opened("audio-classification", windows(tmp_path / "f.npz", (30, 12)))
    candidate = make_candidate("dscnn", tuple(sorted(SMALL.items())), (30, 12, 1), (0.0, 0.0), "fp32", 3)
    estimate, table = judge(Nearest(task), candidate, task, CORRUPTIONS["audio-classification"])
    assert "waveforms" in table["under"]["clipping"]["reason"]
    others = [row["value"] for name, row in table["under"].items() if name != "clipping"]
    assert estimate.value == pytest.approx(np.mean(others))
    nothing, _ = judge(Nearest(task), candidate, task, ("clipping",))
    assert nothing.value is None
    assert "waveforms" in nothing.reason
    assert corrupted_copies(task, task.shape, ("clipping",), 0) is None


def test_a_limit_that_the_data_can_never_meet_is_refused(tmp_path):
    task = opened("audio-classification", windows(tmp_path / "f.npz", (30, 12)))
    text = "schema: 1\nname: x\ntask: {kind: audio-classification, data: d}\ntargets: [host:onnxruntime]\n"
    check_corruptions(parse_spec(text), task)
    check_corruptions(parse_spec(text + "limits: {robust_accuracy: {min: 0.5}}"), task)
    only = "limits: {robust_accuracy: {min: 0.5, under: [clipping]}}"
    with pytest.raises(SpecError, match=r"waveforms.*robust_accuracy\.under|robust_accuracy\.under.*waveforms"):
        check_corruptions(parse_spec(text + only), task)
    wish = only.replace("0.5,", "0.5, soft: true,")
    check_corruptions(parse_spec(text + wish), task)
    with pytest.raises(SpecError, match="waveforms"):
        check_corruptions(parse_spec(text + wish + "\nsearch: {harden: true}"), task)


def test_a_task_without_raw_samples_has_a_reason(digits):
    class Bare:
        kind, shape, classes, fingerprint = digits.kind, digits.shape, digits.classes, "bare"
        load, preprocessing, score = digits.load, digits.preprocessing, digits.score

    found, _ = judge(Nearest(digits), digit_candidate(), Bare(), ("noise",))  # type: ignore[arg-type]
    assert "no raw samples" in found.reason


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sign_digits_32.npz", "image-classification"),
        ("fsdd_mfcc49x10.npz", "audio-classification"),
        ("fsdd_audio8k_1s.npz", "audio-classification"),
        ("har_smartphone.npz", "timeseries-classification"),
    ],
)
def test_real_data_gets_worse_with_severity(name, kind):
    path = DATASETS / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATASETS}; set EDGE_ADVISOR_DATASETS to where it is")
    task = opened(kind, path)
    candidate = make_candidate("dscnn", tuple(sorted(SMALL.items())), task.shape, (0.0, 0.0), "fp32", len(task.classes))
    session = Forest(task)
    estimate, table = judge(session, candidate, task, CORRUPTIONS[kind])
    clean = task.load("val")
    accuracy = task.score(session.run(clean.x).argmax(1), clean.y).value
    assert estimate.value < accuracy + 0.05
    judged = {key: row for key, row in table["under"].items() if row["value"] is not None}
    assert set(judged) == set(CORRUPTIONS[kind]) - ({"clipping"} if "mfcc" in name else set())
    gentle, hard = (np.mean([row["severities"][i]["value"] for row in judged.values()]) for i in (0, 4))
    assert hard < gentle
