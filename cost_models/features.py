"""Operators as rows of numbers: what learned cost models see of a network, computed once a workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from cost_models.workload import KINDS, Operator, Workload

COLUMNS = (
    "kind", "macs", "weights", "weight_bytes", "in_elements", "out_elements", "in_bytes", "out_bytes",
    "in_channels", "out_channels", "in_positions", "out_positions", "kernel_height", "kernel_width",
    "stride", "groups", "activation",
)  # fmt: skip
"""`kind` indexes `KINDS`; elements and bytes sum all activations of a side, channels are those of its first one;
positions are elements a channel; `stride` is the largest; `activation` is 1 where one is fused, 2 where it is costly
(neither ReLU nor ReLU6)."""
COLUMN = {name: index for index, name in enumerate(COLUMNS)}
KIND = {name: index for index, name in enumerate(KINDS)}
_CHEAP = ("", "none", "linear", "relu", "relu6", "clip")


@dataclass(frozen=True)
class OperatorTable:
    """All operators of several workloads; `rows`: (operators, COLUMNS), `owner`: (operators,) workload index."""

    rows: NDArray[np.float64]
    owner: NDArray[np.intp]
    workloads: int

    def column(self, name: str) -> NDArray[np.float64]:
        """One column by its name in `COLUMNS`."""
        return self.rows[:, COLUMN[name]]

    def totals(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums values given per operator, (operators,) or (operators, k), over each workload."""
        if values.ndim == 1:
            return np.bincount(self.owner, values, self.workloads).astype(np.float64)
        return np.stack([self.totals(column) for column in values.T], axis=1)


def operator_rows(workload: Workload) -> NDArray[np.float64]:
    """(operators, COLUMNS) of one workload; kept with it, since searches cost the same network many times."""
    kept = workload.__dict__.get("_operator_rows")
    if kept is not None:
        return kept  # type: ignore[no-any-return]
    rows = np.array([_row(workload, op) for op in workload.operators], dtype=np.float64).reshape(-1, len(COLUMNS))
    rows.setflags(write=False)
    workload.__dict__["_operator_rows"] = rows
    return rows


def operator_table(workloads: Sequence[Workload]) -> OperatorTable:
    """The operators of several workloads, one after another."""
    parts = [operator_rows(workload) for workload in workloads]
    rows = np.concatenate(parts) if parts else np.empty((0, len(COLUMNS)))
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return OperatorTable(rows, owner, len(parts))


def _row(workload: Workload, op: Operator) -> tuple[float, ...]:
    tensors, sizes = workload.tensors, workload.tensor_bytes
    ins, outs = [tensors[i].shape for i in op.inputs], [tensors[i].shape for i in op.outputs]
    first_in, first_out = (ins or outs or [()])[0], (outs or ins or [()])[0]
    in_elements, out_elements = sum([prod(s) for s in ins]), sum([prod(s) for s in outs])
    in_channels, out_channels = (first_in[-1] if first_in else 1), (first_out[-1] if first_out else 1)
    kernel = op.kernel or (1, 1)
    return (
        KIND.get(op.kind, KIND["other"]), op.macs, op.params, op.weight_bytes, in_elements, out_elements,
        sum([sizes[i] for i in op.inputs]), sum([sizes[i] for i in op.outputs]), in_channels, out_channels,
        prod(first_in) // max(1, in_channels), prod(first_out) // max(1, out_channels),
        kernel[0], kernel[-1] if len(kernel) > 1 else 1, max(op.stride, default=1), op.groups,
        0 if not op.activation else 1 if op.activation.lower() in _CHEAP else 2,
    )  # fmt: skip
