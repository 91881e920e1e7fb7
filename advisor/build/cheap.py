"""The cheap rung: a brief training, and a score finer than counting right answers.

Hits among a few hundred validation samples tie where probabilities still differ, so candidates are ranked by the
likelihood of the true classes. `benchmarks/cheap_rung.py` holds the choice against shared weights and zero-cost scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advisor.build.augment import augment
from advisor.build.plans import TrainPlan
from advisor.build.train import (
    AUGMENTED_AT_ONCE,
    Data,
    Rate,
    TrainingFailedError,
    class_weights,
    decay_groups,
    placed,
    tensors,
)
from cost_models.estimate import Estimate
from specs.spec import TaskKind

PLAIN_SHARE = 0.05
"""Of the steps, at the end, that see samples as they are: the normalisation's statistics then fit them."""
_Z = 1.6448536269514722  # two-sided 90 %


def train_briefly(
    module: nn.Module, data: Data, plan: TrainPlan, kind: TaskKind, progress: Callable[[float], None] | None = None
) -> float:
    """Train `module` in place for one cycle of the learning rate, without a look at validation; returns seconds.

    Raises:
        TrainingFailedError: the loss became non-finite, or memory ran out.
    """
    started = time.monotonic()
    with placed(module) as (ready, device):
        _steps(ready, data, plan, kind, progress, device)
    return time.monotonic() - started


def _steps(
    module: nn.Module, data: Data, plan: TrainPlan, kind: TaskKind, progress: Callable[[float], None] | None,
    device: torch.device,
) -> None:  # fmt: skip
    x, y = tensors(data, device)
    generator = torch.Generator().manual_seed(plan.seed)
    torch.manual_seed(plan.seed)
    batch = min(plan.batch, max(4, len(y) // 8))
    rate = Rate(plan.learning_rate, min(plan.passes, plan.max_epochs * len(y)) // batch)
    optimizer = torch.optim.AdamW(decay_groups(module, plan.weight_decay), lr=plan.learning_rate, fused=True)
    loss_of = nn.CrossEntropyLoss(class_weights(y, plan), label_smoothing=plan.label_smoothing)
    module.train()
    step, chunk = 0, max(1, AUGMENTED_AT_ONCE // batch)
    left = torch.empty(0, dtype=torch.int64)
    while step < rate.end:
        while len(left) < chunk * batch:
            left = torch.cat([left, torch.randperm(len(y), generator=generator)])
        index, left = left[: chunk * batch].to(device), left[chunk * batch :]
        plain = step >= (1 - PLAIN_SHARE) * rate.end
        samples = x[index] if plain else augment(x[index], kind, generator)
        for sample, label in zip(torch.split(samples, batch), torch.split(y[index], batch), strict=True):
            if step == rate.end:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate.at(step)
            step += 1
            loss = loss_of(module(sample), label)
            if not torch.isfinite(loss):
                raise TrainingFailedError(f"diverged: the loss is not finite in step {step}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
        if progress:
            progress(step / rate.end)


def likelihood(logits: NDArray[np.float32], labels: NDArray[np.int64], *, balanced: bool = False) -> Estimate:
    """Geometric mean of the probability given to the true class, with its 90 % interval; higher is better.

    `logits` (samples, classes) are first divided by the one temperature that suits them best: briefly trained networks
    differ in how sure they are, which more training changes, less in what they confuse. `balanced` counts every class
    alike.
    """
    weights = np.ones(len(labels))
    if balanced:
        weights = 1.0 / np.bincount(labels)[labels]
    weights /= weights.sum()
    rows = _log_probabilities(logits.astype(np.float64), labels, weights)
    mean = float(weights @ rows)
    error = float(np.sqrt(weights**2 @ (rows - mean) ** 2))
    low, high = mean - _Z * error, min(0.0, mean + _Z * error)
    return Estimate(float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)), "measured", len(labels))


def _log_probabilities(
    logits: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the true class, (samples,), at the inverse temperature in e⁻³…e³ of the largest weighted mean.

    That mean is concave in the inverse temperature: bisection on its slope finds the top.
    """
    logits = logits - logits.max(1, keepdims=True)
    true = logits[np.arange(len(labels)), labels]
    low, high = -3.0, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        scaled = np.exp(np.exp(middle) * logits)
        expected = (scaled * logits).sum(1) / scaled.sum(1)
        low, high = (middle, high) if weights @ (true - expected) > 0 else (low, middle)
    sharpness = np.exp((low + high) / 2)
    return np.asarray(sharpness * true - np.log(np.exp(sharpness * logits).sum(1)))
