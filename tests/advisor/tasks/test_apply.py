from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import advisor.tasks.apply as module
from advisor.tasks.apply import apply, resize


def numbers(shape: tuple[int, ...], kind: str = "image") -> dict:
    return {"kind": kind, "shape": list(shape), "scale": 1 / 255, "mean": [0.5] * shape[-1], "std": [0.25] * shape[-1]}


def test_stands_alone() -> None:
    """Its text travels in bundles: numpy and the standard library only."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    imported |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert imported <= {"__future__", "typing", "numpy"}


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))
def test_resizes_as_pillow_does(height: int, width: int, new_height: int, new_width: int, channels: int) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, channels)).astype(np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    expected = np.asarray(image.resize((new_width, new_height), Image.Resampling.BILINEAR), np.float32)
    found = resize(pixels[None].astype(np.float32), new_height, new_width)[0]
    # Pillow rounds to whole levels after either pass
    assert np.abs(found - expected.reshape(found.shape)).max() <= 1.01


def test_batches_do_not_matter() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (9, 40, 50, 3)).astype(np.uint8)
    whole = apply(numbers((24, 24, 3)), pixels)
    for i in range(9):
        np.testing.assert_array_equal(apply(numbers((24, 24, 3)), pixels[i : i + 1])[0], whole[i])


def test_gray_and_colour_meet() -> None:
    gray = np.random.RandomState(0).randint(0, 256, (2, 16, 16)).astype(np.uint8)
    colour = np.repeat(gray[..., None], 3, axis=3)
    np.testing.assert_allclose(apply(numbers((16, 16, 3)), gray), apply(numbers((16, 16, 3)), colour))
    np.testing.assert_allclose(apply(numbers((16, 16, 1)), gray), apply(numbers((16, 16, 1)), colour), atol=1e-5)


def test_result_is_float32_contiguous() -> None:
    x = apply(numbers((8, 3), "series"), np.ones((2, 8, 3), np.float64))
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, (1 / 255 - 0.5) / 0.25, rtol=1e-6)
    assert apply(numbers((8, 1), "series"), np.ones((2, 8))).shape == (2, 8, 1)


@pytest.mark.parametrize(
    ("kind", "shape", "raw"),
    [
        ("image", (8, 8, 3), (2, 8, 8, 4)),
        ("image", (8, 8, 3), (64,)),
        ("series", (8, 3), (2, 3, 8)),
        ("series", (8, 3), (2, 24)),
        ("features", (8, 3, 1), (2, 3, 8)),
        ("waveform", (8, 1), (2, 8, 1)),
    ],
)
def test_refuses_samples_of_another_form(kind: str, shape: tuple[int, ...], raw: tuple[int, ...]) -> None:
    made = numbers(shape, kind) | {"samples": 8, "frontend": "raw"}
    with pytest.raises(ValueError, match="is needed"):
        apply(made, np.zeros(raw))
