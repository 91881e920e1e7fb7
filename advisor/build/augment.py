"""Random variations of training batches: what a device will see and the data set is too small to show."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from specs.spec import TaskKind

TURN = math.radians(40)
"""Mean size of a sensor's random turn."""


def augment(x: Tensor, kind: TaskKind, generator: torch.Generator) -> Tensor:
    """A varied copy of a batch (N, C, H, W); `generator` is the only source of randomness."""
    if kind == "image-classification":
        return _photo(x, generator)
    if kind == "audio-classification" and x.shape[3] > 1:
        return _voice(x, generator)
    if kind == "audio-classification" and x.shape[1] > 1:
        # families of sequences read a feature as a channel: (N, F, T, 1)
        return _voice(x.permute(0, 3, 2, 1), generator).permute(0, 3, 2, 1)
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


def _voice(x: Tensor, generator: torch.Generator) -> Tensor:
    """Features over time (N, 1, T, F), standardised, as another speaker, pace, room and microphone would give them.

    On spoken digits of two speakers not heard in training, a small network that saw 20,000 samples is right 77 % of the
    time, instead of 48 % with small shifts and masks; on speakers it knows it gains nothing and loses nothing.
    """
    return _noise(_speaker(_tempo(x, generator), generator), generator, 0.2)


def _tempo(x: Tensor, generator: torch.Generator) -> Tensor:
    """Up to a quarter faster or slower around the middle, and shifted by up to a tenth; edges repeated."""
    n, _, steps, _ = x.shape
    pace = _uniform(n, -0.25, 0.25, generator).exp().view(n, 1)
    shift = _uniform(n, -0.1, 0.1, generator).view(n, 1) * steps
    position = ((torch.arange(steps)[None] - steps / 2) * pace + steps / 2 + shift).clamp(0, steps - 1)
    before = position.floor().long()
    share = (position - before)[:, None, :, None].to(x.device)
    first, second = (
        torch.gather(x, 2, index[:, None, :, None].to(x.device).expand_as(x))
        for index in (before, (before + 1).clamp(max=steps - 1))
    )
    return first + (second - first) * share


def _speaker(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random linear map of the features near identity, and an offset, one for a whole sample: what speakers, rooms
    and microphones do to cepstra and band energies (stochastic feature mapping, Cui et al. 2015)."""
    n, _, _, features = x.shape
    mixing = torch.eye(features) + 0.5 / features**0.5 * torch.randn(n, features, features, generator=generator)
    offset = 0.5 * torch.randn(n, 1, 1, features, generator=generator)
    return torch.einsum("nkf,nctf->nctk", mixing.to(x.device), x) + offset.to(x.device)


def _noise(x: Tensor, generator: torch.Generator, size: float) -> Tensor:
    return x + size * torch.randn(x.shape, generator=generator).to(x.device)


def _jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor noise and gain."""
    gain = 1 + 0.2 * torch.randn(len(x), x.shape[1], 1, 1, generator=generator)
    return _noise(x * gain.to(x.device), generator, 0.03)


def _rotate(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turn every three channels about a random axis, the same turn for all triples of a sample; angles are Laplace of
    `TURN`.

    Three-axis sensors are never mounted or worn twice alike. On activities of people held out (six folds, two networks)
    balanced accuracy is 93.7 % with it, 91.6 % with even angles up to 45° and 93.7 % with even ones up to 90° or 180°;
    those take up to twice as much from classes that differ in tilt alone.
    """
    n = len(x)
    axis = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    angle = TURN * torch.empty(n).exponential_(generator=generator) * _uniform(n, -1, 1, generator).sign()
    angle = angle.view(n, 1, 1)
    cross = torch.zeros(n, 3, 3)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross = cross - cross.transpose(1, 2)
    # Rodrigues' formula
    turn = torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    triples = x.view(n, x.shape[1] // 3, 3, x.shape[2])
    return torch.einsum("nij,ntjs->ntis", turn.to(x.device), triples).reshape(x.shape)
