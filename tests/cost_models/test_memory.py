"""Arena plans against the real TFLM interpreter, and what every plan must satisfy."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models import fit_memory
from cost_models.memory import live_bytes, persistent_bytes, plan_arena, ram_items, total
from cost_models.mobilenets import mobilenet_v1
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


def test_accelerated_kernels_copy_their_input_as_half_floats(tflite: Any, tmp_path: Path) -> None:
    b = tflite()
    (tmp_path / "m").write_bytes(b.build(chain(b)))
    work = read_workload(tmp_path / "m")
    at_once = 24 * 24 * 3 + 12 * 12 * 8 + 2 * 24 * 24 * 3
    assert plan_arena(work, "tflm").bytes < at_once <= plan_arena(work, "mvp").bytes < 1.2 * at_once


def test_cube_ai_writes_over_what_it_reads(make_target: Callable[..., Target]) -> None:
    target = make_target("cortex-m7", "stm32cube-ai")
    arena, weights, runtime = ram_items(mobilenet_v1(0.5, 224, 5), target)
    # 404.28 KiB of activations and 21 KiB of the tool's own were published; two tensors at once would be 588 KiB
    assert arena.bytes == pytest.approx(404.28 * 1024, rel=0.05)
    assert runtime.low_bytes <= 21 * 1024 <= runtime.high_bytes
    assert weights.bytes == 0
    assert total((arena, weights, runtime)).source == "predicted"


def test_cube_ai_keeps_what_another_operator_still_reads(make_target: Callable[..., Target]) -> None:
    shape = (16, 16, 8)
    tensors = tuple(Tensor(shape, 8) for _ in range(3))
    conv = Operator("conv", "c", (0,), (1,), 1, 1, 1, (1, 1), (1, 1))
    add = Operator("add", "a", (0, 1), (2,))
    skip = Workload("skip", tensors, (conv, add), (0,), (2,), "int8")
    plain = Workload("plain", tensors[:2], (conv,), (0,), (1,), "int8")
    target = make_target("cortex-m7", "stm32cube-ai")
    size = 16 * 16 * 8
    assert ram_items(plain, target)[0].bytes < 2 * size <= ram_items(skip, target)[0].bytes


def test_cube_ai_plans_of_published_networks(published: Path, make_target: Callable[..., Target]) -> None:
    # activations of ST's tables, KiB: two where nothing is overlaid are exact
    expected = {"resnet_v1_32_32_int8": (55.28, 0.001), "squeezenet_v1.1_224_int8": (756.25, 0.001),
                "fdmobilenet_0.25_224_int8": (152.0, 0.03), "miniresnet_1stacks_64x50_int8": (59.6, 0.03)}  # fmt: skip
    target = make_target("cortex-m7", "stm32cube-ai")
    for path in (published / "stm32").glob("*.tflite"):
        name = path.stem.split("__")[-1]
        if name in expected:
            kib, within = expected.pop(name)
            assert ram_items(read_workload(path), target)[0].bytes / 1024 == pytest.approx(kib, rel=within)
    assert not expected


def test_fitted_parameters_are_those_of_the_facts_carried() -> None:
    folder = Path(fit_memory.__file__).parent / "data"
    facts = fit_memory.read_facts(folder / "memory_facts.csv")
    carried, found = json.loads((folder / "memory.json").read_text()), fit_memory.fit_memory(facts)
    assert (carried["schema"], carried["fitted_on"]) == (1, found["fitted_on"])
    kept, fitted = carried["activations"], found["activations"]
    assert kept["exact"] == pytest.approx(fitted["exact"], rel=1e-3)
    assert kept["overlay"] == pytest.approx(fitted["overlay"], rel=1e-3)
    for release in fitted["overlaid"]:
        assert kept["overlaid"][release] == pytest.approx(fitted["overlaid"][release], rel=1e-3)
    assert carried["code"]["int8"]["channels"] == pytest.approx(found["code"]["int8"]["channels"], rel=1e-3)
    assert len({f.family for f in facts}) >= 9
    assert all(f.source for f in facts)


def test_an_unseen_family_is_predicted_from_the_others() -> None:
    facts = fit_memory.read_facts(Path(fit_memory.__file__).parent / "data" / "memory_facts.csv")
    errors = []
    for fact in facts:
        model = fit_memory.fit_memory([f for f in facts if f.family != fact.family])
        (value, low, high), _ = fit_memory.predicted(model, fact)
        assert low <= value <= high
        errors.append(abs(value / (fact.activations + fact.runtime_ram) - 1))
    assert sorted(errors)[len(errors) // 2] < 0.12
