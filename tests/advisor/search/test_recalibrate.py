"""The calibration loop against a replayed board whose truth is known, and against this machine."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from advisor_samples import DIGITS, candidate

from advisor import cli
from advisor.changes import changed, why_lost
from advisor.devices.address import open_device
from advisor.devices.lease import leased
from advisor.evaluation import Evaluation
from advisor.front import front
from advisor.measure.protocol import MeasurePlan
from advisor.relax import changed_spec
from advisor.run import create_run, open_run
from advisor.rung import SCORE
from advisor.runtimes.onnxruntime import OnnxRuntime
from advisor.search.costing import Pricer
from advisor.search.recalibrate import Recalibrator
from advisor.space.search_space import deployed_network
from advisor.testing import built_model
from cost_models.analytic import AnalyticModel
from cost_models.estimate import Estimate
from cost_models.read import read_workload
from specs.errors import SpecError
from specs.spec import parse_spec

WIDTHS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48)
TRUTH = 1.8
"""How many times longer the replayed board takes than the cost model says, but for noise."""


@pytest.fixture(scope="module")
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


def truth_ms(run, row, factor=TRUTH):
    """What the replayed board takes: the model's figure times a factor, a little noise that the network decides."""
    workload = read_workload(run.folder / row.artifact)
    base = AnalyticModel().predict([workload], run.spec.targets[0])[0].metrics["latency_ms"].value
    return factor * base * math.exp(0.03 * math.sin(workload.macs))


def board(run, tmp_path, skip=(), slowed=lambda _: None):
    """A recorded board; `slowed` tells by how much other work slowed it and its reference while it ran a candidate."""
    lines = [{"candidate": row.id, "wall_ms": [truth_ms(run, row) * (slowed(i) or 1)] * 20,
              "reference_ms": [slowed(i) or 1] * 9 if slowed(i) else []}
             for i, row in enumerate(run.evaluations()) if row.artifact and row.id not in skip]  # fmt: skip
    path = tmp_path / "board.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return open_device(f"replay:{path}", run.spec.targets[0])


def loop(searched, tmp_path, budget=8, **more):
    run, pricer = searched
    return Recalibrator(pricer, run.spec.targets[0], board(run, tmp_path, **more), run.ledger, run.folder, budget)


def of(run, width):
    return next(e for e in run.evaluations() if e.id == candidate(width, "fp32").id)


def test_what_was_measured_corrects_what_was_not(searched, tmp_path):
    run, _ = searched
    before = {e.id: e.metric("latency_ms").value for e in run.evaluations()}
    made = loop(searched, tmp_path).step(1.0)
    assert made.id == 1
    assert made.measurements == len(made.measured) == 6  # a quarter of the budget is kept for the front at the end
    assert made.error_before == pytest.approx(1 - 1 / TRUTH, abs=0.03)
    assert made.error_after < 0.06
    for row in run.evaluations():
        if row.status == "done" and row.id not in made.measured:
            assert row.metric("latency_ms").value == pytest.approx(truth_ms(run, row), rel=0.1)
            assert row.metric("latency_ms").source == "predicted"
        if row.id in made.measured:
            assert row.metric("latency_ms").source == "measured"
            assert row.metric("predicted_latency_ms").value == before[row.id]
    skipped = next(e for e in run.evaluations() if e.status == "skipped")
    assert skipped.metric("latency_ms").value == pytest.approx(TRUTH * before[skipped.id], rel=0.15)
    assert {e.id: e.metric("latency_ms").value for e in run.ledger.evaluations(at=0)} == before


def test_the_search_prices_with_the_correction(searched, tmp_path):
    run, pricer = searched
    engine = loop(searched, tmp_path)
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    assert engine.pricer_now.before_training(fresh, target) == pricer.before_training(fresh, target)
    engine.step(1.0)
    ratio = (engine.pricer_now.before_training(fresh, target)["latency_ms"].value
             / pricer.before_training(fresh, target)["latency_ms"].value)  # fmt: skip
    assert ratio == pytest.approx(TRUTH, rel=0.1)


def test_at_the_end_every_member_of_the_front_is_measured(searched, tmp_path, capsys):
    run, _ = searched
    engine = loop(searched, tmp_path, budget=1)
    made = engine.finish()
    assert made
    assert {r.evaluation.metric("latency_ms").source for r in run.front().members} == {"measured"}
    assert made[-1].compared >= 3
    assert made[-1].error_after < 0.06 < made[-1].error_before
    assert engine.finish() == []
    assert cli.main(["front", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert "calibration 1 of host:onnxruntime" in said
    assert "since before the first calibration" in said


def test_a_correction_moves_candidates_off_the_front(searched, tmp_path):
    run, _ = searched
    slowest = max(truth_ms(run, e) for e in run.evaluations() if e.artifact)
    tight = changed_spec(run.spec, [f"latency.max={slowest * 0.9:.5g} ms"])
    pricer = replace(searched[1], spec=tight)
    Recalibrator(pricer, tight.targets[0], board(run, tmp_path), run.ledger, run.folder, 8).finish()
    found = run.front(tight)
    assert found.members
    assert all(r.evaluation.metric("latency_ms").value <= slowest * 0.9 for r in found.members)
    changes = changed(front(tight, run.ledger.columns(at=0)), found)
    assert changes.gained
    assert {why_lost(row) for row in changes.lost} <= {"misses latency"}
    assert all(m.after.value == pytest.approx(TRUTH * m.before.value, rel=0.1) for m in changes.moved)
    assert {m.metric for m in changes.moved} == {"latency_ms"}


def test_a_resumed_run_goes_on_with_the_same_correction(searched, tmp_path):
    run, pricer = searched
    engine = loop(searched, tmp_path)
    engine.step(1.0)
    again = Recalibrator(pricer, run.spec.targets[0], board(run, tmp_path), open_run(run.folder).ledger, run.folder, 8)
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    assert again.taken == engine.taken == 6
    assert again.pricer_now.before_training(fresh, target) == engine.pricer_now.before_training(fresh, target)
    assert again.step(1.0) is None


@pytest.fixture
def untrained(exported, tmp_path):
    """A run that trained candidates briefly and exported none, a board that has recorded them all, and files that
    nobody trained."""
    spec = parse_spec(DIGITS.replace("max: 5 ms", "max: 1 s").replace("100 KiB", "10 MiB"))
    target = spec.targets[0]
    run = create_run(spec, tmp_path / "brief", {"data_fingerprint": "x"})
    pricer = Pricer(spec, AnalyticModel(), 10)
    files, lines = {}, []
    for width in WIDTHS:
        made = candidate(width, "fp32")
        place = run.folder / "artifacts" / made.id / "none" / "onnxruntime"
        place.mkdir(parents=True)
        path = Path(shutil.copy(exported[width].path, place))
        files[made.id] = replace(exported[width], path=path)
        metrics = pricer.before_training(made, target)
        lines.append(json.dumps({"candidate": made.id, "wall_ms": [TRUTH * metrics["latency_ms"].value] * 20}) + "\n")
        score = Estimate(0.6 + 0.3 * width / 48, 0.5, 0.95, "measured", 200)
        details = {"rung_s": {"cheap": 2.0}}
        run.ledger.add(Evaluation(made, target.id, "cheap", "ranked", {**metrics, SCORE: score}, details=details))
    (tmp_path / "brief.jsonl").write_text("".join(lines))
    device = open_device(f"replay:{tmp_path / 'brief.jsonl'}", target)
    return run, files, lambda: Recalibrator(pricer, target, device, open_run(run.folder).ledger, run.folder, 8)


def test_what_was_only_trained_briefly_is_measured_by_an_untrained_file(untrained):
    run, files, begun = untrained
    before = {e.id: e.metric("latency_ms").value for e in run.evaluations()}
    engine = begun()
    assert engine.lacking() == []
    assert engine.step(1.0) is None
    lacking = engine.lacking()
    assert len(lacking) == 6
    for row in lacking:
        assert engine.step(1.0) is None
        engine.take(row, files[row.id])
    made = engine.step(1.0)
    assert sorted(made.measured) == sorted(row.id for row in lacking)
    assert made.error_after < 0.03 < made.error_before
    for row in open_run(run.folder).evaluations():
        # evidence of the cost model, and no figure of the candidate's own
        assert (row.status, row.metric("latency_ms").source) == ("ranked", "predicted")
        assert row.metric("latency_ms").value == pytest.approx(TRUTH * before[row.id], rel=0.1)
        assert set(row.details["rung_s"]) == ({"cheap", "device"} if row.id in made.measured else {"cheap"})
        assert files[row.id].path.exists() == (row.id not in made.measured)
    assert all(data["untrained"] for _, _, data in open_run(run.folder).ledger.measurements())
    target, fresh = run.spec.targets[0], candidate(36, "fp32")
    again = begun()
    assert again.taken == 6
    assert again.pricer_now.before_training(fresh, target) == engine.pricer_now.before_training(fresh, target)


def test_what_cannot_be_exported_untrained_is_not_waited_for(untrained):
    _, files, begun = untrained
    engine = begun()
    engine.step(1.0)
    first, *others = engine.lacking()
    engine.take(first, None)
    for row in others:
        engine.take(row, files[row.id])
    made = engine.step(1.0)
    assert sorted(made.measured) == sorted(row.id for row in others)
    # nor chosen again
    engine.step(1.0)
    assert first.id not in {row.id for row in engine.lacking()}


def test_a_measurement_that_fails_is_data(searched, tmp_path):
    run, _ = searched
    broken = candidate(48, "fp32").id
    made = loop(searched, tmp_path, skip={broken}).finish()
    row = of(run, 48)
    assert "no recording" in row.details["measurement_error"]
    assert row.metric("latency_ms").source == "predicted"
    assert broken in made[0].measured
    assert made[0].measurements == len(made[0].measured) - 1


def test_a_machine_that_other_work_slows_is_compared_with_itself(searched, tmp_path):
    made = loop(searched, tmp_path, budget=8, slowed=lambda i: 1.5 if i % 2 else 1.0).finish()
    assert made[-1].error_after < 0.06


def busy(run, tmp_path, share=0.7, slower=1.5):
    """A board on which other work slows every other candidate, but not the reference, for a share of its moments."""
    device = board(run, tmp_path)
    fresh = device.run

    def disturbed(artifact, plan):
        found, odd = fresh(artifact, plan), artifact.size_bytes // 100 % 2
        slow = tuple(ms * (slower if odd and i >= (1 - share) * 20 else 1) for i, ms in enumerate(found.wall_ms))
        return replace(found, wall_ms=slow, reference_ms=(1.0,) * 9)

    device.run = disturbed
    return device


def test_work_that_slows_some_moments_does_not_mislead_the_correction(searched, tmp_path):
    run, pricer = searched
    engine = Recalibrator(pricer, run.spec.targets[0], busy(run, tmp_path), run.ledger, run.folder, 8)
    made = engine.finish()
    assert made[-1].error_after < 0.06


def test_a_disturbed_measurement_is_repeated_and_the_quickest_kept(searched, tmp_path):
    run, pricer = searched
    device, calls = board(run, tmp_path), []
    fresh = device.run

    def at_first_disturbed(artifact, plan):
        calls.append(artifact.path)
        found = fresh(artifact, plan)
        slow = 1.5 if len(calls) == 1 else 1.0
        return replace(found, wall_ms=tuple(ms * (slow if i > 5 else 1) for i, ms in enumerate(found.wall_ms)),
                       reference_ms=(1.0,) * 9)  # fmt: skip

    device.run = at_first_disturbed
    engine = Recalibrator(pricer, run.spec.targets[0], device, run.ledger, run.folder, 8)
    row = engine.measure(of(run, 16))
    assert len(calls) == 2
    assert row.metric("latency_p50_ms").value == pytest.approx(truth_ms(run, row))


def test_no_measurements_are_taken_where_the_spec_allows_none(searched, tmp_path):
    engine = loop(searched, tmp_path, budget=0)
    assert engine.step(1.0) is None
    assert engine.finish() == []
    assert searched[0].ledger.measurements() == []


def test_energy_follows_the_measured_latency(searched, tmp_path):
    run, pricer = searched
    spec = parse_spec(run.spec.to_yaml().replace("host:onnxruntime", "raspberry-pi-4:onnxruntime"))
    target = spec.targets[0]
    row = of(run, 16)
    costs = replace(pricer, spec=spec).before_training(row.candidate, target)
    assert costs["energy_mj"].value
    run.ledger.add(replace(row, target=target.id, metrics={**row.metrics, **costs}))
    path = tmp_path / "pi.jsonl"
    path.write_text(json.dumps({"candidate": row.id, "wall_ms": [2 * costs["latency_ms"].value] * 9}) + "\n")
    engine = Recalibrator(replace(pricer, spec=spec), target, open_device(f"replay:{path}", target), run.ledger,
                          run.folder, 4)  # fmt: skip
    found = engine.measure(next(e for e in run.evaluations() if e.target == target.id))
    assert found.metric("energy_mj").value == pytest.approx(2 * costs["energy_mj"].value, rel=0.02)


def test_a_ledger_that_points_out_of_its_run_is_refused(searched, tmp_path):
    run, _ = searched
    with pytest.raises(SpecError, match="outside its run"):
        loop(searched, tmp_path).measure(replace(of(run, 16), artifact="../../secret.onnx"))


def test_this_machine_is_measured_and_corrects_its_model(searched):
    run, pricer = searched
    device = open_device("local", run.spec.targets[0])
    engine = Recalibrator(pricer, run.spec.targets[0], device, run.ledger, run.folder, 4)
    made = engine.step(1.0, MeasurePlan(seconds=0.1, warmup_s=0.05, processes=1, max_processes=1))
    assert made.measurements == 3
    assert np.isfinite([made.error_before, made.error_after]).all()
    assert "onnxruntime" in made.versions
    rows = [e for e in run.evaluations() if e.id in made.measured]
    assert {e.metric("latency_ms").source for e in rows} == {"measured"}
    others = [e for e in run.evaluations() if e.status == "done" and e.id not in made.measured]
    assert all(e.metric("latency_ms").n == 3 for e in others)


def test_a_device_is_leased_to_one_measurement_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from advisor.devices.lease import leased\n"
        f"with leased(Path({str(tmp_path)!r}), 'host:onnxruntime'): print('mine', flush=True)"
    )
    with leased(tmp_path, "host:onnxruntime"):
        with leased(tmp_path, "host:litert"):
            pass  # another device
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=3)
    assert other.communicate(timeout=60)[0] == "mine\n"
