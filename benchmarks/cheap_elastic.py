"""Shared weights: an elastic network a family, trained once, that every candidate takes its weights from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from cheap_variants import Scored, class_weights, data_of
from torch import Tensor, nn
from torch.nn import functional as F

from advisor.build.augment import augment
from advisor.build.train import Rate, tensors
from advisor.candidate import Candidate
from advisor.network.description import WEIGHTED, Layer, Network
from advisor.network.to_torch import TorchNetwork
from advisor.network.weights import NORM_EPSILON
from advisor.space.search_space import load_family, network_of
from advisor.tasks.base import Task


class Elastic(nn.Module):
    """The weights of the largest member of a family; smaller members run on their first channels, first blocks and
    the centre of their kernels. Normalisation uses the batch's statistics, or those of the last call to `recalibrate`.
    """

    def __init__(self, networks: Sequence[Network], seed: int) -> None:
        super().__init__()
        sizes: dict[str, tuple[int, ...]] = {}
        for network in networks:
            for role, layer in roles(network).items():
                shape = network.kernel_shape(layer)
                old = sizes.get(role, shape)
                sizes[role] = tuple(max(a, b) for a, b in zip(old, shape, strict=True))
        generator = torch.Generator().manual_seed(seed)
        self.kernels, self.gains, self.biases = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for role, shape in sizes.items():
            fan = math.prod(shape[1:])
            self.kernels[role] = torch.randn(shape, generator=generator) * math.sqrt(2 / fan)
            self.gains[role], self.biases[role] = torch.ones(shape[0]), torch.zeros(shape[0])
        self.statistics: dict[str, tuple[Tensor, Tensor]] = {}
        self.fixed = False

    def run(self, network: Network, x: Tensor) -> Tensor:
        """Logits (batch, classes) of one member."""
        names = {layer.name: role for role, layer in roles(network).items()}
        shell = _shell(network)
        values = {"input": x}
        for layer in network.layers:
            inputs = [values[name] for name in layer.inputs]
            if layer.kind in WEIGHTED:
                values[layer.name] = self._weighted(network, layer, names[layer.name], inputs[0])
            else:
                values[layer.name] = shell._run(layer, inputs)
        return values[network.layers[-1].name]

    def recalibrate(self, network: Network, x: Tensor) -> None:
        """Take the normalisation's statistics from `x` for what is run next."""
        self.fixed = False
        with torch.no_grad():
            self.run(network, x)
        self.fixed = True

    def _weighted(self, network: Network, layer: Layer, role: str, x: Tensor) -> Tensor:
        shape = network.kernel_shape(layer)
        kernel = self.kernels[role][: shape[0], : shape[1]]
        gain, bias = self.gains[role][: shape[0]], self.biases[role][: shape[0]]
        if layer.kind == "dense":
            return F.linear(x, kernel, bias)
        for axis, size in ((2, shape[2]), (3, shape[3])):
            kernel = kernel.narrow(axis, (kernel.shape[axis] - size) // 2, size)
        top, bottom, left, right = network.padding(layer)
        groups = shape[0] if layer.kind == "dwconv" else 1
        x = F.conv2d(F.pad(x, (left, right, top, bottom)), kernel, None if layer.norm else bias, layer.stride, 0,
                     layer.dilation, groups)  # fmt: skip
        if layer.norm:
            if self.fixed:
                mean, var = self.statistics[layer.name]
                x = F.batch_norm(x, mean, var, gain, bias, eps=NORM_EPSILON)
            else:
                if not self.training:
                    self.statistics[layer.name] = x.mean((0, 2, 3)), x.var((0, 2, 3))
                x = F.batch_norm(x, None, None, gain, bias, training=True, eps=NORM_EPSILON)
        return torch.relu(x) if layer.activation == "relu" else torch.sigmoid(x) if layer.activation == "sigmoid" else x


_SHELLS: dict[str, TorchNetwork] = {}


def _shell(network: Network) -> TorchNetwork:
    """Runs the layers without weights."""
    if network.id not in _SHELLS:
        _SHELLS[network.id] = TorchNetwork(network)
    return _SHELLS[network.id]


def roles(network: Network) -> dict[str, Layer]:
    """What a weighted layer is for, the same in every member of a family: block and place in it."""
    staged = network.family in ("resnet", "mobilenet")  # their stages begin anew; elsewhere depth cuts the end off
    found: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in network.layers:
        if layer.kind not in WEIGHTED:
            continue
        stage = f"s{layer.stage}" if staged else "s"
        # optional layers get counts of their own: gates (without normalisation), shortcuts (1×1 in a resnet)
        kind = "gate" if not layer.norm else "short" if network.family == "resnet" and _pointwise(layer) else "main"
        key = f"{stage}_{kind}" if layer.kind != "dense" else "head"
        if network.family == "mobilenet" and layer is network.layers[-4]:
            key = "last"  # the convolution before the head follows however many blocks
        counts[key] = counts.get(key, 0) + 1
        found[f"{key}{counts[key]}"] = layer
    return found


def _pointwise(layer: Layer) -> bool:
    return layer.kernel == (1, 1) and layer.activation == ""


def train_elastic(
    task: Task, architecture: str, passes: int, balanced: bool, batch: int = 64, rate: float = 1e-2, seed: int = 0
) -> tuple[Elastic, float]:
    """Sandwich rule (Yu and Huang 2019): the largest member learns the labels, the smallest and a random one learn
    the largest one's answers. Returns the weights and the CPU seconds taken."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    started = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    sets = {s: tensors((sample_of(task, architecture, s), task.load("train", s).y), torch.device("cpu"))
            for s in task.shapes}  # fmt: skip
    everyone = [member(task, architecture, pick, task.shapes[0]) for pick in (_largest, _deepest_narrow)]
    model = Elastic([*everyone, *(member(task, architecture, _random(rng), s) for s in task.shapes for _ in range(40))],
                    seed)  # fmt: skip
    steps = max(1, passes // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    schedule = Rate(rate, steps)
    model.train()
    for step in range(steps):
        shape = task.shapes[int(rng.integers(len(task.shapes)))]
        x, y = sets[shape]
        index = torch.randint(len(y), (batch,), generator=generator)
        sample, label = augment(x[index], task.kind, generator), y[index]
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        optimizer.zero_grad(set_to_none=True)
        answer = model.run(member(task, architecture, _like(_largest, rng), shape), sample)
        F.cross_entropy(answer, label, class_weights(y, balanced)).backward()
        wanted = answer.detach().softmax(1)
        for pick in (_like(_smallest, rng), _random(rng)):
            found = model.run(member(task, architecture, pick, shape), sample)
            F.cross_entropy(found, wanted).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return model.eval(), time.process_time() - started


def elastic(task: Task, candidate: Candidate, model: Elastic) -> Scored:
    """A member on the shared weights, its normalisation recalibrated on 256 training samples."""
    network = network_of(candidate.architecture, candidate.params, candidate.shape, len(task.classes))
    started = time.process_time()
    x, _ = tensors(data_of(task, candidate, "train"), torch.device("cpu"))
    model.recalibrate(network, x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:256]])
    val, _ = tensors(data_of(task, candidate, "val"), torch.device("cpu"))
    with torch.no_grad():
        found = model.run(network, val).numpy()
    model.fixed = False
    return Scored(time.process_time() - started, found)


Pick = Callable[[Any], Any]


def sample_of(task: Task, architecture: str, shape: tuple[int, ...]) -> Any:
    from advisor.network.description import network_shape

    x = task.load("train", shape).x
    return x.reshape(len(x), *network_shape(shape, sequence=architecture == "tcn"))


def member(task: Task, architecture: str, pick: Pick, shape: tuple[int, ...]) -> Network:
    family = load_family(architecture)
    params = {d.name: pick(d) for d in family.dimensions(task.shapes[0])}
    return network_of(architecture, tuple(sorted(params.items())), shape, len(task.classes))


def _largest(dimension: Any) -> Any:
    return dimension.grid()[-1]


def _smallest(dimension: Any) -> Any:
    return dimension.grid()[0]


def _deepest_narrow(dimension: Any) -> Any:
    return dimension.grid()[0] if dimension.name in ("growth",) else dimension.grid()[-1]


def _random(rng: Any) -> Pick:
    return lambda dimension: dimension.grid()[int(rng.integers(len(dimension.grid())))]


def _like(pick: Pick, rng: Any) -> Pick:
    """`pick`, but the stem's stride at random: it changes the resolution of all that follows."""
    return lambda dimension: _random(rng)(dimension) if dimension.name == "stem_stride" else pick(dimension)
