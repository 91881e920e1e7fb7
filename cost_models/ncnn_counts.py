"""What an ncnn layer is and costs: its kind, parameters and multiply-accumulates (ids as in ncnn's operators.md)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cost_models.ncnn_text import Layer, Shape

ACTIVATIONS = ("", "relu", "leaky_relu", "clip", "sigmoid", "mish", "hard_swish")
"""By parameter 9 of convolutions and dense layers."""
KIND_OF = {
    "activation": "ReLU PReLU ELU SELU CELU GELU GLU Sigmoid TanH Swish HardSwish HardSigmoid Clip Mish Softplus BNLL "
    "AbsVal Exp Log Power UnaryOp Threshold Erf Shrink",
    "softmax": "Softmax",
    "reshape": "Flatten Reshape Squeeze ExpandDims",
    "transpose": "Permute ShuffleChannel PixelShuffle Reorg",
    "pad": "Padding",
    "concat": "Concat",
    "slice": "Slice Crop Tile CopyTo",
    "resize": "Interp GridSample",
    "quantize": "Cast Quantize Dequantize Requantize Packing",
    "mean": "Reduction",
    "norm": "BatchNorm LayerNorm GroupNorm InstanceNorm LRN MVN Normalize RMSNorm Scale",
    "matmul": "MatMul MultiHeadAttention",
    "dense": "InnerProduct Gemm",
    "embedding": "Embed",
    "recurrent": "LSTM GRU RNN",
    "add": "Bias",
    "other": "PriorBox DetectionOutput Yolov3DetectionOutput YoloDetectionOutput Proposal ROIPooling ROIAlign "
    "PSROIPooling ArgMax CumulativeSum SPP",
}
KINDS_BY_OP = {op: kind for kind, ops in KIND_OF.items() for op in ops.split()}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def weighted(layer: Layer) -> bool:
    return layer.op.startswith(("Convolution", "Deconvolution", "InnerProduct"))


def by_parameters(layer: Layer) -> bool:
    return weighted(layer) or layer.op.startswith("Pooling") or layer.op in ("BinaryOp", "Eltwise", "DeformableConv2D")


def kind_of(layer: Layer, shapes: Sequence[Shape]) -> str:
    """The kind of workload.KINDS a layer is, given its inputs' shapes."""
    if layer.op.startswith(("Convolution", "Deconvolution", "DeformableConv2D")):
        groups, filters = layer.integer(7, 1), layer.integer(0)
        channels = shapes[0][0] if shapes else 0
        depthwise = "DepthWise" in layer.op and groups == channels and filters % max(1, groups) == 0
        return "dwconv" if depthwise and groups > 1 else "conv"
    if layer.op.startswith("Pooling"):
        return "global-avg-pool" if layer.integer(4) else "avg-pool" if layer.integer(0) else "max-pool"
    if layer.op == "BinaryOp":
        return "add" if layer.integer(0) in (0, 1, 7) else "mul"
    if layer.op == "Eltwise":
        return "add" if layer.integer(0) == 1 else "mul"
    if layer.op == "Gemm":
        return "dense" if layer.integer(4) or layer.integer(5) else "matmul"
    if layer.op == "Scale" and len(shapes) > 1:
        return "mul"
    return KINDS_BY_OP.get(layer.op, "other")


def parameters(layer: Layer) -> tuple[int, int]:
    """Weights (of the layer's precision) and other parameters (float) a layer holds."""
    weights, others = _parameters(layer)
    return max(0, weights), max(0, others)


def _parameters(layer: Layer) -> tuple[int, int]:
    op, first = layer.op, layer.integer(0)
    if op.startswith(("Convolution", "Deconvolution", "DeformableConv2D")):
        return max(0, layer.integer(6)), first if layer.integer(5) else 0
    if op == "InnerProduct":
        return max(0, layer.integer(2)), first if layer.integer(1) else 0
    if op == "Gemm":
        m, n, k = layer.integer(7), layer.integer(8), layer.integer(9)
        added = {0: 1, 1: m, 2: m, 3: m * n, 4: n}.get(layer.integer(10), 0) if layer.integer(6) else 0
        return (m * k if layer.integer(4) else 0) + (n * k if layer.integer(5) else 0), max(0, added)
    if op == "MultiHeadAttention":
        inner = layer.integer(2) // first if first > 0 else 0
        width = layer.integer(3, first) + layer.integer(4, first)
        return 2 * layer.integer(2) + first * width, 3 * first + inner
    if op in _GATES:
        both = 2 if layer.integer(2) == 2 else 1
        hidden = layer.integer(3, first) if op == "LSTM" else first
        recurrent = first * hidden * _GATES[op] * both
        return max(0, layer.integer(1)) + recurrent, (4 if op != "RNN" else 1) * hidden * both
    if op == "BatchNorm":
        return 0, 4 * first
    if op in ("LayerNorm", "GroupNorm", "InstanceNorm"):
        size = layer.integer(1) if op == "GroupNorm" else first
        return 0, 2 * size if layer.integer(3 if op == "GroupNorm" else 2, 1) else 0
    if op == "Scale":
        return 0, 0 if first < 0 else first * (2 if layer.integer(1) else 1)
    if op in ("PReLU", "Bias"):
        return 0, max(0, first)
    if op == "Embed":
        return max(0, layer.integer(3)), first if layer.integer(2) else 0
    return 0, 0


def macs(layer: Layer, shapes: Sequence[Shape], out: Shape) -> int:
    """Multiply-accumulates of one run of a layer."""
    op = layer.op
    if op.startswith(("Convolution", "DeformableConv2D")):
        return prod(out[1:]) * max(0, layer.integer(6))
    if op.startswith("Deconvolution"):
        # scatters: each input position meets all weights
        return prod(shapes[0][1:]) * max(0, layer.integer(6)) if shapes else 0
    if op == "InnerProduct":
        rows = out[0] if len(out) == 2 else 1
        return rows * max(0, layer.integer(2))
    if op in ("Gemm", "MatMul"):
        inner = layer.integer(9) if op == "Gemm" else 0
        if not inner and shapes:
            inner = shapes[0][-2] if op == "Gemm" and layer.integer(2) and len(shapes[0]) > 1 else shapes[0][-1]
        return prod(out) * inner
    if op == "MultiHeadAttention" and shapes and shapes[0]:
        embed = layer.integer(0)
        inner = layer.integer(2) // embed if embed > 0 else 0
        asked = shapes[0][0]
        kept = shapes[1][0] if len(shapes) > 1 else asked
        projections = 2 * asked * inner + kept * (layer.integer(3, embed) + layer.integer(4, embed))
        return embed * (projections + 2 * asked * kept)
    if op in _GATES and shapes:
        return prod(shapes[0][:-1]) * parameters(layer)[0]
    return 0
