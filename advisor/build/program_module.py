"""A user's exported torch program as a torch module that can be trained and pruned."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from advisor.network.description import network_shape
from advisor.own.fit import Fit
from advisor.own.program import Call, DType, Program, Ref
from specs.errors import ModelFileError

MAX_ELEMENTS = 1 << 28
"""Of one tensor that a program computes: 1 GiB as float32."""
_RESHAPES = ("view.default", "_unsafe_view.default", "reshape.default")
PROBE = 3
"""Samples on which a batch is compared with its samples one by one."""


class ProgramModule(nn.Module):
    """(samples, C, H, W) → (samples, classes): the program's operators one after the other.

    Convolutions, dense layers and normalisations are modules of their own, which tools that compress modules know.
    """

    def __init__(self, program: Program, fit: Fit) -> None:
        super().__init__()
        self._program, self._fit = replace(program, weights={}), fit
        self._dtype: torch.dtype = getattr(torch, program.input.dtype)
        uses = Counter(ref.name for call in program.calls for ref in _refs(call))
        self.layers = nn.ModuleDict()
        taken: set[str] = set()
        for call in program.calls:
            layer = _layer(call, program.weights, uses)
            if layer is not None:
                self.layers[f"l{len(self.layers)}"] = layer
                taken |= {ref.name for ref in _refs(call)[1:]}
        self._layer_of = dict(zip((c.outputs for c in program.calls if _layer_kind(c, program.weights, uses)),
                                  self.layers, strict=True))  # fmt: skip
        self._places = {}
        left = [name for name in program.weights if uses[name] and name not in taken]
        for i, (name, value) in enumerate((name, program.weights[name]) for name in left):
            tensor = torch.from_numpy(np.array(value))
            self._places[name] = f"w{i}"
            if name in program.parameters and tensor.is_floating_point():
                self.register_parameter(f"w{i}", nn.Parameter(tensor))
            else:
                self.register_buffer(f"w{i}", tensor)
        if not any(True for _ in self.parameters()):
            self.register_parameter("none", nn.Parameter(torch.zeros(0)))  # every module of ours has a device
        self.batched = False
        """Whether the program, exported for one sample, computes the same for several at once."""

    def train(self, mode: bool = True) -> ProgramModule:
        # one sample at a time has no statistics to normalise by
        super().train(mode and self.batched)
        return self

    def forward(self, x: Tensor) -> Tensor:
        samples = int(x.shape[0])
        if samples != 1 and not self.batched:
            return torch.cat([self._run(x[i : i + 1]) for i in range(samples)])
        return self._run(x)

    def _run(self, x: Tensor) -> Tensor:
        samples = int(x.shape[0])
        # (N, C, H, W) → (N, H, W, C) → the program's own order
        turned = x.permute(0, *((2, 3, 1)[axis] for axis in self._fit.axes)).to(self._dtype)
        known: dict[str, Any] = {name: getattr(self, place) for name, place in self._places.items()}
        known[self._program.input.name] = turned.reshape(samples, *self._fit.dims)
        for call in self._program.calls:
            name = self._layer_of.get(call.outputs)
            found = self.layers[name](known[call.args[0].name]) if name else _call(call, known, samples)
            if call.several:
                known.update(zip(call.outputs, found, strict=False))
            else:
                known[call.outputs[0]] = found
        found = known[self._program.result]
        return found.reshape(samples, -1).float()  # type: ignore[no-any-return]


def program_module(program: Program, fit: Fit) -> ProgramModule:
    """The module of a program, in evaluation mode.

    Raises:
        ModelFileError: an operator refuses its arguments, or a tensor is too large.
    """
    try:
        module = ProgramModule(program, fit).eval()
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError("the program's layers and weights do not match", seen=str(error).split("\n")[0][:200],
                             next="export the model again") from error  # fmt: skip
    _check(module)
    module.batched = _takes_batches(module)
    return module


def _refs(call: Call) -> list[Ref]:
    values = [*call.args, *call.kwargs.values()]
    return [ref for value in values for ref in (value if isinstance(value, list) else [value]) if isinstance(ref, Ref)]


def _layer_kind(call: Call, weights: Mapping[str, Any], uses: Mapping[str, int]) -> str:
    """The operator of a call that becomes a layer of its own; the empty string for others."""
    name = call.operator.removesuffix(".default")
    refs = _refs(call)
    if name not in _MAKERS or call.kwargs or len(refs) < 2 or refs[0] is not call.args[0]:
        return ""
    own = all(ref.name in weights and uses[ref.name] == 1 for ref in refs[1:]) and refs[0].name not in weights
    return name if own and isinstance(call.args[1], Ref) else ""


def _layer(call: Call, weights: Mapping[str, Any], uses: Mapping[str, int]) -> nn.Module | None:
    kind = _layer_kind(call, weights, uses)
    return _MAKERS[kind]([_value(arg, weights) for arg in call.args[1:]]) if kind else None


def _value(argument: Any, weights: Mapping[str, Any]) -> Any:
    return torch.from_numpy(np.array(weights[argument.name])) if isinstance(argument, Ref) else argument


def _filled(layer: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """The layer with these tensors, which must be of the shapes it was made for."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if getattr(layer, name).shape != tensor.shape:
            raise ValueError(f"{name} of shape {tuple(tensor.shape)}, not {tuple(getattr(layer, name).shape)}")
        if name.startswith("running"):
            layer.register_buffer(name, tensor.clone())
        else:
            layer.register_parameter(name, nn.Parameter(tensor.clone()))
    return layer


def _conv(kind: Any) -> Callable[[list[Any]], nn.Module]:
    def make(args: list[Any]) -> nn.Module:
        weight, bias, *rest = args if len(args) > 1 else [*args, None]
        kernel = tuple(weight.shape[2:])
        sizes = [tuple(one) * (len(kernel) if len(one) == 1 else 1) for one in rest[:3]]
        groups = rest[3] if len(rest) > 3 else 1
        layer = kind(weight.shape[1] * groups, weight.shape[0], kernel, *sizes, groups=groups, bias=bias is not None,
                     device="meta")  # fmt: skip
        return _filled(layer, weight=weight, bias=bias)

    return make


def _linear(args: list[Any]) -> nn.Module:
    weight, bias = [*args, None][:2]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _filled(layer, weight=weight, bias=bias)


class Norm(nn.BatchNorm2d):
    """Batch normalisation of inputs of any rank."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Whatever the program gives it."""


def _norm(args: list[Any]) -> nn.Module:
    weight, bias, mean, variance, _, momentum, eps, *_ = args
    if mean is None or variance is None or (weight is None) != (bias is None):
        raise ValueError("normalisation without statistics")
    layer = Norm(mean.shape[0], eps, momentum, affine=weight is not None)
    return _filled(layer, weight=weight, bias=bias, running_mean=mean, running_var=variance)


_MAKERS: dict[str, Callable[[list[Any]], nn.Module]] = {
    "conv1d": _conv(nn.Conv1d), "conv2d": _conv(nn.Conv2d), "linear": _linear, "batch_norm": _norm,
}  # fmt: skip


def _call(call: Call, known: Mapping[str, Any], samples: int) -> Any:
    """What one operator gives."""

    def value(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return known[argument.name]
        if isinstance(argument, DType):
            return getattr(torch, argument.name)
        return [value(one) for one in argument] if isinstance(argument, list) else argument

    args = [value(argument) for argument in call.args]
    if call.operator == "getitem":
        return args[0][int(args[1])]
    expand = call.operator == "expand.default"
    if (expand or (call.operator in _RESHAPES and args[0].shape[0] == samples)) and args[1] and args[1][0] == 1:
        rest = args[1][1:]
        # a flattening follows whatever number of channels pruning left
        args[1] = [samples, -1] if len(rest) == 1 and not expand else [samples, *rest]
    # names were held against a list when the file was read: arithmetic on tensors only
    name, _, overload = call.operator.partition(".")
    kwargs = {key: value(argument) for key, argument in call.kwargs.items()}
    return getattr(getattr(torch.ops.aten, name), overload)(*args, **kwargs)


class _Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped base
    """Keeps the number of elements of the largest tensor computed."""

    worst = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else [found]:
            self.worst = max(self.worst, one.numel() if isinstance(one, Tensor) else 0)
        return found


def _check(module: ProgramModule) -> None:
    """Run the program on shapes alone, without memory for its tensors."""
    sizes = _Sizes()  # type: ignore[no-untyped-call]  # untyped base
    try:
        with torch.no_grad(), sizes:
            given = copy.deepcopy(module).to("meta")(torch.zeros(_shape(module), device="meta"))
    except Exception as error:  # operators raise their own unrelated classes
        first = str(error).strip().split("\n")[0]
        raise ModelFileError("the program does not run on the task's input", seen=first[:200],
                             next="export the model for this input") from error  # fmt: skip
    if sizes.worst > MAX_ELEMENTS or not given.is_floating_point():
        raise ModelFileError("the program needs too large a tensor, or gives no real numbers", seen=sizes.worst,
                             allowed=f"{MAX_ELEMENTS} elements, float outputs")  # fmt: skip


@torch.no_grad()
def _takes_batches(module: ProgramModule) -> bool:
    x = torch.randn(PROBE, *_shape(module)[1:], generator=torch.Generator().manual_seed(0))
    alone = torch.cat([module(x[i : i + 1]) for i in range(PROBE)])
    module.batched = True
    try:
        together = module(x)
    except Exception:  # operators raise their own unrelated classes
        return False
    return together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-3, atol=1e-4, equal_nan=True)


def _shape(module: ProgramModule) -> tuple[int, int, int, int]:
    height, width, channels = network_shape(module._fit.shape)
    return 1, channels, height, width
