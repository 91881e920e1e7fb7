"""The preprocessing itself, in numpy alone: training and the deployed `predict.py` both run this text.

`numbers` is what `Preprocessing.numbers` holds (plain JSON values). Steps, in order: bring a raw sample to its shape
(resize an image, pad or cut a waveform), scale, front end (audio only), subtract the sample's own mean over time (where
`normalization` is `sample`), subtract `mean`, divide by `std`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_CHUNK = 256  # samples a front end takes at a time: a whole split of spectra would not fit beside the data


def apply(numbers: dict[str, Any], raw: Any) -> Any:
    """Raw samples (N, …) as the network's input: float32 (N, *numbers["shape"]).

    Images are (N, H, W, C) or (N, H, W) of any size, waveforms (N, samples) of any length, windows (N, T, C) or
    (N, T), audio features (N, T, F).

    Raises:
        ValueError: samples of another form.
    """
    x = np.asarray(raw)
    shape = tuple(numbers["shape"])
    if numbers["kind"] == "image":
        x = _image(x, shape) * np.float32(numbers["scale"])
    elif numbers["kind"] == "waveform":
        x = _waveform(x, numbers)
    else:
        expected = shape[:2] if numbers["kind"] == "features" else shape
        if x.shape[1:] != expected and (x.ndim != 2 or (*x.shape[1:], 1) != shape):
            raise ValueError(f"samples of shape {x.shape[1:]} where {expected} is needed")
        x = x.reshape(len(x), *expected).astype(np.float32) * np.float32(numbers["scale"])
    if numbers.get("normalization") == "sample":  # (N, T, F)
        x = x - x.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    x = (x - np.asarray(numbers["mean"], np.float32)) / np.asarray(numbers["std"], np.float32)
    return np.ascontiguousarray(x.reshape(len(x), *shape), np.float32)


def _image(x: Any, shape: tuple[int, ...]) -> Any:
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in (1, 3):
        raise ValueError(f"images of shape {x.shape[1:]} where (height, width, 1 or 3) is needed")
    x = x.astype(np.float32)
    if x.shape[3] == 3 and shape[2] == 1:  # the ITU-R BT.601 luma that Pillow's "L" uses
        x = (x @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    x = resize(x, shape[0], shape[1])
    return np.repeat(x, 3, axis=3) if x.shape[3] < shape[2] else x


def resize(x: Any, height: int, width: int) -> Any:
    """Images (N, H, W, C) stretched to (N, height, width, C), float32.

    Bilinear with the triangle widened to the shrink factor (antialiased), weights of each output pixel summing to 1:
    what Pillow's BILINEAR does, without its rounding to whole levels.
    """
    count, h, w, channels = x.shape
    if (h, w) == (height, width):
        return x
    x = np.matmul(_triangle(h, height), x.reshape(count, h, w * channels)).reshape(count, height, w, channels)
    return np.matmul(_triangle(w, width), x)


def _triangle(size: int, new: int) -> Any:
    """(new, size) weights of one axis."""
    ratio = size / new
    reach = max(ratio, 1.0)
    centre = (np.arange(new)[:, None] + 0.5) * ratio
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size)[None, :] + 0.5 - centre) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _waveform(x: Any, numbers: dict[str, Any]) -> Any:
    if x.ndim != 2:
        raise ValueError(f"waveforms of shape {x.shape[1:]} where (samples,) is needed")
    samples = numbers["samples"]
    x = x[:, :samples].astype(np.float32) * np.float32(numbers["scale"])
    if x.shape[1] < samples:
        x = np.pad(x, ((0, 0), (0, samples - x.shape[1])))
    if numbers["frontend"] == "raw":
        return x[:, :, None]
    bank = mel_filters(numbers).T
    turn = cosines(numbers["mels"], numbers["coefficients"]).T if numbers["frontend"] == "mfcc" else None
    frames = 1 + (samples - numbers["frame"]) // numbers["hop"]
    features = np.empty((len(x), frames, numbers["shape"][1]), np.float32)
    for start in range(0, len(x), _CHUNK):
        energy = np.log(_power(x[start : start + _CHUNK], numbers) @ bank + numbers["log_offset"])
        features[start : start + _CHUNK] = energy if turn is None else energy @ turn
    return features


def _power(x: Any, numbers: dict[str, Any]) -> Any:
    """(N, frames, fft / 2 + 1) squared magnitudes of Hann-windowed frames, float64."""
    frame = numbers["frame"]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(frame) / frame)
    frames = np.lib.stride_tricks.sliding_window_view(x, frame, axis=1)[:, :: numbers["hop"]]
    spectrum = np.fft.rfft(frames.astype(np.float64) * hann, numbers["fft"])
    return spectrum.real**2 + spectrum.imag**2


def mel_filters(numbers: dict[str, Any]) -> Any:
    """(mels, fft / 2 + 1) triangles of height 1, evenly spaced on the mel scale 2595·log10(1 + f / 700)."""
    low, high = (2595.0 * np.log10(1.0 + numbers[key] / 700.0) for key in ("low_hz", "high_hz"))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, numbers["mels"] + 2) / 2595.0) - 1.0)
    bins = np.arange(numbers["fft"] // 2 + 1) * numbers["rate_hz"] / numbers["fft"]
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def cosines(mels: int, coefficients: int) -> Any:
    """(coefficients, mels) orthonormal DCT-II."""
    turn = np.cos(np.pi * np.arange(coefficients)[:, None] * (np.arange(mels)[None, :] + 0.5) / mels)
    turn *= np.sqrt(2.0 / mels)
    turn[0] /= np.sqrt(2.0)
    return turn
