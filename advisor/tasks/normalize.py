"""Whether features over time should lose each sample's own mean, asked of the data.

Cepstra and band energies carry speaker, room and microphone as an offset that lasts, so that subtracting it (cepstral
mean normalization) is what recognises words of people never heard before. Where the steady part itself tells classes
apart, hums, machines, rain, it would take away what is to be learned. A linear discriminant, fitted in a blink with and
without, tells the two cases apart; it is no judge of how much a network gains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
"""(samples, steps, features)."""
Labels = NDArray[np.int64]

LEAST_STEPS = 5
"""Of fewer steps the mean is most of what there is."""
LEAST_SAMPLES = 4
"""Training samples a class in the mean."""
_STEPS, _VALUES = 16, 640
"""Steps and values a sample is averaged down to, so that the discriminant takes a second at most."""
_SAMPLES = 4000
_SHRINKAGE = 0.1
_BEYOND = 2.0
"""Standard errors of McNemar's test beyond which a loss is no chance."""
_LEAST_LOSS = 0.05
"""Share of the samples that a linear discriminant must lose: two or three points say nothing of networks, which gain as
much on spoken digits of people not heard in training; of steady sounds it loses most."""


@dataclass(frozen=True)
class Verdict:
    """`sample`, or `training` where that is better; of the validation split, the shares right with each."""

    normalization: str
    sample: float
    training: float

    @property
    def words(self) -> str:
        if math.isnan(self.sample):
            return ""
        shares = f"{self.sample * 100:.1f} % right with it, {self.training * 100:.1f} % without"
        kept = "subtracted" if self.normalization == "sample" else "kept"
        return (f"each sample's own mean over time is {kept} (a linear discriminant on validation: {shares}); "
                f"`normalization` in the spec's task decides otherwise")  # fmt: skip


def chosen(train: Features, labels: Labels, val: Features, val_labels: Labels) -> Verdict:
    """`sample`, unless a linear discriminant loses by it on validation beyond noise; `training` without a figure where
    there are too few steps or samples to ask."""
    if train.shape[1] < LEAST_STEPS or len(labels) < LEAST_SAMPLES * len(np.unique(labels)):
        return Verdict("training", math.nan, math.nan)
    rng = np.random.default_rng(0)
    some, judged = rng.permutation(len(labels))[:_SAMPLES], rng.permutation(len(val_labels))[:_SAMPLES]
    train, labels, val, val_labels = train[some], labels[some], val[judged], val_labels[judged]
    plain = _right(_coarse(train), labels, _coarse(val), val_labels)
    own = _right(_coarse(_centred(train)), labels, _coarse(_centred(val)), val_labels)
    lost, won = int((plain & ~own).sum()), int((own & ~plain).sum())
    beyond = max(_BEYOND * math.sqrt(lost + won), _LEAST_LOSS * len(val_labels))
    better = "training" if lost - won > beyond else "sample"
    return Verdict(better, float(own.mean()), float(plain.mean()))


def _centred(x: Features) -> Features:
    return np.asarray(x - x.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32))


def _coarse(x: Features) -> NDArray[np.float64]:
    """(samples, values), neighbouring steps and features averaged; float64, for squares of what is barely finite."""
    _, steps, features = x.shape
    features = min(features, _VALUES // _STEPS)
    return _pooled(_pooled(x, 1, min(steps, _STEPS)), 2, features).reshape(len(x), -1)


def _pooled(x: NDArray[Any], axis: int, count: int) -> NDArray[np.float64]:
    starts = np.arange(count) * x.shape[axis] // count
    widths = np.diff([*starts, x.shape[axis]])
    return np.asarray(np.add.reduceat(x, starts, axis=axis, dtype=np.float64) / np.expand_dims(widths, (0, 3 - axis)))


def _right(
    train: NDArray[np.float64], labels: Labels, val: NDArray[np.float64], val_labels: Labels
) -> NDArray[np.bool_]:
    """Which validation samples a linear discriminant with a shrunk covariance gets right."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    mean, std = train.mean(axis=0), train.std(axis=0)
    varied = std > 1e-6 * np.abs(mean) + 1e-30
    if not varied.any():
        return np.asarray(val_labels == np.bincount(labels).argmax())
    train, val = ((x[:, varied] - mean[varied]) / std[varied] for x in (train, val))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE).fit(train, labels)
    return np.asarray(model.predict(val) == val_labels)
