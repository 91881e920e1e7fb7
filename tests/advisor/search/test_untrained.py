"""What was only trained briefly is measured by files that nobody trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from advisor_samples import DIGITS, candidate
from recalibration_samples import TRUTH, WIDTHS

from advisor.devices.address import open_device
from advisor.evaluation import Evaluation
from advisor.run import create_run, open_run
from advisor.rung import SCORE
from advisor.search.costing import Pricer
from advisor.search.recalibrate import Recalibrator
from cost_models.analytic import AnalyticModel
from cost_models.estimate import Estimate
from specs.spec import parse_spec


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
