"""A kernel as a row of numbers: what a runtime runs for the operators of a workload, before any of its rewriting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from cost_models.workload import Operator, Workload

COLUMNS = ("macs", "inputs", "others", "outputs", "weight_bytes", "inner", "outer", "groups", "height", "width",
           "stride", "positions", "columns", "bits", "passed", "around")  # fmt: skip
"""Numbers of a kernel: multiplications; elements of its first input, of further inputs, of its output; bytes of
weights; input channels a group, output channels, groups; kernel extent; stride; output positions and how many of them
are in a row; bits an element; output elements that pass through a function fused into the kernel, weighted by PASS;
bytes of weights and activations that the whole network passes through the caches between two runs of the kernel."""
PASS = {"hard-swish": 1.0, "hard-sigmoid": 1.0, "leakyrelu": 1.0, "relu6": 0.5, "relu": 0.0}
"""What a fused function costs an element, in those of a hard-swish; what is not named takes exponentials."""
EXPONENTIAL = 4.0
COLUMN = {name: i for i, name in enumerate(COLUMNS)}
FUNCTION = {
    "logistic": "sigmoid", "hardswish": "hard-swish", "hard_swish": "hard-swish", "hardsigmoid": "hard-sigmoid",
    "hard_sigmoid": "hard-sigmoid", "erf": "gelu", "fastgelu": "gelu", "quickgelu": "silu", "swish": "silu",
    "clip": "relu6",
}  # fmt: skip


@dataclass(slots=True)
class Kernels:
    """Kernels of several workloads. `rows`: (n, COLUMNS); `owner`: workload index; `name`: the operator's name, or of
    an inserted kernel that of the operator it serves; `also`: the name of what was fused into it, or empty."""

    kind: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def rows(self) -> NDArray[np.float64]:
        return np.array(self.values, dtype=np.float64).reshape(-1, len(COLUMNS))

    def surround(self, start: int, around: float) -> None:
        """Complete the kernels from `start` on, those of one network."""
        self.values[start:] = [(*values, around) for values in self.values[start:]]

    def fuse(self, at: int, function: str) -> None:
        """A function computed in kernel `at`, in a pass over what it wrote."""
        values = list(self.values[at])
        values[COLUMN["passed"]] += PASS.get(function, EXPONENTIAL) * values[COLUMN["outputs"]]
        self.values[at] = tuple(values)

    def add(self, owner: int, kind: str, name: str, values: tuple[float, ...]) -> None:
        self.kind.append(kind)
        self.name.append(name)
        self.also.append("")
        self.owner.append(owner)
        self.values.append(values)


def function(op: Operator) -> str:
    """What an activation operator computes, in one spelling for all formats."""
    word = (op.op or op.activation).lower()
    return FUNCTION.get(word, word)


class Lowering:
    """Runs a workload's operators as they are, each one kernel; runtimes that rewrite graphs derive from it."""

    def __init__(self, workload: Workload, found: Kernels, owner: int) -> None:
        self.workload, self.found, self.owner = workload, found, owner
        self.readers = Counter(i for op in workload.operators for i in set(op.inputs))
        self.readers.update(workload.outputs)
        self.writer = {o: k for k, op in enumerate(workload.operators) for o in op.outputs}
        self.next = {i: k for k, op in enumerate(workload.operators) for i in op.inputs}
        self.done: set[int] = set()
        self.alias: dict[int, int] = {}
        """Tensors that are another one after fusion."""
        self.turned: set[int] = set()
        """Tensors written in the runtime's own layout: blocks of channels, or channels last."""
        self.both: set[int] = set()
        """Tensors that were brought into the other layout for some reader."""
        self.narrow: set[int] = set()
        """Tensors that were quantized for some reader."""

    def run(self) -> None:
        for op in self.workload.operators:
            self._emit(self._kind(op), op)

    def _channels(self, tensor: int) -> int:
        shape = self.workload.tensors[tensor].shape
        return shape[-1] if shape else 1

    def _kind(self, op: Operator) -> str:
        if op.kind == "activation":
            return f"activation:{function(op)}"
        window = prod(op.kernel or (1,))
        if op.kind == "dwconv":
            # runtimes have a kernel each for 3×3, for 5×5, and one for everything larger
            return "depthwise" if window <= 9 else "depthwise:25" if window <= 25 else "depthwise:49"
        if op.kind == "conv":
            if op.groups > 1:
                return "grouped"
            if op.inputs and self._channels(op.inputs[0]) <= 3:
                return "first"
            return "conv" if window > 1 else "conv1"
        if op.kind in ("mul", "add") and self._spread(op):
            return f"{op.kind}:broadcast"
        if op.kind == "mean" and op.outputs and self._channels(op.outputs[0]) == 1:
            return "mean:last"
        if op.kind == "avg-pool" and op.outputs and prod(self.workload.tensors[op.outputs[0]].shape[:-1]) == 1:
            return "global-avg-pool"
        return op.kind

    def _spread(self, op: Operator) -> bool:
        """Whether one side is smaller than the other, a constant that is no single number included."""
        shapes = {self.workload.tensors[i].shape for i in op.inputs}
        return len(shapes) > 1 or (len(op.inputs) == 1 and op.params > 1)

    def _emit(self, kind: str, op: Operator) -> None:
        tensors = self.workload.tensors
        ins = [prod(tensors[i].shape) for i in op.inputs]
        out = sum(prod(tensors[o].shape) for o in op.outputs)
        first = tensors[op.inputs[0]].shape if op.inputs else ()
        last = tensors[op.outputs[0]].shape if op.outputs else ()
        groups = max(1, op.groups)
        inner = (first[-1] if first else 1) // groups
        outer = last[-1] if last else 1
        kernel = op.kernel if op.kernel else (1, 1)
        bits = max((tensors[i].bits for i in (*op.inputs, *op.outputs)), default=32)
        self.found.add(self.owner, kind, op.name, (
            op.macs, ins[0] if ins else 0, sum(ins[1:]), out, op.weight_bytes, max(1, inner), outer, groups, kernel[0],
            kernel[-1], max(op.stride, default=1), out // max(1, outer), last[-2] if len(last) > 1 else 1, bits, 0.0,
        ))  # fmt: skip

    def _single(self, kind: str, name: str, source: int, result: int) -> None:
        """A kernel of one input and no weights."""
        tensors = self.workload.tensors
        inputs, outputs = prod(tensors[source].shape), prod(tensors[result].shape)
        channels = self._channels(result)
        self.found.add(self.owner, kind, name, (
            0, inputs, 0, outputs, 0, self._channels(source), channels, 1, 1, 1, 1, outputs // max(1, channels), 1,
            tensors[source].bits, 0.0,
        ))  # fmt: skip
