"""How long and how a network is trained, per fidelity. Imports no torch: the coordinator reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """How long and how. The length is counted in samples seen, never in seconds, so that a run can be repeated."""

    passes: int
    """Training samples seen in total, augmented copies counted."""
    min_epochs: int = 8
    max_epochs: int = 200
    batch: int = 32
    learning_rate: float = 1e-2
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05
    seed: int = 0
    balanced: bool = False
    """Weight classes inversely to their frequency: what balanced accuracy and macro F1 ask for."""
    corrupted: float = 0.5
    """Share of samples drawn from corrupted copies where training is given some; the rest keeps clean accuracy."""

    def fitted(self, positions: int) -> TrainPlan:
        """The plan for inputs of so many positions (height × width).

        Small inputs take larger batches, whose rate grows with the square root of their size: on them a step's
        overhead outweighs its arithmetic.
        """
        if positions > SMALL_INPUT:
            return self
        return replace(self, batch=2 * self.batch, learning_rate=self.learning_rate * 2**0.5)

    def epochs(self, samples: int) -> int:
        return int(min(self.max_epochs, max(self.min_epochs, math.ceil(self.passes / max(samples, 1)))))


SMALL_INPUT = 256

PLANS: dict[str, TrainPlan] = {
    "cheap": TrainPlan(passes=12_000, min_epochs=1, batch=64, learning_rate=1.4e-2, label_smoothing=0.0),
    "short": TrainPlan(passes=24_000),
    "full": TrainPlan(passes=150_000, min_epochs=20),
}
"""Fidelities: what ranks a candidate (`build/cheap.py`), what a trial gets, and what a candidate worth it gets.

What a short training lacks shows on people nobody heard: in batches of 128, a tcn of 27,000 weights recognises spoken
digits of six speakers left out in pairs at 81 % after 24,000 samples, 88 % after 96,000 and 88 % after 300,000 (single
speakers vary by three points with the seed), while those it validates on may look as good after the first."""
