"""Shapes of ncnn blobs from the layers' parameters, by the arithmetic of ncnn's own layers (operators.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from cost_models import ncnn_arrange as arrange
from cost_models.ncnn_arrange import ABSENT, MisfitError
from cost_models.ncnn_text import Layer, Shape

SAME_LOWER = -234
"""As a padding: TensorFlow's SAME with the odd pixel at the beginning."""


def kernel(layer: Layer) -> Shape:
    return layer.sides(1, 11, 21, 0)


def stride(layer: Layer) -> Shape:
    return layer.sides(2, 12, 22, 1) if layer.op.startswith("Pooling") else layer.sides(3, 13, 23, 1)


def infer(layer: Layer, shapes: Sequence[Shape]) -> list[Shape] | None:
    """The shapes of a layer's outputs, or None where only running it would tell.

    Raises:
        MisfitError: the inputs do not go together, or not with the layer's parameters.
    """
    if layer.op in ("Split", "Noop", "Dropout") and shapes:
        return [shapes[0]] * len(layer.outputs)
    rule = _RULES.get(layer.op)
    if rule is None or not shapes:
        return None
    return rule(layer, list(shapes))


def _same(_: Layer, shapes: list[Shape]) -> list[Shape] | None:
    return [shapes[0]]


def _window(size: int, span: int, step: int, before: int, after: int) -> int:
    if step <= 0 or span <= 0:
        raise MisfitError(f"window {span}, stride {step}")
    if before in (ABSENT, SAME_LOWER):
        return -(-size // step)
    room = size + before + after - span
    if room < 0:
        raise MisfitError(f"window {span} over {size}")
    return room // step + 1


def _paddings(layer: Layer, ids: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """Before and after of each spatial axis, outermost first; `ids` are left, top, right, bottom."""
    left = layer.integer(ids[0])
    across = (left, layer.integer(ids[2], left))
    if layer.op.endswith("1D"):
        return [across]
    top = layer.integer(ids[1], left)
    down = (top, layer.integer(ids[3], top))
    if layer.op.endswith("3D"):
        front = layer.integer(24, left)
        return [(front, layer.integer(17, front)), down, across]
    return [down, across]


def _spatial(layer: Layer, shape: Shape) -> Shape:
    """Channels first with as many spatial axes as the layer has; a vector is all channels."""
    axes = len(kernel(layer)) + 1
    if len(shape) == 1:
        return (*shape, *(1,) * (axes - 1))
    if len(shape) == axes - 1:
        return (1, *shape)
    if len(shape) != axes:
        raise MisfitError(f"{layer.op} of {list(shape)}")
    return shape


def _convolution(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source = _spatial(layer, shapes[0])
    sides, steps = kernel(layer), stride(layer)
    filters, groups, weights = layer.integer(0), max(1, layer.integer(7, 1)), layer.integer(6)
    if weights and weights != source[0] * filters * prod(sides) // groups:
        raise MisfitError(f"{source[0]} channels for {weights} weights")
    out = []
    for size, side, step, gap, (before, after) in zip(
        source[1:], sides, steps, layer.sides(2, 12, 22, 1), _paddings(layer, (4, 14, 15, 16)), strict=True
    ):
        out.append(_window(size, gap * (side - 1) + 1, step, before, after))
    return [(filters,)] if len(shapes[0]) == 1 and prod(out) == 1 else [(filters, *out)]


def _deconvolution(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source = _spatial(layer, shapes[0])
    more_w = layer.integer(18)
    more = (more_w,) if layer.op.endswith("1D") else (layer.integer(19, more_w), more_w)
    fixed = () if layer.op.endswith("3D") else (layer.integer(21, layer.integer(20)), layer.integer(20))[-len(more) :]
    more = (0, *more) if layer.op.endswith("3D") else more
    out = []
    for size, side, step, gap, extra, (before, after) in zip(
        source[1:], kernel(layer), stride(layer), layer.sides(2, 12, 22, 1), more,
        _paddings(layer, (4, 14, 15, 16)), strict=True,
    ):  # fmt: skip
        whole = (size - 1) * step + gap * (side - 1) + 1 + extra
        out.append(size * step if before in (ABSENT, SAME_LOWER) else whole - before - after)
    if any(fixed):
        out = [to or size for to, size in zip(fixed, out, strict=True)]
    if min(out) <= 0:
        raise MisfitError(f"deconvolution to {out}")
    return [(layer.integer(0), *out)]


def _pooling(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source = _spatial(layer, shapes[0])
    if layer.integer(4):
        return [(source[0],)]
    if layer.integer(7):
        wide = layer.integer(8)
        to = (wide,) if layer.op.endswith("1D") else (layer.integer(18, wide), wide)
        return [(source[0], *(t if t > 0 else s for t, s in zip(to, source[1:], strict=True)))]
    mode = layer.integer(5)
    out = []
    for size, side, step, (before, after) in zip(
        source[1:], kernel(layer), stride(layer), _paddings(layer, (3, 13, 14, 15)), strict=True
    ):
        if mode in (2, 3):
            out.append(_window(size, side, step, ABSENT, 0))
        else:
            # mode 0 pads the end until the last window fits
            out.append(_window(size, side, step, before, after + (step - 1 if mode == 0 else 0)))
    return [(source[0], *out)]


def _dense(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    filters, weights = layer.integer(0), layer.integer(2)
    inner = weights // filters if filters > 0 else 0
    if len(shapes[0]) == 2 and shapes[0][1] == inner and shapes[0][0] > 1:
        return [(shapes[0][0], filters)]
    if inner and prod(shapes[0]) != inner:
        raise MisfitError(f"{prod(shapes[0])} inputs for {weights} weights")
    return [(filters,)]


def _gemm(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    rows, columns, inner = layer.integer(7), layer.integer(8), layer.integer(9)
    left = list(shapes)
    if not layer.integer(4):
        a = left.pop(0)
        a = a if len(a) > 1 else (1, *a)
        seen = prod(a[:-1]) if layer.integer(2) else a[-1]
        if inner and seen != inner:
            raise MisfitError(f"{seen} inputs for {inner} weights")
        rows = rows or (a[-1] if layer.integer(2) else prod(a[:-1]))
    if not layer.integer(5) and left:
        b = left.pop(0)
        b = b if len(b) > 1 else (1, *b)
        columns = columns or (b[-2] if layer.integer(3) else b[-1])
    if not rows or not columns:
        return None
    return [(columns, rows) if layer.integer(14) else (rows, columns)]


def _matmul(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    if len(shapes) < 2:
        return None
    a, b = (s if len(s) > 1 else (1, *s) for s in shapes[:2])
    outer = max(a[:-2], b[:-2], key=len)
    return [(*outer, a[-2], b[-2] if layer.integer(0) else b[-1])]


def _attention(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    embed = layer.integer(0)
    inner = layer.integer(2) // embed if embed > 0 else 0
    if inner and shapes[0][-1] != inner:
        raise MisfitError(f"{shapes[0][-1]} inputs for attention of {inner}")
    return [(*shapes[0][:-1], inner or shapes[0][-1])]


_KEEPS = (
    "ReLU PReLU ELU SELU CELU GELU Sigmoid TanH Swish HardSwish HardSigmoid Clip Mish Softplus BNLL AbsVal Exp Log "
    "Power UnaryOp Threshold Erf Shrink Softmax LRN BatchNorm LayerNorm GroupNorm InstanceNorm MVN Normalize RMSNorm "
    "Scale Bias ShuffleChannel Cast Quantize Dequantize Requantize Packing CumulativeSum"
)
_RULES: dict[str, Callable[[Layer, list[Shape]], list[Shape] | None]] = {
    **dict.fromkeys(_KEEPS.split(), _same),
    **dict.fromkeys((f"Convolution{kind}{axes}" for kind in ("", "DepthWise") for axes in ("", "1D", "3D")),
                    _convolution),
    **dict.fromkeys((f"Deconvolution{kind}{axes}" for kind in ("", "DepthWise") for axes in ("", "1D", "3D")),
                    _deconvolution),
    "DeformableConv2D": _convolution,
    **dict.fromkeys(("Pooling", "Pooling1D", "Pooling3D"), _pooling),
    "InnerProduct": _dense, "Gemm": _gemm, "MatMul": _matmul, "MultiHeadAttention": _attention,
    "BinaryOp": arrange.binary, "Eltwise": arrange.binary, "Concat": arrange.concat, "Slice": arrange.cut,
    "Crop": arrange.crop, "Reshape": arrange.reshape, "Permute": arrange.permute, "Interp": arrange.interp,
    "Padding": arrange.padding, "Reduction": arrange.reduction, "PriorBox": arrange.prior_box,
    **dict.fromkeys(("DetectionOutput", "Yolov3DetectionOutput", "YoloDetectionOutput"), arrange.detections),
    "PixelShuffle": arrange.shuffle_pixels, "Reorg": arrange.shuffle_pixels,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), arrange.recurrent),
    "Squeeze": arrange.squeeze, "ExpandDims": arrange.expand,
    "Flatten": lambda _, shapes: [(prod(shapes[0]),)],
    "GLU": lambda layer, shapes: [tuple(s // 2 if i == layer.integer(0) % len(shapes[0]) else s
                                        for i, s in enumerate(shapes[0]))],
    "Embed": lambda layer, shapes: [(prod(shapes[0]), layer.integer(0))],
}  # fmt: skip
