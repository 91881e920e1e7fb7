"""ncnn graphs as workloads: exact counts, shapes with and without hints, hostile text, published networks."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_models.ncnn_arrange import MisfitError
from cost_models.ncnn_shapes import infer
from cost_models.ncnn_text import Layer, hints, parse
from cost_models.read import read_workload
from cost_models.read_ncnn import read_ncnn
from cost_models.workload import KINDS
from specs.errors import ModelFileError

NETWORK = """7767517
11 13
Input                 in      0 1 data 0=16 1=12 2=3
Convolution           stem    1 1 data stem 0=8 1=3 11=3 3=2 4=1 5=1 6=216 9=1
Split                 split   1 2 stem a b
ConvolutionDepthWise  dw      1 1 a dw 0=8 1=3 4=1 5=1 6=72 7=8 9=3 -23310=2,0.0,6.0
Convolution           pw      1 1 dw pw 0=8 1=1 5=0 6=64
BinaryOp              sum     2 1 pw b sum 0=0
Pooling               pool    1 1 sum pool 0=1 4=1
InnerProduct          fc      1 1 pool fc 0=4 1=1 2=32
Dropout               drop    1 1 fc drop
Softmax               prob    1 1 drop prob
Noop                  end     1 1 prob out
"""


def network(*layers: str, first: str = "Input in 0 1 x 0=8 1=8 2=4") -> bytes:
    lines = [first, *layers]
    return "\n".join(["7767517", f"{len(lines)} {2 * len(lines)}", *lines, ""]).encode()


def test_counts_kinds_and_shapes_are_exact() -> None:
    work = read_ncnn(NETWORK.encode(), "small")
    assert [op.kind for op in work.operators] == [
        "conv", "dwconv", "conv", "add", "global-avg-pool", "dense", "softmax",
    ]  # fmt: skip
    assert [op.macs for op in work.operators] == [6 * 8 * 216, 6 * 8 * 72, 6 * 8 * 64, 0, 0, 32, 0]
    assert work.params == (216 + 8) + (72 + 8) + 64 + (32 + 4)
    assert work.weight_bytes == 4 * work.params
    stem, depthwise = work.operators[:2]
    assert (stem.kernel, stem.stride, stem.activation, stem.op) == ((3, 3), (2, 2), "relu", "Convolution")
    assert (depthwise.groups, depthwise.activation) == (8, "relu6")
    assert work.tensors[work.inputs[0]].shape == (12, 16, 3)
    assert work.tensors[stem.outputs[0]].shape == (6, 8, 8)
    assert work.tensors[work.outputs[0]].shape == (4,)
    assert stem.outputs == depthwise.inputs == work.operators[3].inputs[1:]
    assert (work.precision, work.format, work.name, work.file_bytes) == ("fp32", "ncnn", "small", None)
    assert work.unknown_ops == ()


def test_int8_layers_hold_bytes_and_float_biases() -> None:
    work = read_ncnn(network("Convolution c 1 1 x y 0=8 1=3 4=1 5=1 6=288 8=102"))
    assert (work.precision, work.weight_bytes) == ("int8", 288 + 4 * 8)
    assert work.tensors[work.outputs[0]].bits == 8


def test_grouped_and_transposed_convolutions() -> None:
    grouped = read_ncnn(network("ConvolutionDepthWise c 1 1 x y 0=8 1=1 6=16 7=2"))
    assert (grouped.operators[0].kind, grouped.operators[0].groups, grouped.macs) == ("conv", 2, 64 * 16)
    turned = read_ncnn(network("Deconvolution c 1 1 x y 0=2 1=4 3=2 4=1 6=128"))
    assert turned.tensors[turned.outputs[0]].shape == (16, 16, 2)
    assert turned.macs == 64 * 128


def test_attention_counts_projections_and_products() -> None:
    lines = ("MultiHeadAttention m 1 1 x y 0=16 1=4 2=256",)
    work = read_ncnn(network(*lines, first="Input in 0 1 x 0=16 1=10"))
    assert work.operators[0].kind == "matmul"
    assert work.macs == 4 * 10 * 16 * 16 + 2 * 10 * 10 * 16
    assert work.params == 4 * 256 + 4 * 16


def test_sequences_are_channels_last() -> None:
    work = read_ncnn(network("Convolution1D c 1 1 x y 0=6 1=3 4=1 6=72", first="Input in 0 1 x 0=50 1=4"))
    assert work.tensors[work.inputs[0]].shape == (50, 4)
    assert work.tensors[work.outputs[0]].shape == (50, 6)
    assert work.macs == 50 * 72


def test_hints_are_taken_where_the_layer_tells_nothing() -> None:
    work = read_ncnn(network("Fancy f 1 1 x y -23330=4,3,5,6,7"))
    assert work.tensors[work.outputs[0]].shape == (6, 5, 7)
    assert work.unknown_ops == ("Fancy",)
    assert work.operators[0].kind == "other"
    without = read_ncnn(network("Fancy f 1 1 x y"))
    assert without.tensors[without.outputs[0]].shape == (8, 8, 4)


def test_another_input_size_replaces_the_files() -> None:
    assert read_ncnn(NETWORK.encode(), input_shape=(24, 32, 3)).operators[0].macs == 12 * 16 * 216


def test_an_input_without_a_size_is_found_or_assumed_and_said() -> None:
    tokens = ("MemoryData p 0 1 p 0=8 1=50", "Convolution c 1 1 x c 0=8 1=32 3=32 6=24576",
              "Reshape r 1 1 c r 0=-1 1=8", "Permute t 1 1 r t 0=1", "Concat j 2 1 k t j 0=0",
              "BinaryOp a 2 1 j p y 0=0")  # fmt: skip
    found = read_ncnn(network("MemoryData k 0 1 k 0=8 1=1", *tokens, first="Input in 0 1 x"))
    assert found.tensors[found.inputs[0]].shape == (224, 224, 3)  # 49 patches and a token: no other size has 50
    assert found.unknown_ops == ()
    open_size = read_ncnn(network("Convolution c 1 1 x y 0=8 1=3 4=1 6=216", first="Input in 0 1 x"))
    assert "no size in the file" in open_size.unknown_ops[0]
    with pytest.raises(ModelFileError, match="0=WIDTH 1=HEIGHT"):
        read_ncnn(network("ReLU r 1 1 x y", first="Input in 0 1 x"))


def test_weights_beside_the_file_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_text(NETWORK)
    assert read_workload(path).file_bytes is None
    (tmp_path / "net.bin").write_bytes(bytes(1000))
    assert read_workload(path).file_bytes == len(NETWORK) + 1000


def test_text_is_told_by_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "model").write_text(NETWORK)
    assert read_workload(tmp_path / "model").format == "ncnn"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "empty"),
        (b"hello", "not an ncnn graph"),
        (b"7767517\n", "number of layers"),
        (b"7767517\nx y\n", "number of layers"),
        (b"7767517\n9 9\nInput a 0 1 a 0=1\n", "truncated"),
        (network("ReLU r 1 1 gone y"), "before it is written"),
        (network("Add r 1 1 y z", "ReLU s 1 1 z y"), "before it is written"),
        (network("ReLU r 1 1 x x"), "already written"),
        (network("ReLU r 1 1 x y", "ReLU s 1 1 x y"), "already written"),
        (network("ReLU r 9 9 x y"), "fewer blobs"),
        (network("ReLU r 1 1 x y 0=nan"), "absurd"),
        (network("Convolution c 1 1 x y 0=99999999999999 1=1 6=4"), "absurd"),
        (network("ReLU r 1 1 x y", first="Input in 0 1 x 0=2000000000 1=2000000000 2=9"), "absurd"),
        (network("ReLU r 1 1 x y", first="Input in 0 1 x 0=-5 1=4 2=3"), "its size"),
        (network("Convolution c 1 1 x y 0=8 1=30 6=28800"), "do not fit together"),
        (network("Convolution c 1 1 x y 0=8 1=3 6=99"), "do not fit together"),
        (network("Reshape r 1 1 x y 0=7"), "do not fit together"),
        (network("Slice s 1 1 x y -23300=9,1"), "as long as it says"),
        (network("Crop c 1 1 x y 3=-900"), "do not fit|allowed"),
        (network("ReLU r 1 1 x y zero=1"), "not a readable"),
        (network("Split s 1 1 x y"), "no layers that compute"),
    ],
)  # fmt: skip
def test_broken_graphs_are_one_clear_line(tmp_path: Path, text: bytes, what: str) -> None:
    path = tmp_path / "broken.param"
    path.write_bytes(text)
    if what == "do not fit|allowed":
        read_workload(path)  # a size below zero counts as not given
        return
    with pytest.raises(ModelFileError, match=what) as caught:
        read_workload(path)
    assert "\n" not in str(caught.value)
    assert "broken.param" in str(caught.value)


def test_hostile_sizes_take_no_memory(tmp_path: Path) -> None:
    claims = [
        b"7767517\n999999999 999999999\nInput a 0 1 a 0=1\n",
        b"7767517\n" + b"9 " * 4_000_000,
        b"7767517\n2 2\nInput a 0 1 a 0=1\n" + b"x" * 4_000_000,
        b"7767517\n300000 2\n" + b"Input a 0 1 a\n" * 300_000,
        network("Slice s 1 900000000 x y"),
        network("Interp i 1 1 x y 1=1e30 2=1e30"),
    ]
    tracemalloc.start()
    for claim in claims:
        path = tmp_path / "claim.param"
        path.write_bytes(claim)
        with pytest.raises(ModelFileError):
            read_workload(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.integers(0, 2000),
)
def test_damaged_files_never_raise_anything_else(tmp_path: Path, places: list[tuple[int, int]], keep: int) -> None:
    data = bytearray(NETWORK.encode())
    for place, value in places:
        data[place % len(data)] = value
    (tmp_path / "damaged.param").write_bytes(bytes(data[: max(keep, 8)]))
    try:
        work = read_workload(tmp_path / "damaged.param")
    except ModelFileError:
        return
    assert all(op.kind in KINDS and op.macs >= 0 and op.params >= 0 for op in work.operators)


def test_every_published_network_reads_with_its_published_counts(published: Path) -> None:
    features = published.parent / "measurements" / "ncnn_model_features.csv"
    with features.open(newline="", encoding="utf-8") as file:
        counts = {
            r["model_variant"]: (int(r["macs_computed"]), int(r["params_computed"])) for r in csv.DictReader(file)
        }
    paths = sorted((published / "ncnn_param").glob("*.param"))
    assert len(paths) == 35
    wrong = []
    for path in paths:
        work = read_workload(path)
        name = path.stem.split("__")[-1]
        assert work.precision == ("int8" if "int8" in name else "fp32")
        if (work.macs, work.params) != counts[name]:
            wrong.append(name)
    # the table leaves constant data and attention out
    assert wrong == ["efficientnetv2_b0", "vision_transformer"]


def test_inferred_shapes_are_those_the_published_files_note(published: Path) -> None:
    checked = 0
    for path in sorted((published / "ncnn_param").glob("*.param")):
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in parse(path.read_bytes()):
            noted = hints(layer)
            if len(noted) == len(layer.outputs):
                shapes.update(zip(layer.outputs, noted, strict=True))
            if layer.inputs and noted and "Detection" not in layer.op:
                assert infer(layer, [shapes[i] for i in layer.inputs]) == noted
                checked += 1
    assert checked > 2000


def test_shape_rules_refuse_what_does_not_fit() -> None:
    def layer(op: str, **numbers: float) -> Layer:
        return Layer(op, "l", ("a", "b"), ("y",), {int(k[1:]): v for k, v in numbers.items()}, {})

    for bad, shapes in (
        (layer("BinaryOp"), [(4, 8, 8), (4, 7, 8)]),
        (layer("Concat", _0=1), [(4, 8, 8), (3, 8, 8)]),
        (layer("Concat", _0=5), [(4, 8, 8)]),
        (layer("PixelShuffle", _0=2), [(4, 8)]),
        (layer("Pooling", _1=3, _2=0), [(4, 8, 8)]),
    ):
        with pytest.raises(MisfitError):
            infer(bad, shapes)
