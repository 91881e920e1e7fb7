"""Quantization-aware fine-tuning of torch modules we did not write: timm backbones and users' torch programs.

Without a description of the network only what every int8 exporter rounds is rounded here: the kernels of convolutions
and dense layers (per channel, ±127; the same grid whether normalisation is folded in or not) and the tensors that enter
them (8 bits, asymmetric, the range seen on the calibration samples). The exported file is judged in its runtime.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from advisor.build.distill import frozen
from advisor.build.fake_quant import grid, round_kernel
from advisor.build.harden import Copies
from advisor.build.plans import TrainPlan
from advisor.build.qat import qat_plan
from advisor.build.train import Data, Score, predict, train
from advisor.network.weights import Array
from specs.spec import TaskKind

ROUNDED = (F.conv1d, F.conv2d, F.linear)
RATE = 3e-4
"""Learning rate of networks whose scale is not ours to know."""
CALIBRATED = 64
"""Calibration samples that ranges are found on before every epoch."""


class RoundedModule(nn.Module):
    """`inner` with what enters its convolutions and dense layers rounded; ranges follow the weights."""

    def __init__(self, inner: nn.Module, calibration: Array) -> None:
        super().__init__()
        self.inner = inner
        samples = torch.from_numpy(calibration[:CALIBRATED].copy()).permute(0, 3, 1, 2)
        self.register_buffer("samples", samples, persistent=False)
        self._grids: list[tuple[float, int]] | None = None
        self.eval()

    def train(self, mode: bool = True) -> RoundedModule:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # as it will be folded
        self._calibrate()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with _Rounding(self._grids):
            found: Tensor = self.inner(x)
        return found

    @torch.no_grad()
    def _calibrate(self) -> None:
        seen = _Rounding(None)
        training, self.inner.training = self.inner.training, False
        with seen:
            self.inner(self.samples)
        self.inner.training = training
        self._grids = [grid(low, high) for low, high in seen.ranges]


class _Rounding(TorchFunctionMode):
    """Rounds in the order of calls by `grids`, or takes down the ranges where there are none."""

    def __init__(self, grids: list[tuple[float, int]] | None) -> None:
        super().__init__()
        self._grids, self._place = grids, 0
        self.ranges: list[tuple[float, float]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function not in ROUNDED or len(args) < 2 or not isinstance(args[1], nn.Parameter):
            return function(*args, **(kwargs or {}))
        x, weight, *rest = args
        if self._grids is None:
            low, high = x.aminmax()
            self.ranges.append((min(0.0, low.item()), max(0.0, high.item())))
        else:
            scale, zero = self._grids[self._place % len(self._grids)]  # samples one by one repeat the same calls
            x = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)
        self._place += 1
        return function(x, round_kernel(weight), *rest, **(kwargs or {}))


def finetune_module(
    module: nn.Module, calibration: Array, train_data: Data, val_data: Data, plan: TrainPlan, kind: TaskKind,
    score: Score, progress: Callable[[float], None] | None = None, copies: Copies | None = None,
) -> tuple[nn.Module, dict[str, float]]:  # fmt: skip
    """A copy of `module` fine-tuned for int8, and the rounded module's validation score `before` and `after` with the
    `seconds` it took; the module itself where fine-tuning did not raise the score. `plan` is the one for training.

    Raises:
        TrainingFailedError: diverged, or out of memory.
    """
    rounded = RoundedModule(copy.deepcopy(module), calibration)
    before = score(predict(rounded, val_data[0]), val_data[1])
    teacher = frozen(copy.deepcopy(module))
    done = train(
        rounded, train_data, val_data, replace(qat_plan(plan), learning_rate=RATE), kind, score,
        progress, teacher_logits=teacher, copies=copies,
    )  # fmt: skip
    after = score(predict(rounded, val_data[0]), val_data[1])
    tuned = rounded.inner.eval() if after > before else module
    return tuned, {"before": before, "after": max(before, after), "seconds": done.seconds}
