"""Knowledge distillation: soft targets of a teacher beside the labels (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURE = 2.0
SHARE = 0.7
"""Of the loss that the soft targets make up; the labels keep the rest."""

Teacher = NDArray[np.float32] | Callable[[Tensor], Tensor]
"""Logits (samples, classes) of the training samples as they are, or what gives logits for a varied batch."""


def frozen(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A module as teacher: evaluation mode, no gradients, on the device of what it is asked about."""
    module.eval().requires_grad_(False)
    return lambda batch: module.to(batch.device)(batch)


def reshaped(ask: Callable[[Tensor], Tensor], shape: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """A teacher that reads its input as `shape` (H, W, C), asked about batches (N, C, H, W) of the same memory.

    Features of time × frequency are one channel to some families and one channel a frequency to others.
    """

    def asked(batch: Tensor) -> Tensor:
        rows = batch.permute(0, 2, 3, 1).reshape(len(batch), *shape)
        return ask(rows.permute(0, 3, 1, 2))

    return asked


@torch.no_grad()
def soft_targets(teacher: Teacher | None, index: Tensor, samples: Tensor, batch: int) -> Sequence[Tensor | None]:
    """The teacher's logits for `samples` (those at `index` of the training split, varied), in batches; else Nones."""
    if teacher is None:
        return [None] * -(-len(samples) // batch)
    if callable(teacher):
        return torch.split(teacher(samples), batch)
    chosen = np.ascontiguousarray(teacher[index.cpu().numpy()], np.float32)
    return torch.split(torch.from_numpy(chosen).to(samples.device), batch)


def with_soft_targets(hard: Tensor, student: Tensor, teacher: Tensor | None) -> Tensor:
    """The labels' loss joined by T² · KL(teacher ‖ student) at temperature T; unchanged without a teacher."""
    if teacher is None:
        return hard
    wanted, found = (F.log_softmax(logits / TEMPERATURE, 1) for logits in (teacher, student))
    soft = F.kl_div(found, wanted, reduction="batchmean", log_target=True) * TEMPERATURE**2
    return (1 - SHARE) * hard + SHARE * soft
