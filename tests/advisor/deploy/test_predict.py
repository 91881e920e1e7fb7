"""What a bundle's predict.py takes for samples, and the one line it says of everything else."""

import numpy as np
import pytest

from advisor.deploy.predict import UnfitError, load, main, samples
from advisor.tasks.load import open_task
from specs.spec import parse_spec

SPEC = "schema: 1\nname: t\ntask: {kind: %s, data: %s}\ntargets: [host:onnxruntime]\n"


def described(shape, kind="image", any_size=False):
    return {"raw_shape": list(shape), "raw_dtype": "uint8", "numbers": {"kind": kind, "any_size": any_size}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((5, 8, 8, 1), (5, 8, 8, 1)),
        ((5, 8, 8), (5, 8, 8, 1)),
        ((8, 8, 8), (8, 8, 8, 1)),
        ((8, 8, 1), (1, 8, 8, 1)),
        ((8, 8), (1, 8, 8, 1)),
    ],
)
def test_one_or_many_samples_with_or_without_their_channel(given, expected):
    assert samples(np.zeros(given), described((8, 8, 1))).shape == expected


@pytest.mark.parametrize("given", [(2, 9, 9, 1), (9, 9), (8, 8, 3), (64,), (2, 8, 7, 1), ()])
def test_samples_of_another_shape_are_refused(given):
    with pytest.raises(UnfitError, match=r"of shape .*; give samples of shape \(8, 8, 1\), or \(N, 8, 8, 1\)"):
        samples(np.zeros(given), described((8, 8, 1)))


def test_what_was_read_from_files_of_any_size_may_be_of_any_size():
    pictures, sounds = described((32, 32, 3), any_size=True), described((16000,), "waveform", any_size=True)
    assert samples(np.zeros((50, 70, 3)), pictures).shape == (1, 50, 70, 3)
    assert samples(np.zeros((4, 50, 70, 1)), pictures).shape == (4, 50, 70, 1)
    assert samples(np.zeros(8000), sounds).shape == (1, 8000)
    assert samples(np.zeros((3, 8000)), sounds).shape == (3, 8000)
    with pytest.raises(UnfitError, match="looks like channels; give one"):
        samples(np.zeros((16000, 2)), sounds)
    with pytest.raises(UnfitError, match="of any size"):
        samples(np.zeros((50, 70)), pictures | {"numbers": {"kind": "series", "any_size": True}})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.full((1, 8, 8, 1), np.nan), "not finite"),
        (np.full((1, 8, 8, 1), np.inf), "not finite"),
        (np.zeros((0, 8, 8, 1)), "it is empty, of shape"),
        (np.full((1, 8, 8, 1), "a"), "not numbers; save uint8"),
    ],
)
def test_values_that_are_no_samples(given, told):
    with pytest.raises(UnfitError, match=told):
        samples(given, described((8, 8, 1)))


def _bytes(folder, array, keep=None):
    np.save(folder / "x.npy", array)
    return (folder / "x.npy").read_bytes()[:keep]


def _archive(folder, keep=None, **arrays):
    np.savez(folder / "x.npz", **arrays)
    return (folder / "x.npz").read_bytes()[:keep]


BAD = {
    "text": (lambda _: b"hello", "no .npy or .npz file; save the samples with numpy.save"),
    "empty": (lambda _: b"", "no .npy or .npz file"),
    "cut": (lambda f: _bytes(f, np.zeros((9, 9)), 300), "damaged, or cut off; save it again"),
    "cut-archive": (lambda f: _archive(f, 90, raw=np.zeros(9)), "damaged, or cut off"),
    "objects": (lambda f: _bytes(f, np.array([{}, []], object)), "Python objects, which are not read"),
    "other-name": (lambda f: _archive(f, images=np.zeros(9)), "it holds images; save the samples under `raw`"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_hold_no_samples_are_one_line(tmp_path, capsys, name):
    content, told = BAD[name]
    path = tmp_path / name
    path.write_bytes(content(tmp_path))
    assert main([str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert told in said
    assert "allow_pickle" not in said
    assert main([str(tmp_path / "gone.npy")]) == 2
    assert "check the path" in capsys.readouterr().err


def test_an_archive_is_read_by_its_array_of_raw_samples(tmp_path):
    np.savez(tmp_path / "x.npz", raw=np.ones((2, 8, 8)), other=np.zeros(3))
    assert load(str(tmp_path / "x.npz")).sum() == 128


def test_tasks_tell_files_of_any_size_from_arrays(tmp_path):
    from PIL import Image

    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(12):
            noise = np.random.RandomState(i + ord(label)).randint(0, 255, (20 + i, 24), np.uint8)
            Image.fromarray(noise).save(tmp_path / "pictures" / label / f"{i}.png")
    for data, any_size in (("pictures", True), ("digits", False)):
        task = open_task(parse_spec(SPEC % ("image-classification", data), folder=tmp_path))
        assert task.any_size is any_size
        assert task.preprocessing().numbers["any_size"] is any_size
