"""Quantization-aware fine-tuning: a trained float network becomes one whose int8 file keeps its accuracy.

Starts from the post-training calibrated network, normalisation folded, and imitates the float network while its
weights and activations are rounded as the exporters will round them (Jacob et al. 2018; Nagel et al. 2021, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from advisor.build.distill import frozen
from advisor.build.fake_quant import FakeQuant, Scheme, without_norms
from advisor.build.harden import Copies
from advisor.build.plans import TrainPlan
from advisor.build.train import Data, Score, predict, train
from advisor.network.description import Network
from advisor.network.to_torch import to_torch
from advisor.network.weights import Array, Weights
from specs.spec import TaskKind

LENGTH = 0.3
"""Of the plan's passes: the float weights are nearly right, they only have to settle on the grid."""
RATE = 0.1
"""Of the plan's learning rate: without normalisation, steps act on the folded kernels directly."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Folded weights, kernels on their int8 grid. `before` and `after`: the validation score of the simulated int8
    network; where fine-tuning did not raise it, `weights` are those it began with."""

    weights: dict[str, Array]
    before: float
    after: float
    epochs: int
    seconds: float


def finetune(
    network: Network, folded: Weights, calibration: Array, scheme: Scheme, train_data: Data, val_data: Data,
    plan: TrainPlan, kind: TaskKind, score: Score, progress: Callable[[float], None] | None = None,
    copies: Copies | None = None,
) -> Tuned:  # fmt: skip
    """Fine-tune `network` for its int8 file by `scheme`; `plan` is the one it was trained by.

    `calibration` are the samples the export will calibrate with: the same samples, the same ranges.

    Raises:
        TrainingFailedError: diverged, or out of memory.
    """
    module = FakeQuant(network, folded, calibration, scheme)
    before, start = score(predict(module, val_data[0]), val_data[1]), module.weights()
    teacher = frozen(to_torch(without_norms(network), folded))
    done = train(
        module, train_data, val_data, qat_plan(plan), kind, score,
        progress, teacher_logits=teacher, copies=copies,
    )  # fmt: skip
    after = score(predict(module, val_data[0]), val_data[1])
    return Tuned(module.weights() if after > before else start, before, max(before, after), done.epochs, done.seconds)


def qat_plan(plan: TrainPlan) -> TrainPlan:
    """The short plan of fine-tuning after `plan`; no decay, which would move folded kernels off the float ones."""
    passes, rate = int(plan.passes * LENGTH), plan.learning_rate * RATE
    return replace(plan, passes=passes, learning_rate=rate, weight_decay=0.0)
