"""The networks that `cost_host.py` times: own families at other seeds, timm, Keras applications, published files."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from advisor.calibrate import design, structures
from advisor.model import BuiltModel
from advisor.network.description import Network
from advisor.space.search_space import load_family
from cost_models.read import read_workload

SEED = 9001
OWN_EACH = 8
TIMM = (
    ("mobilenetv2_050", (96, 160, 224)), ("mobilenetv2_100", (128, 224)), ("mobilenetv3_small_050", (96, 224)),
    ("mobilenetv3_small_100", (128, 224)), ("mobilenetv3_large_100", (160,)), ("efficientnet_lite0", (128, 224)),
    ("resnet10t", (96, 176)), ("resnet18", (96, 160)), ("resnet26", (128,)), ("regnetx_002", (128, 224)),
    ("regnety_002", (128,)), ("mnasnet_small", (96, 224)), ("ghostnet_100", (128,)), ("lcnet_035", (96, 224)),
    ("lcnet_050", (128,)), ("lcnet_100", (160,)), ("tinynet_e", (106,)), ("tinynet_d", (152,)), ("tinynet_c", (184,)),
    ("efficientnet_b0", (128,)), ("mixnet_s", (128,)), ("convnext_atto", (96,)), ("vit_tiny_patch16_224", (224,)),
    ("semnasnet_050", (128,)), ("fbnetc_100", (128,)), ("hardcorenas_a", (128,)),
)  # fmt: skip
KERAS = (
    ("MobileNet", {"alpha": 0.25}, (96, 160)), ("MobileNet", {"alpha": 0.5}, (128, 224)),
    ("MobileNet", {"alpha": 1.0}, (128,)),
    ("MobileNetV2", {"alpha": 0.35}, (96, 160)), ("MobileNetV2", {"alpha": 0.5}, (128, 224)),
    ("MobileNetV2", {"alpha": 1.0}, (160,)), ("MobileNetV3Small", {"alpha": 0.75}, (96, 160)),
    ("MobileNetV3Small", {"alpha": 1.0, "minimalistic": True}, (128, 224)),
    ("MobileNetV3Large", {"alpha": 0.75}, (128,)),
    ("EfficientNetB0", {}, (96, 160)), ("NASNetMobile", {}, (96,)), ("ResNet50", {}, (96,)), ("DenseNet121", {}, (96,)),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network to be tested: its name, family, precision, and how to write its file."""

    name: str
    family: str
    precision: str
    write: Callable[[Path], None]


def all_cases(runtime: str, folders: list[Path]) -> Iterator[Case]:
    for precision in design.PRECISIONS:
        yield from own_cases(runtime, precision)
        yield from timm_cases(precision) if runtime == "onnxruntime" else keras_cases(precision)
    if runtime == "litert":
        for folder in folders:
            for path in sorted(folder.glob("*.tflite")):
                precision = read_workload(path).precision
                if precision in design.PRECISIONS:
                    yield Case(path.stem[-60:], folder.name, precision, partial(_copied, path))


def _copied(source: Path, out: Path) -> None:
    out.write_bytes(source.read_bytes())


def own_cases(runtime: str, precision: str) -> Iterator[Case]:
    rng = random.Random(SEED)
    for family in structures.OWN:
        builder = load_family(family)
        for i in range(OWN_EACH):
            shape = structures.SHAPES[family][i % len(structures.SHAPES[family])]
            params = {d.name: rng.choice(d.grid()) for d in builder.dimensions(shape)}
            network = builder.build(params, shape, rng.choice((2, 10, 35)))
            yield Case(f"{family}-{i}-{precision}", family, precision,
                       partial(_write_own, runtime, network, precision))  # fmt: skip


def _write_own(runtime: str, network: Network, precision: str, out: Path) -> None:
    from advisor.runtimes.litert import LiteRt
    from advisor.runtimes.onnxruntime import OnnxRuntime

    rng = np.random.default_rng(0)
    weights = {}
    for layer in network.layers:
        if layer.kind in ("conv", "dwconv", "dense"):
            shape = network.kernel_shape(layer)
            weights[f"{layer.name}.kernel"] = (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(
                np.float32
            )
            weights[f"{layer.name}.bias"] = np.full(shape[0], 0.01, np.float32)
    samples = rng.normal(0.3, 1, (8, *network.input_shape)).astype(np.float32)
    classes = tuple(str(i) for i in range(network.classes))
    model = BuiltModel("model", network.input_shape, classes, precision, samples, network, weights)
    with tempfile.TemporaryDirectory() as folder:
        made = (OnnxRuntime() if runtime == "onnxruntime" else LiteRt()).export(model, Path(folder))
        out.write_bytes(made.path.read_bytes())


def timm_cases(precision: str) -> Iterator[Case]:
    for name, sizes in TIMM:
        for size in sizes:
            yield Case(f"{name}-{size}-{precision}", "timm", precision,
                       partial(_write_timm, name, size, precision))  # fmt: skip


def _write_timm(name: str, size: int, precision: str, out: Path) -> None:
    import torch

    from advisor.build.opaque import ensure_torchvision
    from advisor.runtimes.onnxruntime import OnnxRuntime

    ensure_torchvision()
    import timm

    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = timm.create_model(name, pretrained=False, num_classes=100).eval()
    samples = np.random.default_rng(0).normal(0, 1, (4, size, size, 3)).astype(np.float32)
    model = BuiltModel("model", (size, size, 3), tuple(map(str, range(100))), precision, samples, module=module)
    with tempfile.TemporaryDirectory() as folder:
        out.write_bytes(OnnxRuntime().export(model, Path(folder)).path.read_bytes())


def keras_cases(precision: str) -> Iterator[Case]:
    for name, options, sizes in KERAS:
        for size in sizes:
            label = "-".join([name, *(str(v) for v in options.values()), str(size), precision])
            yield Case(label, "keras", precision,
                       partial(_write_keras, name, options, size, precision))  # fmt: skip


def _write_keras(name: str, options: dict[str, Any], size: int, precision: str, out: Path) -> None:
    import keras
    import tensorflow as tf

    from advisor.runtimes.quiet import toolchain
    from advisor.runtimes.tflite_file import slim

    with toolchain("TFLite conversion"):
        keras.utils.set_random_seed(0)
        built = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=100, **options)
        fixed = keras.Model(x := keras.Input((size, size, 3), 1), built(x))
        converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
        if precision == "int8":
            rng = np.random.default_rng(0)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [rng.normal(0, 1, (1, size, size, 3)).astype(np.float32)] for _ in range(4)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        out.write_bytes(slim(converter.convert()))
        keras.backend.clear_session()
