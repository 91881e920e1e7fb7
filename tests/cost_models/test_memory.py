"""Arena plans against the real TFLM interpreter, and what every plan must satisfy."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models.memory import live_bytes, persistent_bytes, plan_arena, ram_items, total
from cost_models.read import read_workload
from cost_models.workload import Operator, Tensor, Workload
from specs.chip import Target


def interpreter_head_bytes(data: bytes) -> int:
    """What the interpreter reports of its planned tensors; it prints on the file descriptor."""
    runtime = pytest.importorskip("tflite_micro").runtime
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=8 << 20)
    with tempfile.TemporaryFile() as file:
        saved = os.dup(1), os.dup(2)
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            interpreter.print_allocations()
        finally:
            for number, copy in enumerate(saved, 1):
                os.dup2(copy, number)
                os.close(copy)
        file.seek(0)
        found = re.search(rb"head (\d+) bytes", file.read())
    assert found
    return int(found[1])


def chain(b: Any) -> int:
    x = b.conv(b.input(1, 24, 24, 3), 8, stride=2)
    x = b.conv(b.conv(x, 0, depthwise=True), 16, kernel=1)
    return int(b.softmax(b.dense(b.mean(x), 5)))


def residuals(b: Any) -> int:
    x = b.conv(b.input(1, 17, 13, 1), 7)
    x = b.add(x, b.conv(b.conv(x, 21, kernel=1), 7))
    x = b.add(x, b.conv(x, 7))
    return int(b.mean(b.conv(x, 33, stride=2)))


def branches(b: Any) -> int:
    x = b.input(1, 10, 10, 4)
    left, middle, right = b.conv(x, 8), b.conv(x, 8, kernel=1), b.conv(x, 8, kernel=5)
    return int(b.add(b.add(left, right), b.add(middle, b.conv(x, 8))))


@pytest.mark.parametrize("network", [chain, residuals, branches])
def test_arena_is_what_the_interpreter_plans(tmp_path: Path, tflite: Any, network: Callable[[Any], int]) -> None:
    b = tflite()
    data = b.build(network(b))
    (tmp_path / "m.tflite").write_bytes(data)
    work = read_workload(tmp_path / "m.tflite")
    assert plan_arena(work, "tflm").bytes == interpreter_head_bytes(data)


def test_published_arenas_match_the_interpreter(published: Path) -> None:
    pytest.importorskip("tflite_micro")
    for path in sorted((published / "mlcommons_tiny").glob("*int8.tflite")):
        assert plan_arena(read_workload(path), "tflm").bytes == interpreter_head_bytes(path.read_bytes())


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Random wirings: every operator reads one or two earlier tensors."""
    sizes = draw(st.lists(st.integers(1, 5000), min_size=2, max_size=14))
    operators = []
    for index in range(1, len(sizes)):
        reads = draw(st.lists(st.integers(0, index - 1), min_size=1, max_size=2, unique=True))
        operators.append(Operator("add", f"op{index}", tuple(reads), (index,)))
    tensors = tuple(Tensor((size,), 8) for size in sizes)
    return Workload("random", tensors, tuple(operators), (0,), (len(sizes) - 1,), "int8")


@settings(deadline=None)
@given(work=workloads(), planner=st.sampled_from(["tflm", "greedy"]))
def test_live_tensors_never_overlap(work: Workload, planner: Any) -> None:
    plan = plan_arena(work, planner)
    sizes = work.tensor_bytes
    for i in range(len(sizes)):
        assert plan.offsets[i] + sizes[i] <= plan.bytes
        for j in range(i):
            alive = plan.lifetimes[i][0] <= plan.lifetimes[j][1] and plan.lifetimes[j][0] <= plan.lifetimes[i][1]
            apart = plan.offsets[i] + sizes[i] <= plan.offsets[j] or plan.offsets[j] + sizes[j] <= plan.offsets[i]
            assert apart or not alive
    assert live_bytes(work) <= plan.bytes


def test_items_have_their_names_and_add_up(make_target: Callable[..., Target], tmp_path: Path, tflite: Any) -> None:
    b = tflite()
    (tmp_path / "m").write_bytes(b.build(chain(b)))
    work = read_workload(tmp_path / "m")
    items = ram_items(work, make_target())
    assert [item.name for item in items] == ["arena", "persistent", "runtime"]
    assert items[0].bytes == items[0].low_bytes == plan_arena(work, "tflm").bytes
    low, likely, high = persistent_bytes(work)
    assert 0 < low < likely < high
    whole = total(items)
    assert whole.value == sum(item.bytes for item in items)
    linux = ram_items(work, make_target("cortex-a72", "litert"))
    assert [item.name for item in linux] == ["arena", "weights", "runtime"]
    assert linux[1].low_bytes == work.weight_bytes
