"""Workloads as the kernels that a runtime really runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cost_models.kernel_rows import COLUMN, COLUMNS, Kernels, Lowering
from cost_models.kernels_ort import OnnxRuntimeLowering
from cost_models.workload import Workload

__all__ = ["COLUMN", "COLUMNS", "Kernels", "Style", "lower"]

Style = Literal["ort-blocked-16", "ort-blocked-8", "ort-plain", "ort-int8", "direct"]
"""How a runtime rewrites a graph: `ort-blocked` keeps maps in blocks of so many channels (onnxruntime float32 with
AVX-512 or AVX), `ort-plain` does not, `ort-int8` runs Q/DQ graphs channels last, `direct` runs operators as
they are."""


def lower(workloads: Sequence[Workload], style: Style) -> Kernels:
    """The kernels of each workload in the order they run."""
    found = Kernels()
    for i, workload in enumerate(workloads):
        start = len(found.values)
        if style == "direct":
            Lowering(workload, found, i).run()
        else:
            OnnxRuntimeLowering(workload, style, found, i).run()
        found.surround(start, float(workload.weight_bytes + sum(workload.tensor_bytes)))
    return found
