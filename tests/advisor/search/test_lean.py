from pathlib import Path

import pytest

from advisor.ledger import Ledger
from advisor.report.answers import answer_info
from advisor.report.front import front_text
from advisor.run import create_run, left_out
from advisor.search.costing import Pricer
from advisor.search.lean import lean
from advisor.space.search_space import search_space
from cost_models.analytic import AnalyticModel
from cost_models.estimate import Estimate
from specs.spec import parse_spec

SPEC = """
schema: 1
name: t
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
objectives: [accuracy, latency]
search: {architectures: [dscnn, resnet]QUANTIZATION}
"""


class SlowInt8(Pricer):
    """A machine known to run int8 half as fast as fp32."""

    def before_training(self, candidate, target):
        metrics = super().before_training(candidate, target)
        ms = 2.0 if candidate.quantization.startswith("int8") else 1.0
        return {**metrics, "latency_ms": Estimate(ms, ms * 0.97, ms * 1.03, "predicted", 60)}


@pytest.fixture
def run(tmp_path):
    def make(quantization=""):
        spec = parse_spec(SPEC.replace("QUANTIZATION", quantization), folder=Path("."))
        pricer = SlowInt8(spec, AnalyticModel(), 10)
        space = search_space(spec, spec.targets[0], ((8, 8, 1),), 10)
        return create_run(spec, tmp_path / f"run{len(quantization)}", {"data_fingerprint": "x"}), space, pricer

    return make


def test_a_recipe_that_gains_nothing_is_not_tried_and_the_report_says_why(run):
    made, space, pricer = run()
    leaner = lean(space, pricer, made.ledger)
    assert "int8" in space.quantization
    assert "int8" not in leaner.quantization
    assert "fp32" in leaner.quantization
    told = {part["quantization"]: part["reason"] for part in left_out(made.ledger.facts())}
    assert "2.00 times that of fp32 (predicted)" in told["int8"]
    info = answer_info(made, made.front())
    assert info["left_out"][0]["target"] == "host:onnxruntime"
    assert "int8 not tried on host:onnxruntime: " in front_text(made.spec, info)


def test_the_decision_is_the_runs_even_when_the_cost_model_changes(run):
    made, space, pricer = run()
    first = lean(space, pricer, made.ledger)
    assert lean(space, Pricer(pricer.spec, AnalyticModel(), 10), Ledger(made.folder / "ledger.db")) == first


def test_what_the_spec_names_itself_is_tried(run):
    made, space, pricer = run(", quantization: [fp32, int8]")
    assert lean(space, pricer, made.ledger) == space
    assert left_out(made.ledger.facts()) == []
