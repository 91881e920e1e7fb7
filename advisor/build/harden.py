"""Training against corruptions: part of every batch is drawn from corrupted copies of the training samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Copies = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Corrupted inputs (copies, H, W, C), and which training sample each was made of."""


def harden(
    x: Tensor, index: Tensor, copies: tuple[Tensor, Tensor] | None, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Samples (N, C, H, W) and their places in the training split, about `share` of them replaced by `copies`.

    Places follow, so that labels and a teacher's logits are those of the sample that was corrupted.
    """
    if copies is None:
        return x, index
    chosen = (torch.rand(len(index), generator=generator) < share).nonzero().squeeze(1)
    rows = torch.randint(len(copies[1]), (len(chosen),), generator=generator).to(x.device)
    chosen = chosen.to(x.device)
    return x.index_copy(0, chosen, copies[0][rows]), index.index_copy(0, chosen, copies[1][rows])
