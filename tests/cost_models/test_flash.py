"""What a workload takes in flash: exact for files, by the weights and the kernels for X-CUBE-AI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cost_models.flash import flash_items, format_overhead_bytes
from cost_models.mobilenets import mobilenet_v1, mobilenet_v2
from cost_models.read_ncnn import read_ncnn
from specs.chip import Target


def test_a_file_is_as_large_as_it_is(make_target: Callable[..., Target]) -> None:
    work = replace(mobilenet_v1(0.25, 96, 5), file_bytes=300_000)
    model, runtime = flash_items(work, make_target("cortex-m7", "tflm"))
    assert (model.low_bytes, model.bytes, model.high_bytes, model.source) == (300_000, 300_000, 300_000, "computed")
    assert runtime.low_bytes < runtime.bytes < runtime.high_bytes


def test_cube_ai_keeps_weights_to_the_byte_and_no_file(make_target: Callable[..., Target]) -> None:
    work = replace(mobilenet_v1(0.25, 96, 5), file_bytes=300_000)
    model, runtime = flash_items(work, make_target("cortex-m7", "stm32cube-ai"))
    # 214.69 KiB of weights and 68 KiB of code were published (stm32ai-modelzoo, MobileNet v1 0.25, Flowers, 96x96x3)
    assert (model.bytes, model.source) == (work.weight_bytes, "computed")
    assert model.bytes == pytest.approx(214.69 * 1024, abs=8)
    assert runtime.low_bytes <= 68 * 1024 <= runtime.high_bytes
    assert runtime.source == "predicted"


def test_published_mobilenets_have_their_published_weights() -> None:
    published = {(mobilenet_v1, 0.5, 5): 812.61, (mobilenet_v2, 0.35, 5): 406.86, (mobilenet_v2, 1.4, 1000): 6015.34}
    for (build, width, classes), kib in published.items():
        assert build(width, 224, classes).weight_bytes / 1024 == pytest.approx(kib, abs=0.01)


def test_more_channels_are_more_code(make_target: Callable[..., Target]) -> None:
    target = make_target("cortex-m7", "stm32cube-ai")
    small, large = (flash_items(mobilenet_v1(width, 96, 5), target)[1] for width in (0.25, 1.0))
    assert large.bytes > small.bytes


def test_ncnn_files_are_weights_and_a_line_a_layer() -> None:
    text = b"7767517\n2 2\nInput in 0 1 x 0=8 1=8 2=3\nConvolution c 1 1 x y 0=4 1=1 5=1 6=12\n"
    low, likely, high = format_overhead_bytes(read_ncnn(text))
    assert 0 < low < likely < high < 10_000
