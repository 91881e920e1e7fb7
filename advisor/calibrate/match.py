"""Which kernel of a workload each profiled node is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost_models.kernel_model import KernelTimes
from cost_models.kernels import COLUMN, COLUMNS, Kernels, Style, lower
from cost_models.workload import Workload

_DECORATION = re.compile(r"(_nchwc)|(_token_\d+)|(^fused )|(/\w+Fusion/?)")
_CLASS = {
    "Conv": "conv", "FusedConv": "conv", "QLinearConv": "conv", "Gemm": "dense", "FusedGemm": "dense", "QGemm": "dense",
    "MatMul": "dense", "QLinearMatMul": "dense", "FusedMatMul": "dense", "ReorderInput": "reorder-in",
    "ReorderOutput": "reorder-out", "QuantizeLinear": "quantize", "DequantizeLinear": "dequantize", "Transpose": "turn",
    "Reshape": "reshape", "Flatten": "reshape", "Gelu": "activation:gelu", "QuickGelu": "activation:silu",
    "Sigmoid": "activation:sigmoid", "QLinearSigmoid": "activation:sigmoid", "HardSigmoid": "activation:hard-sigmoid",
    "HardSwish": "activation:hard-swish", "Relu": "activation:relu", "Clip": "activation:relu6",
    "QLinearAdd": "add", "Add": "add", "QLinearMul": "mul", "Mul": "mul",
}  # fmt: skip
_KIND = {
    "conv1": "conv",
    "first": "conv",
    "grouped": "conv",
    "depthwise": "conv",
    "matmul": "dense",
    "transpose": "turn",
}


Node = tuple[str, str, float, Any, Any]


def style_of(runtime: str, precision: str, nodes: Sequence[Sequence[Node]]) -> Style:
    """How the runtime rewrites graphs on this machine, told by what it ran."""
    if runtime != "onnxruntime":
        return "direct"
    if precision == "int8":
        return "ort-int8"
    blocked = [node for some in nodes for node in some if "_nchwc" in node[0] and node[1] == "Conv"]
    if nodes and not blocked:
        return "ort-plain"
    narrow = any(len(node[4][0]) > 1 and node[4][0][1] % 16 for node in blocked if node[4])
    return "ort-blocked-8" if narrow else "ort-blocked-16"


def kernel_times(workload: Workload, style: Style, nodes: Sequence[Node]) -> KernelTimes:
    """Nodes by the names they kept, the others by what they are and how much they write; the rest is left out."""
    kernels = lower([workload], style)
    nodes = _joined(nodes)
    taken: dict[int, float] = {}
    named: dict[str, int] = {}
    for i, (name, also) in enumerate(zip(kernels.name, kernels.also, strict=True)):
        if _class(kernels.kind[i]) not in ("reorder-in", "reorder-out", "quantize", "dequantize", "turn", "reshape"):
            named.setdefault(name, i)
            if also:
                named.setdefault(also, i)
    left = []
    for node in nodes:
        place = named.get(_DECORATION.sub("", node[0]))
        if (
            place is None
            or place in taken
            or _class(kernels.kind[place]) != _CLASS.get(node[1], _class(kernels.kind[place]))
            or not _fits(node, kernels.rows[place])
        ):
            left.append(node)
        else:
            taken[place] = node[2]
    _by_kind(kernels, left, taken)
    places = sorted(taken)
    return KernelTimes(
        tuple(kernels.kind[i] for i in places),
        kernels.rows[places].reshape(-1, len(COLUMNS)),
        np.array([taken[i] for i in places]),
        (workload.name,) * len(places),
    )


def _by_kind(kernels: Kernels, left: list[Node], taken: dict[int, float]) -> None:
    """First those of equal size, then, where as many are left on both sides, in order."""
    rows = kernels.rows
    for exact in (True, False):
        for wanted in {_CLASS.get(node[1], "") for node in left}:
            free = [i for i, kind in enumerate(kernels.kind) if i not in taken and _class(kind) == wanted]
            some = [node for node in left if _CLASS.get(node[1], "") == wanted]
            if not exact and len(free) != len(some):
                continue
            for node in some:
                fits = [i for i in free if not exact or _fits(node, rows[i])]
                if fits:
                    taken[fits[0]] = node[2]
                    free.remove(fits[0])
                    left.remove(node)


def _fits(node: Node, row: NDArray[np.float64]) -> bool:
    """Whether a node writes as much as a kernel, and has its weights: fusion gives one the name of another."""
    if node[4] and prod(node[4][0]) != row[COLUMN["outputs"]]:
        return False
    weights: tuple[int, ...] = tuple(node[3][1]) if node[1] in ("Conv", "FusedConv") and len(node[3]) > 1 else ()
    window = (row[COLUMN["height"]], row[COLUMN["width"]])
    return len(weights) != 4 or (weights[1] == row[COLUMN["inner"]] and tuple(weights[2:]) == window)


def _class(kind: str) -> str:
    if kind.startswith("depthwise"):
        return "conv"
    kind = kind.removesuffix(":plain").removesuffix(":broadcast")
    return _KIND.get(kind, kind)


def _joined(nodes: Sequence[Node]) -> list[Node]:
    """x · hard-sigmoid(x), which onnxruntime runs as two nodes with numbered names, as the one it was."""
    found: list[Node] = []
    for node in nodes:
        if node[1] == "Mul" and re.fullmatch(r"Mul_\d+", node[0]) and found and found[-1][1] == "HardSigmoid":
            before = found.pop()
            node = (node[0], "HardSwish", node[2] + before[2], before[3], node[4])
        found.append(node)
    return found
