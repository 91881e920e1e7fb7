"""The torch reading: the module that is trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advisor.network.description import WEIGHTED, Layer, Network
from advisor.network.weights import NORM_EPSILON, Array, Weights


class TorchNetwork(nn.Module):
    """`network` as a module: (batch, C, H, W) in, logits (batch, classes) out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.weighted = nn.ModuleDict({la.name: _module(network, la) for la in network.layers if la.kind in WEIGHTED})
        self.norms = nn.ModuleDict(
            {la.name: nn.BatchNorm2d(la.out or network.in_channels(la), eps=NORM_EPSILON)
             for la in network.layers if la.kind in ("conv", "dwconv") and la.norm}
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        values = {"input": x}
        for layer in self.network.layers:
            values[layer.name] = self._run(layer, [values[name] for name in layer.inputs])
        return values[self.network.layers[-1].name]

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if layer.kind in ("conv", "dwconv", "max-pool", "avg-pool"):
            top, bottom, left, right = self.network.padding(layer)
            pads = (left, right, top, bottom)
            if layer.kind == "max-pool":
                x = F.max_pool2d(F.pad(x, pads, value=-torch.inf), layer.kernel, layer.stride)
            elif layer.kind == "avg-pool":
                # the padding does not count, as in TensorFlow and ONNX
                inside = F.pad(torch.ones_like(x[:1, :1]), pads)
                x, inside = (F.avg_pool2d(v, layer.kernel, layer.stride) for v in (F.pad(x, pads), inside))
                x = x / inside
            else:
                x = self.weighted[layer.name](F.pad(x, pads) if any(pads) else x)
        elif layer.kind == "dense":
            x = self.weighted[layer.name](x)
        elif layer.kind == "global-pool":
            x = x.mean((2, 3), keepdim=True)
        elif layer.kind == "flatten":
            # channels last, as every deployed reading flattens
            x = x.permute(0, 2, 3, 1).flatten(1)
        elif layer.kind == "add":
            x = inputs[0] + inputs[1]
        elif layer.kind == "scale":
            x = inputs[0] * inputs[1]
        if layer.name in self.norms:
            x = self.norms[layer.name](x)
        return _activate(x, layer.activation)


def to_torch(network: Network, weights: Weights | None = None, *, seed: int = 0) -> TorchNetwork:
    """The module with the given training-form weights, or freshly initialised from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = TorchNetwork(network)
    for name, layer in module.weighted.items():
        if weights is not None:
            continue
        kernel = layer.weight
        if network.layer(name).kind != "dense":
            generator = torch.Generator().manual_seed(seed + sum(map(ord, name)))
            nn.init.kaiming_normal_(kernel, mode="fan_in", nonlinearity="relu", generator=generator)  # type: ignore[arg-type]
    if weights is not None:
        set_weights(module, weights)
    return module


def set_weights(module: TorchNetwork, weights: Weights) -> None:
    """Load training-form weights; raises KeyError when one is missing."""
    with torch.no_grad():
        for key, parameter in _parameters(module).items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[key])))


def get_weights(module: TorchNetwork) -> dict[str, Array]:
    """Training-form weights as numpy arrays (copies)."""
    return {key: value.detach().cpu().numpy().copy() for key, value in _parameters(module).items()}


def _parameters(module: TorchNetwork) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, layer in module.weighted.items():
        found[f"{name}.kernel"] = layer.weight  # type: ignore[assignment]
        if layer.bias is not None:
            found[f"{name}.bias"] = layer.bias  # type: ignore[assignment]
    for name, norm in module.norms.items():
        for part, value in (
            ("gamma", norm.weight),
            ("beta", norm.bias),
            ("mean", norm.running_mean),
            ("var", norm.running_var),
        ):
            found[f"{name}.{part}"] = value  # type: ignore[assignment]
    return found


def _module(network: Network, layer: Layer) -> nn.Module:
    inputs = network.in_channels(layer)
    if layer.kind == "dense":
        return nn.Linear(inputs, layer.out)
    depthwise = layer.kind == "dwconv"
    return nn.Conv2d(
        inputs,
        inputs if depthwise else layer.out,
        layer.kernel,
        layer.stride,
        dilation=layer.dilation,
        groups=inputs if depthwise else 1,
        bias=not layer.norm,
    )


def _activate(x: Tensor, activation: str) -> Tensor:
    match activation:
        case "":
            return x
        case "relu":
            return F.relu(x)
        case "relu6":
            return F.relu6(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case "hard-swish":
            return F.hardswish(x)
        case _:
            raise ValueError(f"unknown activation {activation!r}")
