"""A network's work by the kernels that do it on CPU runtimes with packed, Winograd and depthwise kernels (ncnn's kind).

Latency is the sum over groups of work times the board's cost of one unit of it. Kinds of work too rare among measured
networks to have a rate of their own share one, weighed by what they cost relative to it on any processor; the grouping
was chosen by leaving networks out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cost_models.features import COLUMN, KIND, operator_rows
from cost_models.workload import Workload

GROUPS = (
    "conv", "winograd", "winograd io", "grouped", "conv io", "depthwise", "dense", "element-wise", "copy", "pool",
    "calls", "int8 conv", "int8 winograd", "int8 conv io", "int8 depthwise",
    "int8 weights",
)  # fmt: skip
"""MACs of convolutions; elements read and written around them; weights of dense layers and of
int8 convolutions; elements of the rest; calls."""
_FIRST = 2.0
"""A MAC over at most four input channels costs about twice one over many: vectors along channels stay half empty."""
_STRIDED = 1.2
"""Spatial convolutions that Winograd's transforms do not serve are lowered to matrix products by copying patches."""
_ATTENTION = 3.0
"""A MAC of attention's products, against one of a packed convolution: operands are not packed beforehand."""
_GROUP_CALLS = 8.0
"""Every group of a grouped convolution is a product of its own, with the overhead of several small calls."""
_WEIGHTS = 0.3
"""A convolution's weights are read once, partly from cache: a share of what a dense layer's weights cost."""
_INT8_WEIGHTS = 0.5
"""A dense layer of int8 reads a quarter of the bytes and pays for scaling its results."""
_ELEMENTWISE = ("add", "mul", "activation", "norm", "softmax", "mean", "quantize", "other", "embedding")
_COPY = ("concat", "slice", "transpose", "reshape", "pad", "resize")


def group_work(workloads: Sequence[Workload]) -> NDArray[np.float64]:
    """(workloads, GROUPS): units of work by group."""
    return np.stack([_work(workload) for workload in workloads]) if workloads else np.empty((0, len(GROUPS)))


def _work(workload: Workload) -> NDArray[np.float64]:
    rows = operator_rows(workload)

    def col(name: str) -> NDArray[np.float64]:
        return rows[:, COLUMN[name]]

    def of(*kinds: str) -> NDArray[np.bool_]:
        return np.isin(col("kind"), [KIND[kind] for kind in kinds])

    macs, area = col("macs"), col("kernel_height") * col("kernel_width")
    touched, weights = col("in_elements") + col("out_elements"), col("weights")
    every_conv, depthwise, dense = of("conv"), of("dwconv"), of("dense", "recurrent")
    grouped = every_conv & (col("groups") > 1)
    conv = every_conv & ~grouped
    first = conv & (col("in_channels") <= 4)
    winograd = conv & (col("kernel_height") == 3) & (col("kernel_width") == 3) & (col("stride") == 1) & ~first
    strided = conv & (area > 1) & ~winograd & ~first
    plain = conv & ~winograd
    weighed = macs * np.where(first, _FIRST, np.where(strided, _STRIDED, 1.0))
    found = dict.fromkeys(GROUPS, 0.0)
    int8 = workload.precision == "int8"
    name = "int8 " if int8 else ""
    found[f"{name}conv"] += float(weighed[plain].sum())
    found[f"{name}winograd"] += float(macs[winograd].sum())
    found["conv"] += _ATTENTION * float(macs[of("matmul")].sum())
    found["grouped"] += float(macs[grouped].sum())
    found[f"{name}conv io"] += float(touched[plain | grouped].sum())
    found["int8 conv io" if int8 else "winograd io"] += float(touched[winograd].sum())
    found[f"{name}depthwise"] += float((col("out_elements") * area + touched)[depthwise].sum())
    found["dense"] += float(weights[dense].sum()) * (_INT8_WEIGHTS if int8 else 1.0)
    if int8:
        found["int8 weights"] += float(weights[conv].sum())
    else:
        found["dense"] += _WEIGHTS * float(weights[conv].sum())
    costly = col("out_elements")[col("activation") > 1].sum()
    found["element-wise"] += float(touched[of(*_ELEMENTWISE)].sum() + costly)
    found["copy"] += float(touched[of(*_COPY)].sum())
    found["pool"] += float((col("out_elements") * area)[of("avg-pool", "max-pool")].sum())
    found["pool"] += float(col("in_elements")[of("global-avg-pool")].sum())
    found["calls"] += len(rows) + _GROUP_CALLS * float(col("groups")[grouped].sum())
    return np.array([found[group] for group in GROUPS])
