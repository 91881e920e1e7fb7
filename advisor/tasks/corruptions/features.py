"""Noise, time shift and band loss on audio features (N, T, F) of which no waveform exists.

What made them is not known, so levels are shares: of a feature's own spread, of the window, of the features.
"""

from __future__ import annotations

import math

import numpy as np

from advisor.tasks.corruptions.base import Corruption, Facts, Samples, fixed, signs


def noise(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Gaussian noise of `share` of each feature's standard deviation."""
    assert facts.std is not None  # noqa: S101 - features always have it
    return x + np.float32(share) * facts.std * rng.standard_normal(x.shape, np.float32)


def time_shift(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Shifted by `share` of the window, at least a frame, either way; the first or last frame is repeated."""
    steps = x.shape[1]
    by = min(max(1, round(share * steps)), steps - 1)
    early = signs(len(x), rng)
    moved = np.empty_like(x)
    for chosen, offset in ((early, by), (~early, -by)):
        moved[chosen] = x[chosen][:, np.clip(np.arange(steps) + offset, 0, steps - 1)]
    return moved


def band_loss(x: Samples, share: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """`share` of the features, side by side and at least one, say nothing: their training mean (SpecAugment)."""
    assert facts.mean is not None  # noqa: S101 - features always have it
    size = x.shape[2]
    width = min(size, max(1, math.ceil(share * size - 1e-9)))
    start = np.floor(rng.random(len(x)) * (size - width + 1))[:, None]
    lost = (np.arange(size) >= start) & (np.arange(size) < start + width)
    return np.where(lost[:, None, :], facts.mean, x)


def _no_waveform(facts: Facts) -> str:
    return "clipping happens to waveforms, and the data holds features only"


FEATURES: dict[str, Corruption] = {
    # no published scale: from hardly visible to three quarters of what tells sounds apart
    "noise": Corruption("of the spread", fixed(0.1, 0.2, 0.35, 0.5, 0.75), noise),
    "clipping": Corruption("", fixed(), lambda x, *_: x, _no_waveform),
    # what 25 to 200 ms are of a second
    "time-shift": Corruption("of the window", fixed(0.025, 0.05, 0.10, 0.15, 0.20), time_shift),
    # up to half, as for waveforms
    "band-loss": Corruption("of the features", fixed(0.1, 0.2, 0.3, 0.4, 0.5), band_loss),
}
