"""How accuracy under corruption is told: by severity for one candidate, by corruption for several."""

from dataclasses import replace

from advisor_samples import evaluation

from advisor.front import front, front_info
from advisor.report.front import front_text
from advisor.report.robust import robust_rows, robust_text
from cost_models.estimate import Estimate
from specs.spec import parse_spec

SEEN = [Estimate(share, share - 0.1, min(1.0, share + 0.1), "measured", 60).to_dict() for share in (0.9, 0.8, 0.7, 0.6)]
ROBUST = {
    "worst": "tilt",
    "under": {
        "noise": {"value": 0.9, "low": 0.85, "high": 0.93, "severities": [SEEN[0], SEEN[0], {"value": None}, *SEEN[:2]],
                  "levels": [0.04, 0.06, 0.08, 0.09, 0.1], "unit": "of the range"},
        "tilt": {"value": 0.7, "low": 0.65, "high": 0.75, "severities": [*SEEN, SEEN[3]],
                 "levels": [5, 10, 15, 20, 30], "unit": "degrees"},
        "clipping": {"value": None, "reason": "the data holds features only"},
    },
}  # fmt: skip
SPEC = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
limits: {robust_accuracy: {min: 0.75, under: [noise, tilt]}}
"""


def row(details):
    return {"id": "c1", "target": "host:onnxruntime", "details": details}


def shown(robust, text=SPEC):
    """The text of a front of one candidate whose mean under corruption is `robust`."""
    spec, made = parse_spec(text), evaluation(8, 0.95, 1.0)
    metrics = {**made.metrics, "robust_accuracy": Estimate(robust, robust - 0.05, robust + 0.05, "measured", 300)}
    found = front(spec, [replace(made, metrics=metrics, details={"robust": ROBUST})])
    return front_text(spec, front_info(spec, found))


def test_one_candidate_by_severity():
    noise, tilt, clipping = robust_rows({"robust": ROBUST})
    assert (noise["mean"], noise["90 % interval"]) == ("90.0 %", "85.0 % to 93.0 %")
    assert noise["severity 1"] == "90.0 % at 0.04 of the range"
    assert noise["severity 3"] == "– at 0.08 of the range"
    assert tilt["severity 5"] == "60.0 % at 30 degrees"
    assert clipping == {
        "corruption": "clipping",
        "mean": "not judged",
        "90 % interval": "the data holds features only",
    }


def test_several_candidates_by_corruption():
    text = robust_text([row({"robust": ROBUST}), row({})])
    assert "noise" in text.splitlines()[0]
    assert "90.0 %" in text
    assert "70.0 % worst" in text
    assert "clipping: not judged, the data holds features only" in text


def test_the_mean_on_test_samples_stands_beside_where_it_is_known():
    tested = {"robust": ROBUST, "test_robust_accuracy": {"value": 0.775}}
    text = robust_text([row(tested), row({"robust": ROBUST})])
    assert "mean on test" in text.splitlines()[0]
    assert "77.5 %" in text
    assert "mean on test" not in robust_text([row({"robust": ROBUST})])


def test_nothing_judged_nothing_said():
    for details in ({}, {"robust": None}, {"robust": {"under": {}}}):
        assert robust_rows(details) == []
        assert robust_text([row(details)]) == ""


def test_the_front_shows_robust_accuracy_where_the_spec_limits_it():
    text = shown(0.80)
    assert "robust" in text.splitlines()[2]
    assert "80.0 %" in text
    assert "70.0 % worst" in text
    assert "robust" not in shown(0.80, SPEC.replace("limits", "#limits")).splitlines()[2]


def test_a_missed_limit_is_named_with_what_was_reached():
    text = shown(0.72)
    assert "none found" in text
    assert "70.0 % worst" in text
    assert "robust_accuracy misses 75 % by 3 points (72.0 %)" in text
