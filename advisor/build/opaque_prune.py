"""Structured pruning of torch modules we did not write, by Torch-Pruning: whole channels and all that reads them."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn

from specs.errors import ToolchainError

LEAST = 4
"""Channels are left in multiples of so many: what vector units compute at once."""


def prune_module(module: nn.Module, shape: tuple[int, int, int], classes: int, ratio: float) -> nn.Module:
    """A copy of `module` (samples, C, H, W) → (samples, classes) with the share `ratio` of every layer's channels
    removed, those with the smallest weights first; inputs are of `shape` (H, W, C).

    Raises:
        ToolchainError: Torch-Pruning is not installed, or cannot prune this network.
    """
    try:
        import torch_pruning as tp
    except ImportError:
        raise ToolchainError("pruning networks that are not ours needs Torch-Pruning",
                             next="pip install 'edge-advisor[torch-pruning]'") from None  # fmt: skip
    height, width, channels = shape
    example = torch.zeros(1, channels, height, width)
    small = copy.deepcopy(module).eval().requires_grad_(True)
    before = sum(p.numel() for p in small.parameters())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # its mutable defaults are changed by every call: all of them fresh
            pruner = tp.pruner.BasePruner(
                small, example, tp.importance.MagnitudeImportance(p=2), pruning_ratio=ratio, round_to=LEAST,
                ignored_layers=_last(small, example, classes), in_channel_groups={}, out_channel_groups={},
                num_heads={}, channel_groups={}, pruning_ratio_dict={}, customized_pruners={},
                root_module_types=[nn.modules.conv._ConvNd, nn.Linear],
            )  # fmt: skip
            pruner.step()
            with torch.no_grad():
                found = small.eval()(example)
    except Exception as error:  # it raises whatever its walk of the graph meets
        raise ToolchainError(f"Torch-Pruning cannot prune it by {ratio:.0%}",
                             seen=f"{type(error).__name__}: {error}".split("\n")[0][:200]) from error  # fmt: skip
    left = sum(p.numel() for p in small.parameters())
    if tuple(found.shape) != (1, classes) or left >= before:
        raise ToolchainError(f"Torch-Pruning found nothing to prune by {ratio:.0%}", seen=f"{left} of {before} weights")
    return small


def _last(module: nn.Module, example: torch.Tensor, classes: int) -> list[nn.Module]:
    """The layer that gives the classes: the last one called of as many outputs."""
    called: list[nn.Module] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _inputs, _output: called.append(layer))
        for layer in module.modules()
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    sizes = [getattr(layer, "out_features", None) or getattr(layer, "out_channels", 0) for layer in called]
    return [layer for layer, size in zip(called, sizes, strict=True) if size == classes][-1:]
