"""What could score a network before it is trained in full: short trainings, shared weights, and no training at all.

Every variant returns validation logits, or a number, and the CPU seconds it took. `benchmarks/cheap_rung.py` holds
them against full training.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advisor.build.cheap import train_briefly
from advisor.build.plans import PLANS, TrainPlan
from advisor.build.train import logits, tensors, train
from advisor.candidate import Candidate
from advisor.evaluate import network_input
from advisor.network.to_torch import TorchNetwork, to_torch
from advisor.space.search_space import network_of
from advisor.tasks.base import Task


@dataclass(frozen=True)
class Scored:
    """`logits`: (validation samples, classes), or None; `value`: a number where there are none, higher is better."""

    seconds: float
    logits: Any = None
    value: float = 0.0
    test: Any = None
    """(test samples, classes) of full trainings: the benchmark's own second opinion."""


def data_of(task: Task, candidate: Candidate, split: Any) -> Any:
    return network_input(task, split, candidate), task.load(split, candidate.shape).y


def full(task: Task, candidate: Candidate, seed: int, balanced: bool, plan: str = "full") -> Scored:
    """What the search does for the candidates that come through."""
    network = network_of(candidate.architecture, candidate.params, candidate.shape, len(task.classes))
    height, width, _ = network.input_shape
    chosen = replace(PLANS[plan].fitted(height * width), seed=seed, balanced=balanced)
    module = to_torch(network, seed=seed)
    started = time.process_time()
    train(module, data_of(task, candidate, "train"), data_of(task, candidate, "val"), chosen, task.kind,
          lambda p, y: task.score(p, y).value or 0.0)  # fmt: skip
    seconds = time.process_time() - started
    found, test = (logits(module, network_input(task, split, candidate)) for split in ("val", "test"))
    return Scored(seconds, found, test=test)


def short(task: Task, candidate: Candidate, plan: TrainPlan, balanced: bool, seed: int = 0) -> Scored:
    """One cycle of the learning rate, as the product's cheap rung does it."""
    network = network_of(candidate.architecture, candidate.params, candidate.shape, len(task.classes))
    module = to_torch(network, seed=seed)
    started = time.process_time()
    train_briefly(module, data_of(task, candidate, "train"), replace(plan, seed=seed, balanced=balanced), task.kind)
    found = logits(module, network_input(task, "val", candidate))
    return Scored(time.process_time() - started, found)


def class_weights(y: Tensor, balanced: bool) -> Tensor | None:
    if not balanced:
        return None
    counts = torch.bincount(y).float().clamp(min=1)
    return (counts.sum() / counts / len(counts)).clamp(max=100.0).sqrt()


def naswot(task: Task, candidate: Candidate, seed: int = 0, count: int = 64) -> Scored:
    """log |K| of the Hamming kernel of rectifier patterns over a batch (Mellor et al. 2021)."""
    network = network_of(candidate.architecture, candidate.params, candidate.shape, len(task.classes))
    module = to_torch(network, seed=seed).train()
    started = time.process_time()
    x = tensors(data_of(task, candidate, "train"), torch.device("cpu"))[0][:count]
    kernel = np.zeros((len(x), len(x)))
    with torch.no_grad():
        for value in outputs(module, x):
            code = (value.flatten(1) > 0).float()
            kernel += (code @ code.T + (1 - code) @ (1 - code).T).double().numpy()
    value = float(np.linalg.slogdet(kernel + 1e-6 * np.eye(len(x)))[1])
    return Scored(time.process_time() - started, value=value)


def synflow(task: Task, candidate: Candidate, seed: int = 0) -> Scored:
    """log Σ |θ · ∂R/∂θ| with R = 1ᵀ Π|θ| 1, normalisation left out (Tanaka et al. 2020)."""
    network = network_of(candidate.architecture, candidate.params, candidate.shape, len(task.classes))
    started = time.process_time()
    module = to_torch(network, seed=seed).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
        for norm in module.norms.values():
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    height, width, channels = network.input_shape
    module(torch.ones(1, channels, height, width, dtype=torch.float64)).sum().backward()
    total = sum(float((p * p.grad).detach().abs().sum()) for p in module.parameters() if p.grad is not None)
    return Scored(time.process_time() - started, value=math.log(total + 1e-300))


def outputs(module: TorchNetwork, x: Tensor) -> list[Tensor]:
    """Outputs of the rectified layers."""
    values, kept = {"input": x}, []
    for layer in module.network.layers:
        values[layer.name] = module._run(layer, [values[name] for name in layer.inputs])
        if layer.activation == "relu":
            kept.append(values[layer.name])
    return kept
