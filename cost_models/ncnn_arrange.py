"""Shapes of ncnn layers that rearrange, join or cut blobs."""

from __future__ import annotations

from math import prod

from cost_models.ncnn_text import Layer, Shape

ABSENT = -233
"""ncnn's mark for a number that is not given; as a padding, TensorFlow's SAME with the odd pixel at the end."""


class MisfitError(ValueError):
    """Shapes that do not go together."""


def binary(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    out = shapes[0]
    for other in shapes[1:]:
        if len(other) != len(out):
            out = max(out, other, key=len)
            continue
        if any(a != b and 1 not in (a, b) for a, b in zip(out, other, strict=True)):
            raise MisfitError(f"{list(out)} with {list(other)}")
        out = tuple(max(a, b) for a, b in zip(out, other, strict=True))
    return [out]


def _axis(value: int, rank: int) -> int:
    axis = value + rank if value < 0 else value
    if not 0 <= axis < rank:
        raise MisfitError(f"axis {value} of {rank}")
    return axis


def concat(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    axis = _axis(layer.integer(0), len(shapes[0]))
    for shape in shapes[1:]:
        if len(shape) != len(shapes[0]) or any(
            a != b for i, (a, b) in enumerate(zip(shape, shapes[0], strict=True)) if i != axis
        ):
            raise MisfitError(f"{list(shape)} beside {list(shapes[0])}")
    return [(*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])]


def cut(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source, wanted = shapes[0], layer.integers(0)
    axis = _axis(layer.integer(1), len(source))
    ends, at = layer.integers(2), 0
    out = []
    for i in range(len(layer.outputs)):
        left = source[axis] - at
        if ends:
            size = ends[i] - at if i < len(ends) else left
        else:
            size = wanted[i] if i < len(wanted) and wanted[i] != ABSENT else left // (len(layer.outputs) - i)
        if size < 0 or size > left:
            raise MisfitError(f"slice of {size} from {left}")
        at += size
        out.append((*source[:axis], size, *source[axis + 1 :]))
    return out


def crop(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    out = list(shapes[0])
    starts, ends = layer.integers(9), layer.integers(10)
    if starts and len(starts) == len(ends):
        axes = layer.integers(11) or tuple(range(len(starts)))
        for start, end, raw in zip(starts, ends, axes, strict=False):
            axis = _axis(raw, len(out))
            size = shapes[0][axis]
            begin = 0 if start == ABSENT else start + size if start < 0 else start
            stop = size if end == ABSENT else end + size if end < 0 else end
            out[axis] = min(size, stop) - min(size, begin)
    elif len(shapes) > 1:
        out = [*(shapes[0][: max(0, len(shapes[0]) - len(shapes[1]))]), *shapes[1]]
    else:
        for axis, (before, to, after) in enumerate(((0, 3, 6), (1, 4, 7), (2, 5, 8))):
            place = len(out) - 1 - axis
            if place < 0:
                break
            wanted = layer.integer(to)
            rest = out[place] - layer.integer(before) - layer.integer(after)
            out[place] = wanted if wanted > 0 else rest
    if min(out) <= 0:
        raise MisfitError(f"crop to {out}")
    return [tuple(out)]


def reshape(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    if 6 in layer.numbers or 6 in layer.arrays:
        return None  # an expression over the inputs' shapes
    asked = [layer.integer(key, ABSENT) for key in (2, 11, 1, 0)]
    wanted = [v for v in asked if v != ABSENT]
    source = shapes[0]
    # 0 keeps the input's own: of the same axis, counted from the innermost
    out = [source[i - len(wanted)] if v == 0 and len(wanted) - i <= len(source) else v for i, v in enumerate(wanted)]
    elements = prod(source)
    if out.count(-1) == 1:
        known = prod(v for v in out if v != -1)
        if known <= 0 or elements % known:
            raise MisfitError(f"{elements} elements as {out}")
        out[out.index(-1)] = elements // known
    if not out or min(out) <= 0 or prod(out) != elements:
        raise MisfitError(f"{elements} elements as {out}")
    return [tuple(out)]


_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
"""Source axes of (c, h, w) by order_type."""


def permute(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    order, source = layer.integer(0), shapes[0]
    if len(source) == 2:
        return [source[::-1] if order == 1 else source]
    if len(source) == 3 and 0 <= order < 6:
        return [tuple(source[i] for i in _ORDERS[order])]
    return [source] if len(source) == 1 else None


def interp(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source = shapes[0]
    if layer.integer(5) and len(shapes) > 1:
        return [(*source[:-2], *shapes[1][-2:])]
    if len(source) == 1:
        source = (*source, 1, 1)
    high, wide = layer.integer(3), layer.integer(4)
    if len(source) == 2:
        return [(source[0], wide or int(source[1] * layer.numbers.get(2, 1.0)))]
    return [(*source[:-2], high or int(source[-2] * layer.numbers.get(1, 1.0)),
             wide or int(source[-1] * layer.numbers.get(2, 1.0)))]  # fmt: skip


def padding(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    out = list(shapes[0])
    pads = [(layer.integer(2), layer.integer(3)), (layer.integer(0), layer.integer(1)),
            (layer.integer(7), layer.integer(8))]  # fmt: skip
    for axis, (before, after) in enumerate(pads[: len(out)]):
        out[len(out) - 1 - axis] += before + after
    if min(out) <= 0:
        raise MisfitError(f"padding to {out}")
    return [tuple(out)]


def reduction(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    source = shapes[0]
    axes = {_axis(a, len(source)) for a in layer.integers(3)}
    if layer.integer(1, 1) or not axes:
        axes = set(range(len(source)))
    if layer.integer(4):
        return [tuple(1 if i in axes else s for i, s in enumerate(source))]
    return [tuple(s for i, s in enumerate(source) if i not in axes) or (1,)]


def prior_box(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    smallest = len(layer.arrays.get(0, ()))
    ratios = len(layer.arrays.get(2, ())) * (2 if layer.integer(7, 1) else 1)
    boxes = smallest * (1 + ratios) + len(layer.arrays.get(1, ()))
    return [(2, 4 * prod(shapes[0][-2:]) * boxes)]


def detections(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    # as many as were found: at most keep_top_k where the layer has one
    return [(layer.integer(3, 100) if layer.op == "DetectionOutput" else 100, 6)]


def shuffle_pixels(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    c, h, w = _exactly_3(shapes[0])
    factor = max(1, layer.integer(0, 1))
    if layer.op == "PixelShuffle":
        return [(c // factor**2, h * factor, w * factor)]
    return [(c * factor**2, h // factor, w // factor)]


def _exactly_3(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise MisfitError(f"three axes expected, not {list(shape)}")
    return shape[0], shape[1], shape[2]


def recurrent(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    both = 2 if layer.integer(2) == 2 else 1
    hidden = layer.integer(0)
    states = (hidden, layer.integer(3, hidden))
    return [(*shapes[0][:-1], hidden * both)] + [(both, s) for s in states[: len(layer.outputs) - 1]]


def squeeze(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    return [tuple(s for s in shapes[0] if s != 1) or (1,)]


def expand(layer: Layer, shapes: list[Shape]) -> list[Shape] | None:
    out = list(shapes[0])
    for axis in sorted(a if a >= 0 else a + len(out) + 1 for a in layer.integers(3)):
        out.insert(axis, 1)
    return [tuple(out)]
