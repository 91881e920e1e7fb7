"""Training of one network: seeded, repeatable, of a length known beforehand, on the GPU when there is one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advisor.build.augment import augment
from advisor.build.distill import Teacher, soft_targets, with_soft_targets
from advisor.build.harden import Copies, harden
from advisor.build.plans import TrainPlan
from specs.spec import TaskKind

Score = Callable[[NDArray[np.int64], NDArray[np.int64]], float]
Data = tuple[NDArray[np.float32], NDArray[np.int64]]
"""(samples, H, W, C) inputs and class indexes."""


AUGMENTED_AT_ONCE = 1024
"""Samples varied in one call: for tiny inputs the calls cost more than the work."""


class TrainingFailedError(RuntimeError):
    """A candidate that cannot be trained: diverged or without memory. An outcome, not a bug."""


@dataclass(frozen=True, slots=True)
class Trained:
    validation: float
    epochs: int
    seconds: float


def train(
    module: nn.Module, train_data: Data, val_data: Data, plan: TrainPlan, kind: TaskKind, score: Score,
    progress: Callable[[float], None] | None = None, teacher_logits: Teacher | None = None,
    copies: Copies | None = None,
) -> Trained:  # fmt: skip
    """Train `module` in place for the whole plan and leave it with the average of its last epochs.

    Validation never ends it: where people are split off, one or a few of them validate, and how early those are known
    well enough says little. Cut short by them, trainings of small networks are one to three points worse on others.
    `progress(share done)` is called after every epoch. `teacher_logits`: soft targets beside
    the labels, see `advisor.build.distill`. `copies`: corrupted samples to mix in, see `advisor.build.harden`.

    Raises:
        TrainingFailedError: loss became non-finite, or memory ran out.
    """
    with placed(module) as (ready, device):
        return _train(ready, train_data, val_data, plan, kind, score, progress, device, teacher_logits, copies)


@contextmanager
def placed(module: nn.Module) -> Iterator[tuple[nn.Module, torch.device]]:
    """The module where it trains fastest, and that device; afterwards it is on the CPU, in evaluation mode.

    Raises:
        TrainingFailedError: memory ran out inside.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # channels last halves the time of small convolutions on CPUs
        yield module.to(device, memory_format=torch.channels_last), device  # type: ignore[call-overload]
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailedError("out of memory while training") from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise TrainingFailedError("out of memory while training") from error
    finally:
        module.to("cpu").eval()


def _train(
    module: nn.Module, train_data: Data, val_data: Data, plan: TrainPlan, kind: TaskKind, score: Score,
    progress: Callable[[float], None] | None, device: torch.device, teacher_logits: Teacher | None,
    copies: Copies | None,
) -> Trained:  # fmt: skip
    started = time.monotonic()
    x, y = tensors(train_data, device)
    corrupted = None if copies is None else tensors(copies, device)
    generator = torch.Generator().manual_seed(plan.seed)
    torch.manual_seed(plan.seed)
    epochs, batch = plan.epochs(len(y)), min(plan.batch, max(4, len(y) // 8))
    chunk = batch * max(1, AUGMENTED_AT_ONCE // batch)
    optimizer = torch.optim.AdamW(decay_groups(module, plan.weight_decay), lr=plan.learning_rate, fused=True)
    rate = Rate(plan.learning_rate, epochs * math.ceil(len(y) / batch))
    loss_of = nn.CrossEntropyLoss(class_weights(y, plan), label_smoothing=plan.label_smoothing)
    epoch = step = 0
    averaged: dict[str, Tensor] = {}
    while step < rate.end:
        module.train()
        order = torch.randperm(len(y), generator=generator)
        # the last steps see the data as it is, so that the statistics fit what will be deployed
        plain = step >= rate.end - 0.05 * rate.end
        for start in range(0, len(y), chunk):
            index = order[start : start + chunk].to(device)
            samples, index = harden(x[index], index, corrupted, plan.corrupted, generator)
            samples = samples if plain else augment(samples, kind, generator)
            soft = soft_targets(teacher_logits, index, samples, batch)
            parts = (torch.split(samples, batch), torch.split(y[index], batch), soft)
            for sample, label, target in zip(*parts, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate.at(step)
                step += 1
                if len(label) < 2:
                    continue  # batch normalisation needs two samples
                found = module(sample)
                loss = with_soft_targets(loss_of(found, label), found, target)
                if not torch.isfinite(loss):
                    raise TrainingFailedError(f"diverged: the loss is not finite in epoch {epoch + 1}")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(module.parameters(), 5.0)
                optimizer.step()
        epoch += 1
        _average(averaged, module)
        if progress:
            progress(min(1.0, step / rate.end))
    # the average over the last epochs, not the epoch that happened to score best: with a few hundred validation
    # samples that choice follows noise, and costs accuracy on subjects and speakers nobody has seen
    module.load_state_dict(averaged)
    return Trained(score(predict(module, val_data[0], device), val_data[1]), epoch, time.monotonic() - started)


class Rate:
    """Learning rate by step: linear warm-up over a fifth, then a cosine to zero."""

    WARM_UP = 0.2

    def __init__(self, peak: float, steps: int) -> None:
        self.end = max(1, steps)
        self._peak, self._warm = peak, max(1, int(steps * self.WARM_UP))

    def at(self, step: int) -> float:
        if step < self._warm:
            return self._peak * (0.04 + 0.96 * step / self._warm)
        share = min(1.0, (step - self._warm) / max(1, self.end - self._warm))
        return self._peak * 0.5 * (1 + math.cos(math.pi * share))


def _average(averaged: dict[str, Tensor], module: nn.Module) -> None:
    """Move the averaged state half-way to the module's: an average over the last two or three epochs."""
    for key, value in module.state_dict().items():
        if key not in averaged or not value.is_floating_point():
            averaged[key] = value.detach().clone()
        else:
            averaged[key].lerp_(value.detach(), 0.5)


@torch.no_grad()
def predict(module: nn.Module, x: NDArray[np.float32], device: torch.device | None = None) -> NDArray[np.int64]:
    """Class indexes for (samples, H, W, C)."""
    return np.asarray(logits(module, x, device).argmax(1), np.int64)


@torch.no_grad()
def logits(module: nn.Module, x: NDArray[np.float32], device: torch.device | None = None) -> NDArray[np.float32]:
    """(samples, classes) of the module in evaluation mode."""
    module.eval()
    device = device or next(module.parameters()).device
    parts = [module(_nchw(x[i : i + 256]).to(device)).cpu().numpy() for i in range(0, len(x), 256)]
    return np.concatenate(parts)


def tensors(data: Data, device: torch.device) -> tuple[Tensor, Tensor]:
    return _nchw(data[0]).to(device), torch.from_numpy(np.asarray(data[1], np.int64)).to(device)


def _nchw(x: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)  # keeps the channels-last memory


def decay_groups(module: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for kernels only: shrinking normalisation or biases costs small networks accuracy."""
    kernels = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def class_weights(y: Tensor, plan: TrainPlan) -> Tensor | None:
    if not plan.balanced:
        return None
    counts = torch.bincount(y).float().clamp(min=1)
    # half-way (in the logarithm) to equal classes: full weights let a few rare samples decide, and generalise worse
    return (counts.sum() / counts / len(counts)).clamp(max=100.0).sqrt()
