"""Sizes and prices of the audio front ends; `apply.py` computes them.

The defaults are those of keyword spotting in MLPerf Tiny: frames of 30 ms every 20 ms, 40 mel bands, 10 cepstral
coefficients, so that one second becomes 49×40 (log-mel) or 49×10 (MFCC).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from advisor.tasks.apply import mel_filters
from specs.errors import DataError

FRAME_S, HOP_S, MELS, COEFFICIENTS = 0.030, 0.020, 40, 10
LOW_HZ, HIGH_HZ = 20.0, 8000.0
_LOG_OFFSET = 1e-6
"""Added to band energies of waveforms in ±1 before the logarithm: just above what rounding to 16 bits leaves."""
_LOG_MACS = 8
"""A float32 logarithm: exponent split and a polynomial of degree 7."""


def design(frontend: str, samples: int, rate_hz: int) -> dict[str, Any]:
    """The numbers of a front end (`mfcc`, `log-mel`, `raw`) for waveforms of `samples` at `rate_hz`.

    Raises:
        DataError: waveforms shorter than two frames.
    """
    numbers: dict[str, Any] = {"frontend": frontend, "rate_hz": rate_hz, "samples": samples}
    if frontend == "raw":
        return numbers | {"shape": [samples, 1]}
    frame, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    if samples < frame + hop:
        raise DataError(f"the waveforms are too short for {frontend}", seen=f"{samples} samples at {rate_hz} Hz",
                        allowed=f"at least {frame + hop} samples", next="set `frontend: raw`")  # fmt: skip
    mfcc = frontend == "mfcc"
    numbers |= {
        "window": "hann",
        "frame": frame,
        "hop": hop,
        "fft": 1 << (frame - 1).bit_length(),
        "mels": MELS,
        "low_hz": LOW_HZ,
        "high_hz": min(HIGH_HZ, rate_hz / 2),
        "log_offset": _LOG_OFFSET,
    }
    if mfcc:
        numbers["coefficients"] = COEFFICIENTS
    return numbers | {"shape": [1 + (samples - frame) // hop, COEFFICIENTS if mfcc else MELS, 1]}


def price(numbers: dict[str, Any]) -> tuple[int, int]:
    """(multiply-accumulates, bytes moved) of one inference in float32.

    A frame costs its window, a real FFT (a radix-2 complex one of half the length, 4 MACs a butterfly, and the split
    into bins), squared magnitudes, the non-zero filter weights, logarithms and the cosine transform, and a sample's own
    mean where that is subtracted. Bytes: each
    stage reads its input and tables and writes its output once; FFT stages work in place, each over the whole buffer.
    """
    if numbers["frontend"] == "raw":
        return 0, 0
    frames, width, _ = numbers["shape"]
    half, mels, window = numbers["fft"] // 2, numbers["mels"], numbers["frame"]
    stages = half.bit_length() - 1
    weights = int(np.count_nonzero(mel_filters(numbers)))
    turn = mels * numbers.get("coefficients", 0)
    own = width if numbers.get("normalization") == "sample" else 0
    macs = window + 2 * half * stages + 4 * half + 2 * (half + 1) + weights + _LOG_MACS * mels + turn + own + width
    values = (
        3 * window  # samples, window, product
        + (stages + 1) * 2 * (2 * half)  # every stage reads and writes the buffer
        + 3 * (half + 1)  # bins to power
        + (half + 1) + weights + mels  # power to bands
        + 2 * mels  # logarithm
        + ((mels + turn + width) if turn else 0)
        + 2 * own  # summed: values, sums (subtracted with the mean over all samples, in one pass)
        + 4 * width  # standardise: values, mean, std, result
    )  # fmt: skip
    return frames * macs, frames * values * 4


def ratio(scale: float) -> str:
    """`1/255` rather than 0.00392157, where it is one over a whole number."""
    return f"1/{round(1 / scale)}" if scale < 1 and abs(1 / scale - round(1 / scale)) < 1e-9 / scale else f"{scale:.6g}"


def words(numbers: dict[str, Any]) -> str:
    """What a firmware engineer has to build, in one sentence."""
    samples, rate = numbers["samples"], numbers["rate_hz"]
    start = f"take {samples} samples at {rate} Hz (mono; pad with zeros or cut), multiply by {ratio(numbers['scale'])}"
    if numbers["frontend"] == "raw":
        return start
    text = (
        f"{start}; every {numbers['hop']} samples take {numbers['frame']}, multiply by a periodic Hann window, pad to "
        f"{numbers['fft']} and take the power spectrum; sum it in {numbers['mels']} triangular mel bands from "
        f"{numbers['low_hz']:g} to {numbers['high_hz']:g} Hz; take ln(energy + {numbers['log_offset']:g})"
    )
    if numbers["frontend"] == "mfcc":
        text += f"; keep the first {numbers['coefficients']} coefficients of their orthonormal DCT-II"
    return text
