from pathlib import Path

import pytest

from advisor.search.costing import Pricer
from advisor.search.prospects import Prospects
from advisor.search.study import TargetStudy, anchors
from advisor.space.search_space import search_space
from cost_models.analytic import AnalyticModel
from specs.spec import parse_spec

SPEC = """
schema: 1
name: t
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
"""


@pytest.fixture(scope="module")
def space():
    spec = parse_spec(SPEC, folder=Path("."))
    return search_space(spec, spec.targets[0], ((32, 32, 3), (24, 24, 3)), 10)


@pytest.fixture
def prospects(space):
    spec = parse_spec(SPEC, folder=Path("."))
    return Prospects(space, Pricer(spec, AnalyticModel(), 10))


def told(study, count, start=0):
    """Ask and tell `count` trials with values that depend on the candidate alone."""
    rows, ids = [], []
    for _ in range(count):
        asked = study.ask()
        score = int(asked.candidate.id, 16) % 1000 / 1000
        rows.append(study.tell(asked, [score, 1 - score], {"latency": score - 0.9}))
        ids.append(asked.candidate.id)
    return rows, ids


def test_the_same_seed_proposes_the_same_and_another_does_not(prospects):
    first = told(TargetStudy(prospects, ("accuracy", "latency"), 7), 25)[1]
    assert told(TargetStudy(prospects, ("accuracy", "latency"), 7), 25)[1] == first
    assert told(TargetStudy(prospects, ("accuracy", "latency"), 8), 25)[1] != first


def test_a_restored_study_continues_as_if_never_interrupted(prospects):
    whole = told(TargetStudy(prospects, ("accuracy", "latency"), 3), 30)[1]
    before = TargetStudy(prospects, ("accuracy", "latency"), 3)
    rows, ids = told(before, 18)
    after = TargetStudy(prospects, ("accuracy", "latency"), 3)
    after.restore(rows)
    assert ids + told(after, 12)[1] == whole


def test_failures_are_remembered_too(prospects):
    study = TargetStudy(prospects, ("accuracy", "latency"), 0)
    row = study.tell(study.ask(), None, {})
    again = TargetStudy(prospects, ("accuracy", "latency"), 0)
    again.restore([row])
    assert again.told == study.told == 1


def test_the_search_starts_at_every_architecture(space, prospects):
    starts = list(anchors(space))
    assert {v["architecture"] for v in starts} == set(space.architectures)
    study = TargetStudy(prospects, ("accuracy", "latency"), 0)
    assert told(study, len(starts))[1] == [space.candidate(v).id for v in starts]
