"""What networks are made of, drawn at random: the product's own families and the blocks of published ones."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from advisor.calibrate.graph import Graph, Sketch, of_network
from advisor.space.search_space import load_family

OWN = ("dscnn", "mobilenet", "resnet", "tcn")
SHAPES = {
    "dscnn": ((8, 8, 1), (49, 10, 1), (32, 32, 3), (64, 64, 1), (96, 96, 3), (128, 128, 3), (160, 160, 3),
              (224, 224, 3)),
    "mobilenet": ((8, 8, 1), (32, 32, 3), (48, 48, 3), (64, 64, 3), (96, 96, 3), (128, 128, 3), (160, 160, 3)),
    "resnet": ((8, 8, 1), (32, 32, 3), (48, 48, 1), (64, 64, 3), (96, 96, 3), (128, 128, 3), (224, 224, 3)),
    "tcn": ((64, 3), (128, 6), (256, 3), (512, 9), (1024, 1), (49, 10, 1)),
}  # fmt: skip
"""Input shapes own families are searched with, small to large."""
SMALL, LARGE = (32, 48, 64, 80, 96), (96, 112, 128, 160, 192, 224)


def own(family: str, rng: Random, shape: tuple[int, ...] | None = None) -> Graph:
    """A random network of an own family, as the search would draw it."""
    builder = load_family(family)
    shape = shape or rng.choice(SHAPES[family])
    params = {d.name: rng.choice(d.grid()) for d in builder.dimensions(shape)}
    return of_network(builder.build(params, shape, rng.choice((2, 4, 10, 35, 100))), family)


def inverted(rng: Random, size: int, *, gate: bool, act: str) -> Graph:
    """Inverted residuals of mixed kernels, with squeeze-excite where `gate`."""
    s = Sketch("inverted", (size, size, 3))
    width = rng.choice((0.35, 0.5, 0.75, 1.0))
    s.conv(_round(32 * width), 3, 2, act)
    stages = rng.sample(((24, 4), (40, 6), (80, 3), (112, 6), (160, 4), (192, 6)), rng.choice((3, 4, 5, 6)))
    for i, (channels, expansion) in enumerate(sorted(stages)):
        for j in range(rng.choice((1, 2, 3, 4))):
            source, before = s.last, s.channels
            s.conv(_round(before * expansion), act=act)
            s.dwconv(rng.choice((3, 3, 5, 7)), 2 if j == 0 and i < 4 else 1, act)
            if gate and rng.random() < 0.7:
                s.squeeze_excite(
                    _round(s.channels / rng.choice((4, 8, 24))), "relu", rng.choice(("sigmoid", "hard-sigmoid"))
                )
            s.conv(_round(channels * width), act="")
            if s.shape() == s.shape(source):
                s.join(source, s.last)
    s.conv(_round(rng.choice((320, 640, 960, 1280)) * max(width, 0.5)), act=act)
    return s.head(rng.choice((10, 100, 1000)), rng.choice((0, 0, 512, 1024)), act)


def separable(rng: Random, size: int, act: str) -> Graph:
    """Depthwise-separable convolutions of growing width, as in the first MobileNet."""
    s = Sketch("separable", (size, size, 3))
    width = rng.choice((0.25, 0.5, 0.75, 1.0))
    s.conv(_round(32 * width), 3, 2, act)
    for channels, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (1024, 2)):
        if rng.random() < 0.9 or stride == 2:
            s.dwconv(rng.choice((3, 3, 5)), stride, act)
            s.conv(_round(channels * width), act=act)
    return s.head(rng.choice((10, 1000)))


def residual(rng: Random, size: int) -> Graph:
    """Basic residual blocks behind a large stem and a max-pool."""
    s = Sketch("residual", (size, size, 3))
    width = rng.choice((16, 24, 32, 48, 64))
    s.conv(width, rng.choice((3, 7)), 2)
    s.add_op("max-pool", kernel=(3, 3), stride=2)
    for i in range(rng.choice((3, 4, 4))):
        for j in range(rng.choice((1, 2, 2))):
            source, out, stride = s.last, width * 2**i, 2 if i and not j else 1
            s.conv(out, 3, stride)
            last = s.conv(out, 3, act="")
            if s.shape(source) != s.shape():
                s.last = source
                source = s.conv(out, 1, stride, "")
            s.join(source, last, "relu")
    return s.head(rng.choice((10, 100, 1000)))


def bottleneck(rng: Random, size: int, *, grouped: bool) -> Graph:
    """Bottlenecks, with grouped 3×3 convolutions where `grouped`."""
    s = Sketch("grouped" if grouped else "bottleneck", (size, size, 3))
    s.conv(rng.choice((16, 24, 32, 64)), rng.choice((3, 7)), 2)
    if rng.random() < 0.5:
        s.add_op("max-pool", kernel=(3, 3), stride=2)
    group = rng.choice((8, 16, 24, 32))
    for i in range(rng.choice((2, 3, 4, 4))):
        for j in range(rng.choice((1, 2, 3))):
            source, stride = s.last, 2 if not j else 1
            middle = group * rng.choice((2, 3, 4)) * 2 ** min(i, 2) if grouped else rng.choice((16, 24, 32, 64)) * 2**i
            out = middle if grouped else middle * 4
            s.conv(middle)
            s.conv(middle, 3, stride, groups=middle // group if grouped else 1)
            if grouped and rng.random() < 0.3:
                s.squeeze_excite(max(4, s.channels // 4))
            last = s.conv(out, act="")
            if s.shape(source) != s.shape():
                s.last = source
                source = s.conv(out, 1, stride, "")
            s.join(source, last, "relu")
    return s.head(rng.choice((10, 1000)))


def plain(rng: Random, size: int) -> Graph:
    """Convolutions and pools in a row, a dense head on the flattened map."""
    s = Sketch("plain", (size, size, rng.choice((1, 3))))
    width = rng.choice((8, 12, 16, 24, 32))
    for i in range(rng.choice((2, 3, 4))):
        for _ in range(rng.choice((1, 2))):
            s.conv(width * 2**i, rng.choice((3, 3, 5)))
        s.add_op(rng.choice(("max-pool", "max-pool", "avg-pool")), kernel=(2, 2), stride=2)
    if s.shape()[0] <= 8:
        s.add_op("flatten")
    return s.head(rng.choice((2, 10)), rng.choice((32, 64, 128, 256)))


def autoencoder(rng: Random, _: int) -> Graph:
    """Dense layers only, as anomaly detection uses."""
    s = Sketch("dense", (rng.choice((64, 128, 320, 640, 1024)),))
    width = rng.choice((32, 64, 128, 256))
    for out in (width, width, rng.choice((width, 4 * width)), 8, width, width):
        s.add_op("dense", out=out, act="relu")
    return s.head(s.shape("input")[-1])


def concatenated(rng: Random, size: int) -> Graph:
    """Branches that are concatenated: cheap copies by depthwise convolutions, fire modules, pyramids."""
    s = Sketch("concatenated", (size, size, 3))
    act = rng.choice(("relu", "relu", "silu"))
    s.conv(rng.choice((16, 24, 32)), 3, 2, act)
    for i in range(rng.choice((3, 4, 5))):
        half = rng.choice((8, 12, 16, 24, 32)) * (i + 1)
        first = s.conv(half, act=act)
        second = s.dwconv(rng.choice((3, 5)), act=act) if rng.random() < 0.6 else s.conv(half, 3, act=act)
        s.add_op("concat", first, second)
        if i % 2 == 0:
            s.dwconv(3, 2, "")
    if rng.random() < 0.4:
        s.add_op("resize", factor=2)
        s.conv(rng.choice((16, 32)), 3, act=act)
    return s.head(10)


def split(rng: Random, size: int) -> Graph:
    """Channels computed in parts: depthwise kernels of several sizes, or half of the channels made of the others."""
    s = Sketch("split", (size, size, 3))
    ghost, act = rng.random() < 0.5, rng.choice(("relu", "relu", "silu"))
    width = rng.choice((0.5, 0.75, 1.0))
    s.conv(16, 3, 2, act)
    for i, channels in enumerate((24, 40, 80, 112)[: rng.choice((3, 4))]):
        for j in range(rng.choice((1, 2, 3))):
            source, out = s.last, _round(channels * width)
            middle = _round(s.channels * rng.choice((3, 4, 6))) // 2 * 2
            stride = 2 if j == 0 and i < 4 else 1
            if ghost:
                _ghost(s, middle, act)
                if stride > 1:
                    s.dwconv(3, stride, "")
                if rng.random() < 0.4:
                    s.squeeze_excite(_round(s.channels / 4), "relu", "hard-sigmoid")
                _ghost(s, out, "")
            else:
                whole, count = s.conv(middle, act=act), rng.choice((2, 3, 4))
                each = middle // count
                parts = []
                for k in range(count):
                    s.add_op("slice", whole, out=each if k else middle - each * (count - 1),
                             factor=middle - each * (count - k) if k else 0)  # fmt: skip
                    parts.append(s.dwconv(3 + 2 * k, stride, ""))
                s.add_op("concat", *parts)
                s.act(act)
                s.conv(out, act="")
            if s.shape(source) == s.shape():
                s.join(source, s.last)
    s.conv(rng.choice((320, 640, 960)), act=act)
    return s.head(rng.choice((10, 1000)))


def _ghost(s: Sketch, out: int, act: str) -> str:
    first = s.conv(out // 2, act=act)
    s.add_op("concat", first, s.dwconv(3, 1, act))
    return s.add_op("slice", out=out // 2 * 2, factor=0)


def modern(rng: Random, size: int) -> Graph:
    """Large depthwise kernels with normalisation over channels and GELU between dense layers."""
    s = Sketch("modern", (size, size, 3))
    width = rng.choice((24, 32, 40, 48, 64))
    s.conv(width, 5, 4, "")
    for i in range(rng.choice((2, 3))):
        for _ in range(rng.choice((1, 2))):
            source = s.last
            s.dwconv(7, 1, "")
            s.add_op("norm")
            s.add_op("dense", out=4 * s.channels)
            s.act("gelu")
            s.add_op("dense", out=s.shape(source)[-1])
            s.join(source, s.last)
        if i < 1:
            s.add_op("norm")
            s.conv(width * 2, 3, 2, "")
    return s.head(rng.choice((10, 1000)))


def transformer(rng: Random, size: int) -> Graph:
    """Patches, then blocks of attention and dense layers."""
    s = Sketch("transformer", (size, size, 3))
    heads = rng.choice((2, 3, 4))
    width = heads * rng.choice((16, 32, 64))
    patch = 16 if size > 64 else 8
    s.add_op("conv", out=width, kernel=(patch, patch), stride=patch)
    s.add_op("tokens")
    for _ in range(rng.choice((1, 2, 3))):
        source = s.last
        normed = s.add_op("norm")
        parts = []
        for _ in range(3):
            s.add_op("dense", normed, out=width)
            parts.append(s.add_op("heads", factor=heads))
        s.add_op("scores", parts[0], parts[1])
        s.add_op("softmax")
        s.add_op("mix", s.last, parts[2])
        s.add_op("merge")
        s.add_op("dense", out=width)
        source = s.join(source, s.last)
        s.add_op("norm")
        s.add_op("dense", out=4 * width)
        s.act("gelu")
        s.add_op("dense", out=width)
        s.join(source, s.last)
    s.add_op("norm")
    return s.head(10)


def generic(rng: Random) -> dict[str, Callable[[], Graph]]:
    """The structures of published networks by family, each drawing its sizes from `rng` when called."""

    def size() -> int:
        return rng.choice(SMALL + LARGE)

    return {
        "inverted": lambda: inverted(rng, size(), gate=False, act=rng.choice(("relu", "relu6"))),
        "inverted gated": lambda: inverted(rng, size(), gate=True, act=rng.choice(("relu", "silu"))),
        "inverted hard": lambda: inverted(rng, size(), gate=rng.random() < 0.7, act="hard-swish"),
        "separable": lambda: separable(rng, size(), rng.choice(("relu", "relu6", "hard-swish"))),
        "residual": lambda: residual(rng, size()),
        "bottleneck": lambda: bottleneck(rng, size(), grouped=False),
        "grouped": lambda: bottleneck(rng, size(), grouped=True),
        "plain": lambda: plain(rng, rng.choice(SMALL)),
        "dense": lambda: autoencoder(rng, 0),
        "concatenated": lambda: concatenated(rng, size()),
        "split": lambda: split(rng, size()),
        "modern": lambda: modern(rng, size()),
        "transformer": lambda: transformer(rng, size()),
    }


def _round(value: float) -> int:
    return max(8, int(value + 4) // 8 * 8)
