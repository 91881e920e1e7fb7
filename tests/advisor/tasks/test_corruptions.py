"""What corruptions promise: form kept, repeatable, stronger with severity, nothing done that means nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.tasks.corruptions import sounds
from advisor.tasks.corruptions.base import SEVERITIES, Facts
from advisor.tasks.corruptions.corrupt import BY_FORM, corrupt, corruption, facts_of
from advisor.tasks.corruptions.images import rotate
from advisor.tasks.corruptions.sensors import rotations
from advisor.tasks.load import open_task
from specs.errors import DataError
from specs.limits import CORRUPTIONS

FORMS = {"image-classification": ("image",), "audio-classification": ("waveform", "features"),
         "timeseries-classification": ("series",)}  # fmt: skip
CASES = [(form, name) for form, known in BY_FORM.items() for name in known if (form, name) != ("features", "clipping")]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def samples(form: str, count: int = 24, seed: int = 0) -> tuple[np.ndarray, Facts]:
    """Raw samples with structure (edges, tones, slopes), and what is known of them."""
    draw = rng(seed)
    if form == "image":
        x = np.zeros((count, 24, 24, 3))
        for picture in x:
            top, left = draw.integers(2, 10, 2)
            picture[top : top + 10, left : left + 8] = draw.uniform(0.3, 1, 3)
        return np.rint(x * 255).astype(np.uint8), Facts("image", (24, 24, 3), 0.0, 255.0)
    if form == "waveform":
        at = np.arange(8000) / 8000
        tones = sum(np.sin(2 * np.pi * hz * at + draw.uniform(0, 6, (count, 1))) for hz in (150, 400, 900, 1700, 3100))
        speech = tones / 6 * (np.abs(at - 0.5) < 0.3)
        return np.rint(speech * 32000).astype(np.int16), Facts("waveform", (8000,), scale=1 / 32768, rate_hz=8000)
    shape = (40, 10) if form == "features" else (50, 6)
    x = np.cumsum(draw.standard_normal((count, *shape)), axis=1).astype(np.float32)
    flat = x.reshape(-1, shape[-1])
    return x, Facts(form, shape, mean=flat.mean(axis=0), std=flat.std(axis=0))  # type: ignore[arg-type]


def change(form: str, name: str, severity: int) -> float:
    raw, facts = samples(form)
    found = corrupt(name, raw, severity, facts, rng()).astype(np.float64)
    return float(np.sqrt(((found - raw.astype(np.float64)) ** 2).mean()))


def test_the_spec_names_what_there_is():
    for kind, names in CORRUPTIONS.items():
        for form in FORMS[kind]:
            assert set(names) == set(BY_FORM[form])  # type: ignore[index]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_samples_keep_their_form_and_change_more_with_severity(form, name):
    raw, facts = samples(form)
    before = raw.copy()
    changes = [change(form, name, severity) for severity in (0, *SEVERITIES)]
    for severity in (0, *SEVERITIES):
        found = corrupt(name, raw, severity, facts, rng())
        assert (found.shape, found.dtype) == (raw.shape, raw.dtype)
    np.testing.assert_array_equal(raw, before)
    assert changes[0] == 0
    repeats = (form, name) == ("waveform", "time-shift")  # tones resemble themselves again after a period
    assert 0 < changes[1] < changes[5] or repeats
    # nowhere much weaker than the severity before; a corruption may saturate
    assert repeats or all(b > 0.9 * a for a, b in pairwise(changes))


@pytest.mark.parametrize(("form", "name"), CASES)
def test_the_same_seed_gives_the_same(form, name):
    raw, facts = samples(form)
    again = [corrupt(name, raw, 3, facts, rng(seed)) for seed in (1, 1)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("form", BY_FORM)
def test_levels_are_told_for_every_severity(form):
    _, facts = samples(form)
    for found in BY_FORM[form].values():
        if not found.lacks(facts):
            assert len(found.levels(facts)) == len(SEVERITIES)
            assert found.unit


images = st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]))
windows = st.tuples(st.integers(1, 3), st.integers(2, 30), st.sampled_from([3, 6]))
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(images, st.sampled_from(sorted(BY_FORM["image"])), st.integers(0, 5), st.integers(0, 2**32 - 1),
       st.sampled_from(["uint8", "uint16", "float32"]))  # fmt: skip
def test_images_of_any_size_stay_in_range(shape, name, severity, seed, dtype):
    high = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    raw = (rng(seed).random(shape) * high).astype(dtype)
    found = corrupt(name, raw, severity, Facts("image", shape[1:], 0.0, high), rng(seed))
    assert (found.shape, found.dtype) == (raw.shape, raw.dtype)
    assert np.isfinite(found.astype(np.float64)).all()
    assert found.min() >= 0
    assert found.max() <= high


@few
@given(windows, st.sampled_from(sorted(BY_FORM["series"])), st.integers(0, 5), st.floats(1e-3, 1e3))
def test_windows_of_any_length_and_unit_stay_finite(shape, name, severity, unit):
    raw = (rng().standard_normal(shape) * unit).astype(np.float32)
    facts = Facts("series", shape[1:], mean=np.zeros(shape[2], np.float32), std=np.full(shape[2], unit, np.float32))
    found = corrupt(name, raw, severity, facts, rng())
    assert (found.shape, found.dtype) == (raw.shape, raw.dtype)
    assert np.isfinite(found).all()


@few
@given(st.integers(50, 3000), st.sampled_from([8000, 16000]), st.sampled_from(sorted(BY_FORM["waveform"])),
       st.integers(0, 5), st.booleans())  # fmt: skip
def test_sounds_of_any_length_stay_in_range_silent_ones_too(length, rate, name, severity, silent):
    raw = np.zeros((2, length), np.float32) if silent else rng().uniform(-1, 1, (2, length)).astype(np.float32)
    found = corrupt(name, raw, severity, Facts("waveform", (length,), rate_hz=rate), rng())
    assert (found.shape, found.dtype) == (raw.shape, raw.dtype)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1


def test_images_of_few_levels_keep_to_them():
    """The builtin digits have 17 gray levels in a uint8."""
    raw = rng().integers(0, 17, (8, 8, 8, 1)).astype(np.uint8)
    for name in BY_FORM["image"]:
        assert corrupt(name, raw, 5, Facts("image", (8, 8, 1), 0.0, 16.0), rng()).max() <= 16


def test_light_is_lost_and_gained_by_stops():
    gray = np.full((1, 32, 32, 1), 128, np.uint8)
    facts = Facts("image", (32, 32, 1), 0.0, 255.0)
    dark = corrupt("low-light", np.repeat(gray, 20, 0), 3, facts, rng()).mean() / 128
    assert dark == pytest.approx(2 ** (-3 / 2.2), rel=0.03)
    bright = corrupt("over-exposure", gray, 2, facts, rng()).mean() / 128
    assert bright == pytest.approx(2 ** (1 / 2.2), rel=0.02)


@pytest.mark.parametrize("name", ["motion-blur", "defocus"])
def test_blur_spreads_light_and_loses_none(name):
    point = np.zeros((12, 33, 33, 1), np.float32)
    point[:, 16, 16] = 1
    facts = Facts("image", (33, 33, 1))
    found = corrupt(name, point, 5, facts, rng())
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), 1, rtol=1e-4)
    np.testing.assert_allclose(np.tensordot(found[..., 0].mean(0), np.arange(33), 1).sum() / 1, 16, atol=0.05)
    assert found.max() < 0.5


def test_a_quarter_turn_is_exact():
    x = rng().random((2, 9, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(rotate(x, 90), np.rot90(x, -1, (1, 2)), atol=1e-5)


def test_occlusion_covers_what_it_says():
    white = np.full((40, 64, 64, 1), 2.0, np.float32)  # beyond any gray that covers it
    facts = Facts("image", (64, 64, 1), 0.0, 2.0)
    for severity, share in zip(SEVERITIES, corruption("occlusion", facts).levels(facts), strict=True):
        covered = corrupt("occlusion", white, severity, facts, rng()) < 2.0
        assert covered.mean() == pytest.approx(share, abs=0.02)


def test_noise_and_jpeg_follow_the_published_scales():
    for side, noise, quality in ((32, 0.04, 80), (224, 0.08, 25), (8, 0.04, 80), (500, 0.08, 25)):
        facts = Facts("image", (side, side, 3))
        assert corruption("noise", facts).levels(facts)[0] == pytest.approx(noise)
        assert corruption("jpeg", facts).levels(facts)[0] == pytest.approx(quality)


def test_noise_has_the_ratio_it_says():
    raw, facts = samples("waveform")
    x = raw * np.float32(facts.scale)
    added = sounds.noise(x, 10.0, rng(), facts) - x
    ratio = 10 * np.log10(sounds.active_power(x, 8000) / (added**2).mean(axis=1))
    np.testing.assert_allclose(ratio, 10, atol=0.2)


def test_a_lost_band_is_gone_and_the_rest_is_not():
    x = rng().standard_normal((6, 8000)).astype(np.float32) * 0.1
    facts = Facts("waveform", (8000,), rate_hz=8000)
    before, after = (np.abs(np.fft.rfft(v)) for v in (x, sounds.band_loss(x, 2.0, rng(), facts)))
    lost = after < 0.05 * before
    hertz = np.fft.rfftfreq(8000, 1 / 8000)
    for row in lost:
        assert np.log2(hertz[row].max() / hertz[row].min()) == pytest.approx(2.0, abs=0.05)
    np.testing.assert_allclose(after[~lost], before[~lost], rtol=1e-3, atol=1e-3)


def test_dropout_repeats_readings_and_loses_what_it_says():
    x = np.arange(200, dtype=np.float32)[None, :, None] + np.zeros((30, 1, 1), np.float32)
    facts = Facts("series", (200, 1), mean=np.zeros(1, np.float32), std=np.ones(1, np.float32))
    found = corrupt("dropout", x, 5, facts, rng())
    assert (found != x).mean() == pytest.approx(0.5, abs=0.01)
    assert np.isin(found, x).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_misalignment_turns_and_keeps_lengths():
    raw, facts = samples("series")
    found = corrupt("axis-misalignment", raw, 4, facts, rng())
    before, after = (v.reshape(*v.shape[:2], 2, 3) for v in (raw, found))
    np.testing.assert_allclose(np.linalg.norm(after, axis=3), np.linalg.norm(before, axis=3), rtol=1e-4)
    turns = rotations(50, 20.0, rng())
    np.testing.assert_allclose(np.degrees(np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2)), 20, atol=0.1)


def test_what_means_nothing_is_refused_with_the_reason():
    raw, facts = samples("features")
    assert "waveforms" in corruption("clipping", facts).lacks(facts)
    with pytest.raises(DataError, match="the data holds features only"):
        corrupt("clipping", raw, 1, facts, rng())
    two = Facts("series", (20, 2), mean=np.zeros(2, np.float32), std=np.ones(2, np.float32))
    assert "in threes" in corruption("axis-misalignment", two).lacks(two)


def test_wrong_names_and_severities_are_one_line():
    raw, facts = samples("series")
    with pytest.raises(DataError, match="did you mean 'drift'"):
        corrupt("drft", raw, 1, facts, rng())
    with pytest.raises(DataError, match="allowed: 0 \\(none\\), 1 to 5"):
        corrupt("drift", raw, 6, facts, rng())


Make = Callable[..., Any]


def test_facts_come_from_the_task(spec: Make, npz: Make, arrays: Make):
    facts = facts_of(open_task(spec("image", "digits")))  # type: ignore[arg-type]
    assert (facts.form, facts.shape, facts.low, facts.high) == ("image", (8, 8, 1), 0.0, 16.0)
    data = arrays((16, 3))
    data["X_train"] = data["X_train"] * np.array([1, 10, 0], np.float32) + 5
    data["X_test"] = data["X_test"] * np.array([1, 10, 0], np.float32) + 5
    facts = facts_of(open_task(spec("series", npz(**data))))  # type: ignore[arg-type]
    np.testing.assert_allclose(facts.std, [1, 10, 0], rtol=0.1)
    facts = facts_of(open_task(spec("audio", npz(**arrays((8000,), dtype="int16")))))  # type: ignore[arg-type]
    assert (facts.form, facts.scale, facts.rate_hz) == ("waveform", 1 / 32768, 8000)
    signed = arrays((8, 8, 1))
    facts = facts_of(open_task(spec("image", npz(**signed))))  # type: ignore[arg-type]
    assert facts.low < -1 < 1 < facts.high
