"""Trees of .wav recordings, brought to one rate and length."""

from __future__ import annotations

import io
import warnings
from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.folders import Tree, walk
from advisor.tasks.raw import MAX_BYTES, Part, Read, check_size, plural
from specs.errors import DataError

HIGHEST_RATE_HZ = 16_000
"""Recordings at higher rates are resampled to this one: what microphones of small devices deliver."""
LONGEST_S = 5.0
RATES_HZ = (1_000, 384_000)
MAX_FILE_BYTES = 64 * 1024**2

Clip = tuple[NDArray[np.int16], int, str]  # mono samples, rate, class


def read_sounds(path: Path) -> Read:
    """The recordings of a tree of class folders: int16 (N, samples), mono.

    Rate: the most common one, at most 16 kHz. Length: what holds 95 % of the recordings whole, in steps of 0.1 s, at
    most 5 s; shorter ones are padded with zeros at the end, longer ones cut.

    Raises:
        DataError: no class folders, no recording in them, or too much of them.
    """
    tree = walk(path)
    total = 0
    clips: dict[str, list[Clip]] = {}
    for split, files in tree.files.items():
        clips[split] = []
        for file, label in files:
            read = _wave(file, tree)
            if read is None:
                continue
            total += read[0].nbytes
            if total > MAX_BYTES:
                check_size(total, 1, 1, str(path))
            clips[split].append((*read, label))
    every = [clip for part in clips.values() for clip in part]
    if not every:
        seen = "; ".join(tree.notes()) or "no files"
        raise DataError("no recordings in the class folders", where=str(path), seen=seen, allowed="PCM or float .wav",
                        next="convert them with `ffmpeg -i IN OUT.wav`")  # fmt: skip
    rates = np.unique([rate for _, rate, _ in every])
    seconds = [len(clip) / rate for clip, rate, _ in every]
    rate_hz, length_s = common_length([rate for _, rate, _ in every], seconds)
    samples = round(length_s * rate_hz)
    check_size(len(every), samples, 2, str(path))
    notes = [*tree.notes(), f"{plural(len(every), 'recording')} read as {length_s:g} s at {rate_hz} Hz, mono"]
    cut = sum(s > length_s + 1 / rate_hz for s in seconds)
    if cut:
        notes.append(f"{plural(cut, 'recording')} cut to {length_s:g} s")
    if len(rates) > 1 or rates[0] != rate_hz:
        notes.append(f"resampled to {rate_hz} Hz from {', '.join(str(r) for r in rates if r != rate_hz)} Hz")
    parts = {split: _part(part, rate_hz, samples) for split, part in clips.items()}
    train = parts.get("all") or parts["train"]
    return Read(str(path), "waveform", train, parts.get("val"), parts.get("test"), rate_hz=rate_hz, notes=tuple(notes),
                any_size=True)  # fmt: skip


def common_length(rates_hz: list[int], seconds: list[float]) -> tuple[int, float]:
    """The rate and the length in seconds that recordings of these are brought to."""
    rates, counts = np.unique(rates_hz, return_counts=True)
    rate_hz = min(HIGHEST_RATE_HZ, int(rates[counts.argmax()]))
    return rate_hz, min(LONGEST_S, ceil(round(float(np.quantile(seconds, 0.95)) * 10, 3)) / 10)


def _part(clips: list[Clip], rate_hz: int, samples: int) -> Part:
    x = np.zeros((len(clips), samples), np.int16)
    for row, (clip, rate, _) in zip(x, clips, strict=True):
        # what cannot reach the kept part, filter ringing included, is not worth resampling
        sound = _resample(clip[: ceil(samples * rate / rate_hz) + rate // 10], rate, rate_hz)[:samples]
        row[: len(sound)] = sound
    return Part(x, np.array([label for _, _, label in clips], dtype=np.str_))


def _resample(clip: NDArray[np.int16], rate: int, new: int) -> NDArray[np.int16]:
    if rate == new:
        return clip
    from scipy.signal import resample_poly

    common = gcd(rate, new)
    sound = resample_poly(clip.astype(np.float64), new // common, rate // common)
    return _rounded(np.asarray(sound))


def _wave(file: Path, tree: Tree) -> tuple[NDArray[np.int16], int] | None:
    """Mono samples and rate, or None with the reason counted."""
    from scipy.io import wavfile

    if file.suffix.lower() not in (".wav", ".wave"):
        tree.skipped["not a .wav"] += 1
        return None
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            tree.skipped["recording too large"] += 1
            return None
        # from memory, so that a header that lies about its length cannot make anyone allocate it
        content = io.BytesIO(file.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns of chunks it skips
            rate, sound = wavfile.read(content)
        if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
            tree.skipped[f"rate outside {RATES_HZ[0]} to {RATES_HZ[1]} Hz"] += 1
            return None
        mono = _mono(sound)
    except Exception:  # the parser may raise anything on a hostile file
        tree.skipped["corrupt recording"] += 1
        return None
    if not len(mono):
        tree.skipped["empty"] += 1
        return None
    return mono, int(rate)


def _mono(sound: NDArray[Any]) -> NDArray[np.int16]:
    """The mean of all channels as int16; float samples are in ±1.

    Raises:
        ValueError: samples that are not numbers.
    """
    scale, offset = {"u1": (256, 128), "i2": (1, 0), "i4": (1 / 65536, 0), "f4": (32767, 0), "f8": (32767, 0)}[
        sound.dtype.str[1:]
    ]
    values = (sound.astype(np.float64) - offset) * scale
    if values.ndim == 2:
        values = values.mean(axis=1)
    if not np.isfinite(values).all():
        raise ValueError("not a number")
    return _rounded(values)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)
