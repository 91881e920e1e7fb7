"""The user's own model: judged like a candidate on the same data; nothing that it dominates is recommended."""

import json
from dataclasses import replace

import pytest
from advisor_samples import evaluation
from onnx import helper
from own_models import SPEC, digits, exported, perceptron, saved

from advisor import cli
from advisor.baseline import ARCHITECTURE, beats, dominated_by, evaluations, read_baseline
from advisor.costs import cost_model
from advisor.evaluate import Request, Result
from advisor.evaluation import Evaluation
from advisor.front import BEATEN, front, front_info, pick
from advisor.pipeline import resume, search
from advisor.progress import silent
from advisor.report.front import front_text
from advisor.run import create_run, open_run
from advisor.score import accuracy_drop, margins, with_drop
from advisor.search.costing import Pricer
from advisor.search.given import recorded, with_baseline
from advisor.search.workers import WorkerPool
from cost_models.estimate import Estimate
from cost_models.read import read_workload
from specs.errors import ModelFileError, SpecError
from specs.spec import parse_spec

PAIR = ("accuracy", "latency")


def with_model(name, folder, *, targets="host:onnxruntime", limits=""):
    text = SPEC.replace("targets: [host:onnxruntime]", f"targets: [{targets}]\nbaseline: {{model: '{name}'}}")
    return parse_spec(text.replace("limits: {", "limits: {" + limits), folder=folder)


def judged(spec, folder):
    """The baseline's evaluations of a spec, priced and not measured."""
    pricer = Pricer(spec, cost_model(*spec.targets), 10)
    return evaluations(read_baseline(spec, digits()), spec, digits(), spec.targets, folder, pricer.after_export)


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    """A folder with `strong.onnx`: quick, and as good on the validation split as can be."""
    folder = tmp_path_factory.mktemp("strong")
    saved(perceptron(), folder / "strong.onnx")
    return folder


@pytest.mark.parametrize(("runtime", "quantization"), [("onnxruntime", "fp32"), ("litert", "int8"), ("tflm", "int8")])
def test_a_file_of_our_own_gets_the_figures_of_its_evaluation(tmp_path, runtime, quantization):
    made = exported(tmp_path / "made", quantization, runtime)
    chip = "stm32h743" if runtime == "tflm" else "host"
    spec = with_model(made.artifact.path.name, made.artifact.path.parent, targets=f"{chip}:{runtime}")
    (row,) = judged(spec, tmp_path)
    assert row.candidate.architecture == ARCHITECTURE
    assert (row.status, row.candidate.quantization) == ("given", quantization)
    assert row.metric("accuracy") == made.accuracy
    assert row.details["test_accuracy"]["n"] == 359
    again = Pricer(spec, cost_model(*spec.targets), 10).after_export(made, spec.targets[0])
    priced = {name: figure for name, figure in row.metrics.items() if name != "accuracy_drop"}
    assert priced == again
    assert row.metric("accuracy_drop").value == 0
    assert (tmp_path / row.artifact).read_bytes() == made.artifact.path.read_bytes()
    assert Evaluation.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_targets_that_cannot_run_the_file_say_so_and_are_still_priced(strong, tmp_path):
    spec = with_model("strong.onnx", strong, targets="host:onnxruntime, stm32h743:tflm")
    here, there = judged(spec, tmp_path)
    assert "not_run" not in here.details
    assert there.details["not_run"] == "TensorFlow Lite for Microcontrollers runs tflite, not onnx"
    assert there.metric("accuracy") == here.metric("accuracy")
    assert there.metric("latency_ms").value > here.metric("latency_ms").value
    assert here.metric("macs").value == read_workload(strong / "strong.onnx").macs
    rival = replace(evaluation(8, 0.5, 100.0, target="stm32h743:tflm"))
    assert not dominated_by(there, rival, PAIR)


def row_of(accuracy, latency_ms, **more):
    """A baseline's row beside `advisor_samples.evaluation`'s: intervals of ±0.02 and ±10 %."""
    made = evaluation(8, accuracy, latency_ms, status="given", **more)
    return replace(made, candidate=replace(made.candidate, architecture=ARCHITECTURE, structure="baseline#x"))


@pytest.mark.parametrize(
    ("accuracy", "latency_ms", "beaten"),
    [
        (0.90, 2.0, True),  # as good, slower beyond both intervals
        (0.85, 1.0, True),  # as fast, worse beyond both intervals
        (0.90, 1.1, False),  # slower within noise
        (0.89, 1.05, False),  # worse in both, each within noise
        (0.905, 2.0, False),  # slower, but better on what was seen
        (0.80, 0.9, False),  # worse, but faster
        (0.90, 1.0, False),  # the same
    ],
)
def test_beyond_noise_is_beyond_the_intervals_of_both(accuracy, latency_ms, beaten):
    assert dominated_by(row_of(0.90, 1.0), evaluation(16, accuracy, latency_ms), PAIR) is beaten


def test_figures_that_are_missing_decide_for_the_candidate():
    today, rival = row_of(0.99, 1.0), evaluation(16, 0.5, 50.0)
    assert dominated_by(today, rival, (*PAIR, "energy"))  # neither has one
    assert not dominated_by(today, replace(rival, metrics={**rival.metrics, "energy_mj": Estimate.exact(1.0)}),
                            (*PAIR, "energy"))  # fmt: skip
    assert not dominated_by(today, replace(rival, target="host:litert"), PAIR)
    assert not dominated_by(today, today, PAIR)


def test_a_baseline_that_breaks_a_hard_limit_keeps_nothing_off_the_front(spec):
    today, rival = row_of(0.99, 1.0), evaluation(16, 0.9, 4.0)
    assert beats(spec, [today])(rival)
    heavy = replace(today, metrics={**today.metrics, "flash_bytes": Estimate.exact(1e9)})
    assert beats(spec, [heavy]) is None
    assert beats(spec, [rival]) is None


def test_the_front_shows_the_baseline_and_recommends_nothing_it_beats(spec):
    rows = [row_of(0.95, 1.0), evaluation(16, 0.94, 2.0), evaluation(24, 0.99, 3.0)]
    found = front(spec, rows)
    assert [row.evaluation.metric("accuracy").value for row in found.members] == [0.99]
    assert pick(found, "latency").evaluation.metric("accuracy").value == 0.99
    info = front_info(spec, found)
    assert [row["candidate"]["architecture"] for row in info["baseline"]] == [ARCHITECTURE]
    assert {row["note"] for row in info["evaluations"]} == {"", BEATEN}
    assert info["counts"]["evaluated"] == 2
    lines = front_text(spec, info, every=True).splitlines()
    table = next(i for i, line in enumerate(lines) if line.startswith("───"))
    assert lines[table + 1].endswith("today's model")
    assert "baseline: better beyond noise than 1 that would be on the front; they are not recommended" in lines


def test_where_the_baseline_beats_everything_nothing_is_picked(spec):
    found = front(spec, [row_of(0.99, 0.5), evaluation(16, 0.94, 2.0)])
    assert (found.members, found.fallback, found.exit_status) == ((), (), 4)
    with pytest.raises(SpecError, match="the baseline is better than every feasible candidate beyond noise"):
        pick(found, "knee")
    said = front_text(spec, front_info(spec, found))
    assert "keep it, or search longer" in said
    assert said.startswith(
        "small: nothing to recommend, the baseline is better than every feasible candidate beyond noise"
    )
    assert "none found" not in said


def test_the_drop_is_the_difference_with_the_intervals_of_both():
    today, rival = Estimate(0.95, 0.93, 0.96, "measured", 200), Estimate(0.90, 0.87, 0.92, "measured", 300)
    drop = accuracy_drop(today, rival)
    assert drop.value == pytest.approx(0.05)
    assert drop.low == pytest.approx(0.05 - (0.02**2 + 0.02**2) ** 0.5)
    assert drop.high == pytest.approx(0.05 + (0.01**2 + 0.03**2) ** 0.5)
    assert (drop.source, drop.n) == ("measured", 200)
    assert accuracy_drop(today, Estimate.absent("diverged")).reason == "diverged"
    assert "accuracy_drop" not in with_drop({"accuracy": rival}, None)


def test_an_allowed_drop_decides_who_is_feasible(strong, tmp_path):
    spec = with_model("strong.onnx", strong, limits="accuracy_drop: {max: 0.02}, ")
    pricer = Pricer(
        spec, cost_model(*spec.targets), 10, baseline={"host:onnxruntime": Estimate.exact(0.95, "measured")}
    )
    made = exported(tmp_path, "fp32", "onnxruntime")
    for accuracy, met in ((0.935, True), (0.90, False), (0.97, True)):
        figure = Estimate(accuracy, accuracy - 0.01, accuracy + 0.01, "measured", 100)
        metrics = pricer.after_export(replace(made, accuracy=figure), spec.targets[0])
        found = {margin.limit: margin for margin in margins(spec, metrics)}["accuracy_drop"]
        assert (found.met, found.value) == (met, pytest.approx(0.95 - accuracy - 0.02))


@pytest.fixture(scope="module")
def beaten(strong, tmp_path_factory):
    """A finished search of four trials whose baseline is better than all of them."""
    spec = with_model("strong.onnx", strong)
    return search(spec, tmp_path_factory.mktemp("runs") / "run", silent)


def test_a_search_recommends_nothing_that_its_baseline_dominates(beaten):
    (today,) = recorded(beaten.run.ledger).values()
    assert today.metric("accuracy").value > 0.97
    assert today.metric("latency_ms").source == "measured"
    assert "full_protocol" in today.details
    trained = [row.evaluation for row in beaten.front.ranked]
    assert len(trained) >= 2
    assert all(row.metric("accuracy_drop").value is not None for row in trained)
    for row in beaten.front.members:
        assert not dominated_by(today, row.evaluation, PAIR)
    if not beaten.front.members:
        assert beaten.exit_status == 4
        with pytest.raises(SpecError, match="the baseline is better"):
            pick(beaten.front, "knee")
    assert all(row.evaluation.id != today.id for row in beaten.front.ranked)


def test_a_resumed_run_needs_the_baseline_no_more(beaten, strong):
    (strong / "strong.onnx").rename(strong / "moved.onnx")
    try:
        again = resume(beaten.run.folder, silent)
    finally:
        (strong / "moved.onnx").rename(strong / "strong.onnx")
    assert len(again.run.ledger.history()) == len(beaten.run.ledger.history())
    info = front_info(again.run.spec, open_run(beaten.run.folder, read_only=True).front())
    assert info["baseline"][0]["metrics"]["latency_ms"]["source"] == "measured"


def test_an_own_model_is_searched_over_its_compressions(strong, tmp_path):
    text = SPEC.replace("[dscnn]", "['model:strong.onnx']").replace("time: 20 s", "time: 300 s")
    done = search(parse_spec(text, folder=strong), tmp_path / "run", silent)
    rows = [row.evaluation for row in done.front.ranked]
    assert {row.candidate.quantization for row in rows} == {"fp32", "int8"}
    assert all(row.metric("accuracy").value > 0.95 for row in rows)
    assert done.exit_status == 0
    assert cli.main(["export", str(done.run.folder), "--pick", "accuracy", "--out", str(tmp_path / "bundle")]) == 0
    saved(perceptron(classes=10), strong / "kept.onnx")
    original = (strong / "strong.onnx").read_bytes()
    try:
        saved(perceptron((1, 64)), strong / "strong.onnx")
        with pytest.raises(SpecError, match="the model changed since the run was started"):
            resume(done.run.folder, silent)
    finally:
        (strong / "strong.onnx").write_bytes(original)


def test_a_worker_evaluates_an_own_model(strong, tmp_path):
    from advisor.own.file import keep, read_model_file
    from advisor.space.search_space import make_candidate

    file = read_model_file(strong / "strong.onnx")
    keep(file, tmp_path)
    candidate = make_candidate("model:strong.onnx", (("sha256", file.sha256[:12]),), (8, 8, 1), (), "int8", 10)
    spec = parse_spec(SPEC)
    with WorkerPool(spec.to_dict(), spec.folder.absolute(), 1) as pool:
        (outcome,) = pool.run([Request(candidate, ("onnxruntime",), "short", tmp_path, 0, False)])
    assert outcome.error == ""
    assert isinstance(outcome.results[0], Result)


def test_without_measurements_to_spend_the_baseline_is_predicted(strong, tmp_path):
    spec = with_model("strong.onnx", strong)
    spec = replace(spec, search=replace(spec.search, measurements=0))
    run = create_run(spec, tmp_path / "run", {})
    pricer = Pricer(spec, cost_model(*spec.targets), 10)
    found = with_baseline(pricer, read_baseline(spec, digits()), digits(), run.ledger, run.folder, silent)
    assert run.ledger.measurements() == []
    assert found.baseline["host:onnxruntime"].value > 0.97
    rows = len(run.ledger.history())
    with_baseline(pricer, None, digits(), run.ledger, run.folder, silent)
    assert len(run.ledger.history()) == rows


def test_a_baseline_worse_than_chance_asks_about_its_inputs(tmp_path):
    model = perceptron()
    for node in model.graph.node:
        if node.output[0] == "y":
            node.output[0] = "z"
    model.graph.node.append(helper.make_node("Neg", ["z"], ["y"]))
    saved(model, tmp_path / "turned.onnx")
    (row,) = judged(with_model("turned.onnx", tmp_path), tmp_path / "run")
    assert "no better than chance" in row.details["notes"][1]
    assert "subtract the mean" in row.details["notes"][1]


def test_errors_name_where(tmp_path):
    with pytest.raises(ModelFileError, match=r"^baseline\.model: .*gone\.onnx: cannot read"):
        read_baseline(with_model("gone.onnx", tmp_path), digits())
