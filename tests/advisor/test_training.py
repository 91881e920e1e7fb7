from dataclasses import replace

import numpy as np
import pytest

from advisor.build.plans import PLANS, TrainPlan
from advisor.network.weights import load_weights
from advisor.space.search_space import make_candidate
from advisor.tasks.load import open_task
from advisor.training import Request, network_input, teacher, trained, weights_file
from specs.spec import parse_spec

SPEC = "schema: 1\nname: t\ntask: {kind: image-classification, data: digits}\ntargets: [host:litert]\n"
SMALL = (("depth", 2), ("growth", 1), ("kernel", 3), ("stem_stride", 1), ("width", 8))
WIDE = (("depth", 2), ("growth", 2), ("kernel", 3), ("stem_stride", 1), ("width", 24))


@pytest.fixture(scope="module")
def task():
    return open_task(parse_spec(SPEC))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setitem(PLANS, "short", TrainPlan(passes=6000, min_epochs=1))


def request_of(tmp_path, params, shape=(8, 8, 1), pruning=(), of=None):
    candidate = make_candidate("dscnn", params, shape, pruning, "fp32", 10)
    return Request(candidate, (), "short", tmp_path, 0, False, teacher=None if of is None else (of, "short"))


def run(request, task):
    from advisor.space.search_space import deployed_network

    return trained(deployed_network(request.candidate, 10), request, task, lambda *_: None, None)


def test_training_follows_a_teacher_that_is_there_and_does_without_one_that_is_not(tmp_path, task):
    wide = request_of(tmp_path, WIDE)
    small = request_of(tmp_path, SMALL, of=wide.candidate)
    assert teacher(small, task) is None
    plain, _ = run(small, task)
    weights_file(small, small.candidate.structure, "short").unlink()
    _, details = run(wide, task)
    assert details["validation"] > 0.5
    taught, _ = run(small, task)
    assert any(not np.array_equal(plain[key], taught[key]) for key in plain)
    stored = load_weights(weights_file(small, small.candidate.structure, "short"))
    assert all(np.array_equal(stored[key], taught[key]) for key in taught)


def test_nobody_is_their_own_teacher(tmp_path, task):
    wide = request_of(tmp_path, WIDE)
    run(wide, task)
    assert teacher(replace(wide, teacher=(wide.candidate, "short")), task) is None
    assert teacher(request_of(tmp_path, SMALL, of=wide.candidate), task) is not None


def test_a_teacher_answers_in_whatever_layout_the_student_reads(tmp_path):
    import torch

    from advisor.build.distill import reshaped

    rows = torch.arange(2 * 6 * 5, dtype=torch.float32).reshape(2, 6, 5, 1)  # N, T, F, 1
    as_image, as_series = rows.permute(0, 3, 1, 2), rows.reshape(2, 6, 1, 5).permute(0, 3, 1, 2)
    assert torch.equal(reshaped(lambda x: x, (6, 5, 1))(as_series), as_image)
    assert torch.equal(reshaped(lambda x: x, (6, 1, 5))(as_image), as_series)


def test_a_teacher_of_another_resolution_is_asked_once_about_the_samples_as_they_are(tmp_path, task):
    wide = request_of(tmp_path, WIDE)
    run(wide, task)
    found = teacher(request_of(tmp_path, SMALL, shape=(4, 4, 1), of=wide.candidate), task)
    assert found.shape == (len(network_input(task, "train", wide.candidate)), 10)
