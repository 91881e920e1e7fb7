"""Runs that several modules look at: a small search, made once; one of priced and exported files."""

import pytest
from advisor_samples import DIGITS, candidate
from recalibration_samples import WIDTHS

from advisor.bundle import export_bundle
from advisor.evaluation import Evaluation
from advisor.front import pick
from advisor.pipeline import search
from advisor.progress import silent
from advisor.run import create_run
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.search.costing import Pricer
from advisor.space.search_space import deployed_network
from advisor.testing import built_model
from cost_models.analytic import AnalyticModel
from cost_models.estimate import Estimate
from specs.spec import parse_spec


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished search of four candidates; too short on time for full trainings."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return search(parse_spec(DIGITS.replace("time: 60 s", "time: 12 s")), folder, silent)


@pytest.fixture(scope="session")
def bundle(finished, tmp_path_factory):
    return export_bundle(finished.run, pick(finished.front, "knee"), tmp_path_factory.mktemp("out") / "bundle")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Small networks as onnxruntime files, by width."""
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for width in WIDTHS:
        made = candidate(width, "fp32")
        model = built_model(deployed_network(made, 10), "fp32")
        found[width] = OnnxRuntime().export(model, folder / made.id)
    return found


@pytest.fixture
def searched(exported, tmp_path):
    """A run whose candidates were priced and exported, and one more that was skipped before training."""
    spec = parse_spec(DIGITS.replace("max: 5 ms", "max: 1 s").replace("100 KiB", "10 MiB"))
    target = spec.targets[0]
    run = create_run(spec, tmp_path / "run", {"data_fingerprint": "x"})
    pricer = Pricer(spec, AnalyticModel(), 10)
    for width in WIDTHS:
        made = candidate(width, "fp32")
        place = run.folder / "artifacts" / made.id / "short"
        place.mkdir(parents=True)
        path = place / "model.onnx"
        path.write_bytes(exported[width].path.read_bytes())
        accuracy = 0.6 + 0.3 * width / 48
        metrics = {**pricer.before_training(made, target),
                   "accuracy": Estimate(accuracy, accuracy - 0.02, accuracy + 0.02, "measured", 200)}  # fmt: skip
        run.ledger.add(Evaluation(made, target.id, "short", "done", metrics, artifact=str(path.relative_to(run.folder)),
                                  details={"layout": "NCHW"}))  # fmt: skip
    skipped = candidate(56, "fp32")
    metrics = pricer.before_training(skipped, target)
    run.ledger.add(Evaluation(skipped, target.id, "none", "skipped", metrics, "latency cannot be met"))
    return run, pricer
