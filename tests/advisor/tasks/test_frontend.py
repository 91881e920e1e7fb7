from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from advisor.tasks.apply import apply, cosines, mel_filters
from advisor.tasks.frontend import design, price, ratio, words
from specs.errors import DataError


def numbers(frontend: str, samples: int = 16000, rate: int = 16000) -> dict:
    made = design(frontend, samples, rate) | {"kind": "waveform", "dtype": "int16", "scale": 1 / 32768}
    width = made["shape"][1]
    return made | {"mean": [0.0] * width, "std": [1.0] * width}


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_second_has_the_keyword_spotting_size(rate: int) -> None:
    assert design("mfcc", rate, rate)["shape"] == [49, 10, 1]
    assert design("log-mel", rate, rate)["shape"] == [49, 40, 1]
    assert design("raw", rate, rate)["shape"] == [rate, 1]


def test_tone_lights_its_mel_band() -> None:
    made = numbers("log-mel")
    bank = mel_filters(made)
    for hz in (300.0, 1000.0, 3000.0):
        tone = np.rint(16000 * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)).astype(np.int16)
        bands = apply(made, tone[None])[0, :, :, 0]
        expected = bank[:, round(hz * made["fft"] / 16000)].argmax()
        assert (np.abs(bands.argmax(axis=1) - expected) <= 1).all()


def test_log_mel_against_direct_sums() -> None:
    made = numbers("log-mel", 2000, 8000)
    sound = np.random.RandomState(0).randint(-20000, 20000, 2000)
    frame = sound[made["hop"] : made["hop"] + made["frame"]] / 32768
    n = np.arange(made["frame"])
    windowed = frame * (0.5 - 0.5 * np.cos(2 * np.pi * n / made["frame"]))
    bins = np.arange(made["fft"] // 2 + 1)
    spectrum = (windowed * np.exp(-2j * np.pi * bins[:, None] * n / made["fft"])).sum(axis=1)
    expected = np.log(mel_filters(made) @ np.abs(spectrum) ** 2 + made["log_offset"])
    np.testing.assert_allclose(apply(made, sound[None].astype(np.int16))[0, 1, :, 0], expected, rtol=1e-5)


def test_mfcc_is_the_cosine_transform_of_log_mel() -> None:
    sound = np.random.RandomState(0).randint(-20000, 20000, (3, 16000)).astype(np.int16)
    bands = apply(numbers("log-mel"), sound)[..., 0]
    expected = scipy.fft.dct(bands, type=2, norm="ortho", axis=2)[:, :, :10]
    np.testing.assert_allclose(apply(numbers("mfcc"), sound)[..., 0], expected, atol=1e-4)
    np.testing.assert_allclose(cosines(40, 40) @ cosines(40, 40).T, np.eye(40), atol=1e-12)


def test_short_is_padded_and_long_is_cut() -> None:
    made = numbers("mfcc")
    sound = np.random.RandomState(0).randint(-9000, 9000, (1, 20000)).astype(np.int16)
    np.testing.assert_array_equal(apply(made, sound), apply(made, sound[:, :16000]))
    padded = np.pad(sound[:, :5000], ((0, 0), (0, 11000)))
    np.testing.assert_array_equal(apply(made, sound[:, :5000]), apply(made, padded))


def test_silence_is_finite() -> None:
    assert np.isfinite(apply(numbers("mfcc"), np.zeros((1, 16000), np.int16))).all()


@given(st.sampled_from(["mfcc", "log-mel"]), st.integers(1000, 48000), st.floats(0.06, 3))
def test_any_rate_and_length_fit_their_declared_shape(frontend: str, rate: int, seconds: float) -> None:
    made = numbers(frontend, int(seconds * rate), rate)
    assert apply(made, np.zeros((1, made["samples"]), np.int16)).shape == (1, *made["shape"])
    assert made["fft"] >= made["frame"]


def test_price_by_hand() -> None:
    made = numbers("mfcc")
    weights = np.count_nonzero(mel_filters(made))
    # 480 window; 256-point complex FFT: 8 stages × 128 butterflies × 4; split 4 × 256; power 2 × 257; bands; 40
    # logarithms × 8; DCT 40 × 10; standardise 10
    frame = 480 + 4096 + 1024 + 514 + weights + 320 + 400 + 10
    macs, moved = price(made)
    assert macs == 49 * frame
    assert moved > 49 * 4 * (480 + 512 * 8)
    assert price(numbers("raw")) == (0, 0)
    assert price(numbers("log-mel"))[0] == 49 * (frame - 400 + 30)


def test_words_tell_the_numbers() -> None:
    text = words(numbers("mfcc"))
    for part in ("16000 Hz", "1/32768", "320", "480", "512", "40 triangular", "20 to 8000 Hz", "first 10"):
        assert part in text
    assert ratio(0.3) == "0.3"
    assert ratio(1.0) == "1"


def test_too_short_for_a_frame() -> None:
    with pytest.raises(DataError, match=r"too short for mfcc.*frontend: raw"):
        design("mfcc", 700, 16000)


@pytest.mark.parametrize("frontend", ["mfcc", "log-mel"])
def test_a_sample_s_own_mean_is_taken_out(frontend: str) -> None:
    sound = np.random.RandomState(0).randint(-20000, 20000, (3, 16000)).astype(np.int16)
    made = numbers(frontend) | {"mean": [0.25] * numbers(frontend)["shape"][1]}
    plain, own = apply(made, sound), apply(made | {"normalization": "sample"}, sound)
    np.testing.assert_allclose(own.mean(axis=1), -0.25, atol=1e-5)
    np.testing.assert_allclose(own - own[:, :1], plain - plain[:, :1], atol=1e-4)
    louder = apply(made | {"normalization": "sample", "log_offset": 0.0}, (sound // 4).astype(np.int16))
    np.testing.assert_allclose(louder, apply(made | {"normalization": "sample", "log_offset": 0.0}, sound), atol=0.02)
    frames, width, _ = made["shape"]
    more = np.subtract(price(made | {"normalization": "sample"}), price(made | {"normalization": "training"}))
    assert more.tolist() == [frames * width, frames * 2 * width * 4]
