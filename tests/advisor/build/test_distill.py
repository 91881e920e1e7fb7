from dataclasses import replace

import numpy as np
import pytest
import torch
from quantized import KIND, PLAN, accuracy, digits, trained
from torch.nn import functional as F

from advisor.build.distill import frozen, soft_targets, with_soft_targets
from advisor.build.fake_quant import without_norms
from advisor.build.train import logits, train
from advisor.network.to_torch import to_torch


def test_without_a_teacher_nothing_changes():
    x = torch.randn(10, 1, 2, 2)
    assert soft_targets(None, torch.arange(10), x, 4) == [None, None, None]
    hard = torch.tensor(1.5)
    assert with_soft_targets(hard, torch.randn(4, 3), None) is hard


def test_targets_follow_the_samples():
    table = np.arange(20, dtype=np.float32).reshape(10, 2)
    index = torch.tensor([7, 1, 3])
    found = soft_targets(table, index, torch.zeros(3, 1, 2, 2), 2)
    assert torch.cat(list(found)).tolist() == [[14, 15], [2, 3], [6, 7]]
    asked = soft_targets(lambda batch: batch.flatten(1)[:, :2] + 1, index, torch.zeros(3, 1, 2, 2), 2)
    assert torch.equal(torch.cat(list(asked)), torch.ones(3, 2))


def test_the_soft_part_vanishes_exactly_when_the_teacher_is_matched():
    hard = torch.tensor(0.8)
    teacher = torch.randn(6, 5)
    same = with_soft_targets(hard, teacher + 3, teacher)  # a constant more changes no probability
    other = with_soft_targets(hard, -teacher, teacher)
    assert float(same) == pytest.approx(0.3 * 0.8, abs=1e-5)
    assert float(other) > float(same)


def test_a_student_takes_over_the_teachers_view():
    network, folded, _ = trained()
    teacher = to_torch(without_norms(network), folded)
    sets = digits()
    few = (sets[0][0][:150], sets[0][1][:150])
    wanted = torch.from_numpy(logits(teacher, sets[2][0]))
    apart = []
    for given in (None, frozen(teacher), logits(teacher, few[0])):
        student = to_torch(network, seed=3)
        train(student, few, sets[1], replace(PLAN, passes=6000), KIND, accuracy, teacher_logits=given)
        found = torch.from_numpy(logits(student, sets[2][0]))
        apart.append(
            float(F.kl_div(found.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True))
        )
    assert apart[1] < apart[0]
    assert apart[2] < apart[0]
