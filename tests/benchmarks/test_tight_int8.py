"""The tight-budget benchmark's data: nothing of the speaker who is tested is in training."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from specs.spec import parse_spec

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("tight_int8")
    sys.path.remove(str(BENCHMARKS))


def test_a_speaker_left_out_is_in_the_test_split_alone_and_whole(script):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, count in (("train", 40), ("test", 12)):
        arrays |= {
            f"X_{name}": rng.normal(size=(count, 4, 3)),
            f"y_{name}": np.arange(count) % 2,
            f"speaker_{name}": np.array(["ann", "bob", "cy", "dee"])[np.arange(count) % 4],
        }
    found = script._without(arrays, "bob")
    assert set(found["speaker_test"]) == {"bob"}
    assert set(found["speaker_train"]) == {"ann", "cy", "dee"}
    assert (len(found["X_test"]), len(found["X_train"])) == (13, 39)
    assert len(found["y_test"]) == 13


def test_every_case_is_a_valid_spec_with_its_limits_on_the_model_alone(script):
    for name, case in script.CASES.items():
        spec = parse_spec(script.SPEC.format(name=name, kind=case.kind, data=case.file, metric=case.metric,
                                             ram=case.ram, flash=case.flash, minutes=2.5, seed=0))  # fmt: skip
        assert [limit.counts for limit in spec.limits] == ["model", "model"]
        assert spec.search.time_s == 150
