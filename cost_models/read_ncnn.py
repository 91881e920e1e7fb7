"""ncnn `.param` graphs as workloads: shapes from the file's hints or from the layers' arithmetic."""

from __future__ import annotations

from math import prod
from pathlib import Path

from cost_models.ncnn_arrange import MisfitError
from cost_models.ncnn_counts import ACTIVATIONS, KINDS_BY_OP, by_parameters, kind_of, macs, parameters, weighted
from cost_models.ncnn_shapes import infer, kernel, stride
from cost_models.ncnn_text import SHAPE_HINTS, Layer, Shape, given, hints, parse
from cost_models.read_common import Tensors, checked_shape, precision_of, read_bounded
from cost_models.workload import Operator, Tensor, Workload
from specs.errors import ModelFileError

COMMON_SIDES = (224, 352, 320, 416, 640, 384, 256, 227, 299, 300, 448, 512, 608, 192, 160, 128, 112, 96, 64, 48, 32, 28)
"""Sides tried where the file does not say how large its input is; the first is what classifiers are trained at."""
MOST_TRIED = 5000
"""Layers of the longest graph whose input size is looked for."""
DETECTOR_SIDE = 352
"""The size at which ncnn's own benchmark runs detectors whose files do not tell one."""
FREE = ("Input", "Split", "Noop", "Dropout", "MemoryData")
"""Layers that compute and copy nothing: ncnn hands the same blob on, by reference."""


def read_ncnn(source: Path | bytes, name: str = "", input_shape: Shape | None = None) -> Workload:
    """The workload of an ncnn text graph.

    `input_shape` (height, width, channels; or as many axes as the file's input has) replaces the size in the file.
    Where neither tells it, the one size of COMMON_SIDES that fits the graph is taken, or the usual one where many fit,
    which `unknown_ops` then says. Weights next to the file (`.bin`) are counted, not read.

    Raises:
        ModelFileError: not an ncnn graph, inconsistent, absurd, or of shapes known at run time only.
    """
    path = source if isinstance(source, Path) else None
    data = read_bounded(source) if isinstance(source, Path) else source
    try:
        layers = parse(data)
        assumed = ""
        if input_shape is None and (size := _unsized(layers)):
            input_shape, assumed = size
        graph = _Graph(layers, input_shape)
        return graph.workload(name or (path.stem if path else "ncnn"), _file_bytes(path, data), assumed)
    except MisfitError as error:
        raise ModelFileError("shapes do not fit together", seen=str(error)[:100],
                             next="write the input's size as `0=WIDTH 1=HEIGHT 2=CHANNELS` of its Input layer",
                             ) from None  # fmt: skip
    except (ValueError, OverflowError, IndexError, ZeroDivisionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError("not a readable ncnn file", seen=str(error)[:100], next="convert it again") from None


def _file_bytes(path: Path | None, data: bytes) -> int | None:
    """Graph and weights together, where the weights lie beside the graph."""
    weights = path.with_suffix(".bin") if path is not None else None
    return len(data) + weights.stat().st_size if weights is not None and weights.is_file() else None


def _unsized(layers: list[Layer]) -> tuple[Shape, str] | None:
    """A size for an input that states none (height, width, channels), and how it was come by; None where it does."""
    inputs = [layer for layer in layers if layer.op == "Input"]
    if (
        len(layers) > MOST_TRIED
        or len(inputs) != 1
        or given(inputs[0])
        or SHAPE_HINTS in inputs[0].arrays
        or not inputs[0].outputs
    ):
        return None
    blob = inputs[0].outputs[0]
    first = next((x for x in layers if blob in x.inputs and x.op.startswith("Convolution")), None)
    if first is None or first.op.endswith(("1D", "3D")):
        return None
    window = prod(kernel(first)) * max(1, first.integer(0))
    channels = max(1, first.integer(6) * max(1, first.integer(7, 1)) // window) if window > 0 else 3
    fitting = []
    ranks = {}
    insides = set()
    for side in COMMON_SIDES:
        try:
            graph = _Graph(layers, (side, side, channels))
        except (MisfitError, ModelFileError):
            continue
        fitting.append(side)
        insides.add(tuple(shape for name, shape in graph.shapes.items() if name != blob))
        ranks[side] = max((len(graph.shapes[o]) for o in graph.ends()), default=1)
    if not fitting:
        return None
    side = fitting[0]
    if len(fitting) > 1 and DETECTOR_SIDE in fitting and ranks[DETECTOR_SIDE] > 1:
        side = DETECTOR_SIDE
    shape = (side, side, channels)
    return shape, "" if len(insides) == 1 else f"Input (no size in the file, taken as {side}x{side}x{channels})"


class _Graph:
    """Layers with the shape of every blob, which constants, which the same under another name."""

    def __init__(self, layers: list[Layer], input_shape: Shape | None) -> None:
        self.layers = layers
        self.shapes: dict[str, Shape] = {}
        self.alias: dict[str, str] = {}
        self.constants: set[str] = set()
        self.along = any(layer.op.endswith("1D") for layer in layers)
        """Whether two axes are channels and length rather than rows and features."""
        trusted = input_shape is None
        for layer in layers:
            for blob in layer.inputs:
                if blob not in self.shapes:
                    raise ModelFileError(f"layer {layer.name!r} reads {blob[:80]!r} before it is written",
                                         next="convert again: layers must come in execution order")  # fmt: skip
            found = self._shapes_of(layer, input_shape, trusted)
            if len(set(layer.outputs)) != len(layer.outputs) or any(o in self.shapes for o in layer.outputs):
                raise ModelFileError(f"layer {layer.name!r} writes a blob that is already written",
                                     seen=list(layer.outputs[:4]))  # fmt: skip
            for blob, shape in zip(layer.outputs, found, strict=True):
                self.shapes[blob] = checked_shape(shape, blob[:80])
                if layer.op == "MemoryData":
                    self.constants.add(blob)
                elif layer.op in FREE and layer.inputs:
                    self.alias[blob] = self.real(layer.inputs[0])

    def _shapes_of(self, layer: Layer, input_shape: Shape | None, trusted: bool) -> list[Shape]:
        count = len(layer.outputs)
        if layer.op == "Input" and input_shape is not None and count == 1:
            return [_channels_first(input_shape, self.along)]
        noted = hints(layer) if trusted or not layer.inputs else []
        if layer.op in ("Input", "MemoryData"):
            shape = given(layer) or (noted[0] if noted else ())
            if not shape or count != 1:
                raise ModelFileError(f"{layer.op} {layer.name!r} does not state its size", seen=list(shape),
                                     next="write it as `0=WIDTH 1=HEIGHT 2=CHANNELS` behind the layer's blobs",
                                     )  # fmt: skip
            return [shape]
        if len(noted) == count:
            return noted
        found = infer(layer, [self.shapes[i] for i in layer.inputs])
        found = found if found is not None and len(found) == count else hints(layer)
        if len(found) != count:
            if layer.op in KINDS_BY_OP or not layer.inputs:
                raise ModelFileError(f"the shapes of {layer.op} {layer.name!r} are known at run time only",
                                     next="run ncnnoptimize, which notes them in the file")  # fmt: skip
            found = [self.shapes[layer.inputs[0]]] * count  # a layer of unknown kind: like its input
        return found

    def real(self, blob: str) -> str:
        return self.alias.get(blob, blob)

    def ends(self) -> list[str]:
        """Blobs that no layer reads, in order."""
        read = {self.real(i) for layer in self.layers if layer.op != "Noop" for i in layer.inputs}
        read -= {self.real(i) for layer in self.layers if layer.op == "Noop" for i in layer.inputs}
        written = {self.real(o): None for layer in self.layers for o in layer.outputs}
        return [blob for blob in written if blob not in read and blob not in self.constants]

    def workload(self, name: str, file_bytes: int | None, assumed: str) -> Workload:
        tensors = Tensors()
        unknown = dict.fromkeys([assumed] if assumed else [])
        operators: list[Operator] = []
        bits: list[int] = []
        inputs = [layer.outputs[0] for layer in self.layers if layer.op == "Input"]
        for blob in inputs:
            tensors.add(blob, Tensor(self._plain(blob)))
        read_once: set[str] = set()
        for layer in self.layers:
            if layer.op in FREE:
                continue
            reads = list(dict.fromkeys(self.real(i) for i in layer.inputs))
            held = [i for i in reads if i in self.constants and i not in read_once]
            read_once.update(held)
            ins = tuple(tensors.add(i, Tensor(self._plain(i))) for i in reads if i not in self.constants)
            # above 100: the result is quantized again for the int8 layer behind it
            out_bits = 8 if layer.integer(8) > 100 and weighted(layer) else 32
            outs = tuple(tensors.add(o, Tensor(self._plain(o), out_bits)) for o in layer.outputs)
            if layer.op not in KINDS_BY_OP and not by_parameters(layer):
                unknown[layer.op] = None
            operator, weight_bits = self._operator(layer, ins, outs, sum(prod(self.shapes[c]) for c in held))
            operators.append(operator)
            bits.append(weight_bits)
        if not operators:
            raise ModelFileError("the file has no layers that compute")
        return Workload(
            name=name,
            tensors=tensors.all(),
            operators=tuple(operators),
            inputs=tuple(tensors.index(i) for i in inputs),
            outputs=tuple(tensors.index(o) for o in self.ends() if o in tensors),
            precision=precision_of(operators, bits),
            format="ncnn",
            file_bytes=file_bytes,
            unknown_ops=tuple(unknown),
        )

    def _plain(self, blob: str) -> Shape:
        shape = self.shapes[blob]
        if len(shape) > 2 or (len(shape) == 2 and self.along):
            return (*shape[1:], shape[0])
        return shape

    def _operator(self, layer: Layer, ins: tuple[int, ...], outs: tuple[int, ...], held: int) -> tuple[Operator, int]:
        shapes = [self.shapes[i] for i in layer.inputs]
        out = self.shapes[layer.outputs[0]] if layer.outputs else ()
        kind = kind_of(layer, shapes)
        weights, others = parameters(layer)
        weight_bits = 8 if layer.integer(8) and weighted(layer) else 32
        groups = max(1, layer.integer(7, 1)) if "DepthWise" in layer.op else 1
        windowed = kind in ("conv", "dwconv", "avg-pool", "max-pool")
        sides = kernel(layer) if windowed else ()
        if windowed and layer.op.startswith("Pooling") and layer.integer(7):
            sides = tuple(max(1, a // max(1, b)) for a, b in zip(shapes[0][1:], out[1:], strict=False))
        fused = ACTIVATIONS[layer.integer(9)] if weighted(layer) and 0 <= layer.integer(9) < len(ACTIVATIONS) else ""
        if fused == "clip" and layer.arrays.get(10) == (0.0, 6.0):
            fused = "relu6"
        return Operator(
            kind, layer.name, ins, outs, macs(layer, shapes, out), weights + others + held,
            weights * weight_bits // 8 + 4 * (others + held), sides, stride(layer) if windowed else (), groups, fused,
            layer.op,
        ), weight_bits if weights else 0  # fmt: skip


def _channels_first(shape: Shape, along: bool) -> Shape:
    return (shape[-1], *shape[:-1]) if len(shape) > 2 or (len(shape) == 2 and along) else tuple(shape)
