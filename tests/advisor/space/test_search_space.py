from pathlib import Path

import pytest

from advisor.candidate import Candidate
from advisor.space.search_space import make_candidate, search_space, workload_of
from specs import catalog
from specs.errors import SpecError
from specs.spec import parse_spec

SPEC = """
schema: 1
name: t
task: {{kind: image-classification, data: digits}}
targets: [{target}]
search: {{{search}}}
"""


def space(target="host:onnxruntime", search="seed: 0", shapes=((8, 8, 1),), classes=10):
    spec = parse_spec(SPEC.format(target=target, search=search), folder=Path("."))
    return search_space(spec, spec.targets[0], shapes, classes)


def params(**values):
    return tuple(sorted(values.items()))


def test_runtimes_decide_which_quantizations_are_searched():
    assert space("host:onnxruntime").quantization == ("fp32", "int8", "mixed", "int8-qat", "int8-pt2e")
    assert space("stm32h743:tflm").quantization == ("fp32", "int8", "mixed", "int8-qat")
    assert space("host:litert").quantization == ("fp32", "fp16", "int8", "mixed", "int8-qat")


def test_a_spec_that_leaves_no_quantization_is_refused_with_what_is_possible():
    with pytest.raises(SpecError, match=r"search\.quantization.*fp32, int8"):
        space("stm32h743:tflm", "quantization: [int8-pt2e]")


def test_time_series_are_searched_with_temporal_networks_first():
    assert space(shapes=((64, 6),)).architectures[0] == "tcn"
    assert "tcn" not in space(shapes=((32, 32, 3),)).architectures


def test_two_spellings_of_one_network_are_one_candidate():
    # depth 2 has one block a stage; pruning a stage that has no channels to lose changes nothing
    p = params(width=8, depth=2, kernel=3, stem_stride=1, growth=1)
    plain = make_candidate("dscnn", p, (8, 8, 1), (0.0, 0.0), "int8", 10)
    assert make_candidate("dscnn", p, (8, 8, 1), (0.01, 0.01), "int8", 10).id == plain.id
    assert make_candidate("dscnn", p, (8, 8, 1), (0.5, 0.0), "int8", 10).id != plain.id
    assert make_candidate("dscnn", p, (8, 8, 1), (0.0, 0.0), "fp32", 10).id != plain.id


def test_candidates_round_trip():
    p = params(width=8, depth=2, kernel=3, stem_stride=1, growth=1)
    candidate = make_candidate("dscnn", p, (8, 8, 1), (0.25, 0.0), "int8", 10)
    assert Candidate.from_dict(candidate.to_dict()) == candidate
    with pytest.raises(SpecError, match="not a candidate"):
        Candidate.from_dict({"architecture": "dscnn"})


def test_workload_follows_the_runtime_and_the_precision():
    p = params(width=8, depth=2, kernel=3, stem_stride=1, growth=1)
    candidate = make_candidate("dscnn", p, (8, 8, 1), (0.0, 0.0), "int8", 10)
    assert workload_of(candidate, 10, "onnxruntime").format == "onnx"
    tflite = workload_of(candidate, 10, "tflm")
    assert (tflite.format, tflite.precision, tflite.tensors[0].bits) == ("tflite", "int8", 8)
    opaque = make_candidate("timm:resnet18", (), (32, 32, 3), (), "int8", 10)
    assert workload_of(opaque, 10, "tflm") is None


def test_every_point_of_a_space_makes_a_candidate():
    import random

    rng = random.Random(0)
    found = space(catalog.target("stm32h743:tflm").id, shapes=((32, 32, 3), (16, 16, 3)))
    for _ in range(50):
        values = {d.name: rng.choice(d.grid()) for d in found.common()}
        values |= {d.name: rng.choice(d.grid()) for d in found.dimensions(str(values["architecture"]))}
        assert found.candidate(values).quantization in ("fp32", "int8", "mixed", "int8-qat")
    assert found.size() > 1000
