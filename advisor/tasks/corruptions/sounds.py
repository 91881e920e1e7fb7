"""Added noise, clipping, time shift and band loss, on waveforms (N, samples) in ±1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.tasks.corruptions.base import Corruption, Facts, Samples, fixed, signs

LOWEST_HZ = 100.0
"""Bands are lost between here and half the sampling rate: below there is little that tells sounds apart."""
LOSS_DB = 40.0
_FRAME_S, _ACTIVE_DB = 0.02, 30.0


def noise(x: Samples, snr_db: float, rng: np.random.Generator, facts: Facts) -> NDArray[np.float64]:
    """Pink noise (power falling 3 dB an octave, as in rooms and streets) at a ratio to the sound's own power.

    The sound's power is that of its active frames, so that silence around it does not count.
    """
    count, samples = x.shape
    spectrum = np.fft.rfft(rng.standard_normal((count, samples)))
    rise = np.maximum(np.arange(spectrum.shape[1]), 1) ** -0.5
    rise[0] = 0.0
    pink = np.fft.irfft(spectrum * rise, samples)
    power = (pink**2).mean(axis=1)
    gain = np.sqrt(active_power(x, facts.rate_hz) * 10 ** (-snr_db / 10) / np.maximum(power, 1e-30))
    return np.asarray(x + gain[:, None] * pink)


def clipping(x: Samples, below_db: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """The converter's full scale lies `below_db` under the recording's peak."""
    top = np.abs(x).max(axis=1, keepdims=True) * np.float32(10 ** (-below_db / 20))
    return np.clip(x, -top, top)


def time_shift(x: Samples, shift_ms: float, rng: np.random.Generator, facts: Facts) -> Samples:
    """Caught too early or too late; the gap is silent. At most half of the recording."""
    steps = min(round(shift_ms * facts.rate_hz / 1000), x.shape[1] // 2)
    early = signs(len(x), rng)
    moved = np.zeros_like(x)
    moved[~early, steps:] = x[~early, : x.shape[1] - steps]
    moved[early, : x.shape[1] - steps] = x[early, steps:]
    return moved


def band_loss(x: Samples, octaves: float, rng: np.random.Generator, facts: Facts) -> NDArray[np.float64]:
    """A band somewhere in the spectrum weakened by 40 dB: a covered microphone, a resonance, a damaged filter."""
    top = facts.rate_hz / 2
    width = min(octaves, max(0.0, float(np.log2(top / LOWEST_HZ))))
    low = LOWEST_HZ * 2 ** (rng.random(len(x)) * (np.log2(top / LOWEST_HZ) - width))
    hertz = np.fft.rfftfreq(x.shape[1], 1 / facts.rate_hz)
    lost = (hertz >= low[:, None]) & (hertz < (low * 2**width)[:, None])
    return np.asarray(np.fft.irfft(np.fft.rfft(x) * np.where(lost, 10 ** (-LOSS_DB / 20), 1.0), x.shape[1]))


def active_power(x: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Mean power of each recording's frames of 20 ms that are within 30 dB of its loudest."""
    frame = max(1, min(round(_FRAME_S * rate_hz), x.shape[1]))
    frames = x.shape[1] // frame
    power = (x[:, : frames * frame].reshape(len(x), frames, frame).astype(np.float64) ** 2).mean(axis=2)
    active = power >= power.max(axis=1, keepdims=True) * 10 ** (-_ACTIVE_DB / 10)
    return np.asarray((power * active).sum(axis=1) / active.sum(axis=1))


SOUNDS: dict[str, Corruption] = {
    # the noisy conditions of Aurora-2 (Hirsch and Pearce, ASR2000)
    "noise": Corruption("dB signal to noise", fixed(20, 15, 10, 5, 0), noise),
    # no published scale: doublings of the level
    "clipping": Corruption("dB beyond full scale", fixed(3, 6, 12, 18, 24), clipping),
    # around the 100 ms that the Speech Commands recipe trains with (Warden, 2018)
    "time-shift": Corruption("ms", fixed(25, 50, 100, 150, 200), time_shift),
    # no published scale: up to half of the 5 to 6 octaves there are
    "band-loss": Corruption("octaves", fixed(0.5, 1, 1.5, 2, 2.5), band_loss),
}
