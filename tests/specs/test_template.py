"""What `advisor init` writes loads as it stands, and with every commented key switched on."""

import re
from dataclasses import replace

import pytest

from specs import catalog
from specs.chip import Chip, Memory
from specs.errors import SpecError
from specs.limits import CORRUPTIONS, LIMIT_KEYS
from specs.search import SEARCH_KEYS
from specs.spec import TASK_KINDS, TOP_KEYS, parse_spec
from specs.template import template

HIDDEN = re.compile(r"^( *)# ( *\w+:.*)$", re.MULTILINE)


def chip(kind, *memories):
    regions = tuple(Memory(name, name, size, "s") for name, size in memories)
    return Chip("tiny", "Tiny", "maker", kind, regions, (), (), None, ("tflm",), {}, {})


@pytest.fixture
def tiny(monkeypatch):
    def use(*chips):
        known = {f"tiny{i}": replace(chip, id=f"tiny{i}") for i, chip in enumerate(chips)}
        monkeypatch.setattr(catalog, "chips", lambda: known)
        monkeypatch.setattr(catalog, "chip", known.__getitem__)

    return use


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_it_loads_as_it_is_and_with_everything_switched_on(kind):
    text = template("my-idea", kind, "data/mine", ["host:onnxruntime", "host:tflm"], "macro-f1")
    found = parse_spec(text)
    assert (found.name, found.task.kind, found.task.data, found.task.metric) == (
        "my-idea",
        kind,
        "data/mine",
        "macro-f1",
    )
    assert [target.id for target in found.targets] == ["host:onnxruntime", "host:tflm"]
    assert [limit.name for limit in found.limits] == ["latency", "peak_ram", "flash", "accuracy"]
    everything = parse_spec(HIDDEN.sub(r"\1\2", text))
    assert {limit.name for limit in everything.limits} == set(LIMIT_KEYS)
    assert set(everything.limit("robust_accuracy").under) <= set(CORRUPTIONS[kind])
    assert everything.baseline
    assert everything.pipeline


def test_every_key_is_shown_with_a_note():
    text = template("x", "audio-classification", "d", ["host"]) + template("x", "image-classification", "d", ["host"])
    lines = [line for line in text.splitlines() if re.match(r"^[ #]*\w+:", line)]
    shown = {re.match(r"^[ #]*(\w+):", line)[1] for line in lines}
    keys = [
        *TOP_KEYS.split(),
        *SEARCH_KEYS.split(),
        *LIMIT_KEYS,
        *(key for keys in LIMIT_KEYS.values() for key in keys.split()),
    ]
    assert {*keys, "frontend", "normalization", "feasible_probability"} <= shown
    assert all(re.search(r"\S +# \S", line) for line in lines if "preprocess" not in line)


def test_limits_follow_the_smallest_microcontroller(tiny):
    tiny(
        chip("mcu", ("ram", 512 * 1024), ("flash", 2 * 1024**2)),
        chip("mcu+npu", ("ram", 256 * 1024), ("flash", None)),
        chip("mpu", ("dram", 2**30), ("storage", None)),
    )
    text = template("x", "image-classification", "d", ["tiny0", "tiny1"])
    found = parse_spec(text)
    assert len(re.findall("fits the tightest target, tiny1", text)) == 1
    assert len(re.findall("fits the tightest target, tiny0", text)) == 1
    ram, flash = found.limit("peak_ram"), found.limit("flash")
    assert (ram.bound, ram.reserved_bytes) == (256 * 1024, 64 * 1024)
    assert (flash.bound, flash.reserved_bytes) == (2 * 1024**2, 512 * 1024)
    assert found.limit("latency").bound == 100
    assert "tightest" not in template("x", "image-classification", "d", ["tiny0"])


def test_beside_other_computers_the_models_share_alone_is_limited():
    """Runtimes of such computers take more memory than a microcontroller has."""
    found = parse_spec(template("x", "image-classification", "digits", ["stm32h743:tflm", "host:onnxruntime"]))
    for name, kind in (("peak_ram", "ram"), ("flash", "flash")):
        size = catalog.target("stm32h743:tflm").chip.memory_bytes(kind)
        limit = found.limit(name)
        assert (limit.bound, limit.reserved_bytes, limit.counts) == (pytest.approx(0.75 * size, rel=1e-3), 0, "model")


def test_unknown_memories_leave_the_limit_off(tiny):
    tiny(chip("mcu", ("ram", None)))
    found = parse_spec(template("x", "image-classification", "d", ["tiny0"]))
    assert [limit.name for limit in found.limits] == ["latency", "accuracy"]


def test_a_linux_board_leaves_room_for_its_system(tiny):
    tiny(chip("mpu", ("dram", 512 * 1024**2), ("storage", None)))
    found = parse_spec(template("x", "image-classification", "d", ["tiny0"]))
    assert found.limit("peak_ram").bound == 128 * 1024**2
    assert found.limit("flash").counts == "model"


@pytest.mark.parametrize(
    "data", ["no", "a: b", "1", "a#b # c", "über mich/d", "'", '"', "\\n", "- x", "C:\\data", "123.npz", "x:"]
)
def test_any_path_survives(data):
    assert parse_spec(template("x", "image-classification", data, "host")).task.data == data


@pytest.mark.parametrize("name", ["on", "2024", "1.5", "héllo", "a-b_c.d", "1e5"])
def test_any_name_survives(name):
    assert parse_spec(template(name, "image-classification", "digits", ["host"])).name == name


@pytest.mark.parametrize(
    ("name", "kind", "data", "targets", "metric"),
    [
        ("a b", "image-classification", "digits", ["host"], "accuracy"),
        ("x\ny", "image-classification", "digits", ["host"], "accuracy"),
        ("x", "video", "digits", ["host"], "accuracy"),
        ("x", "image-classification", "", ["host"], "accuracy"),
        ("x", "image-classification", "a\nb", ["host"], "accuracy"),
        ("x", "image-classification", "digits", [], "accuracy"),
        ("x", "image-classification", "digits", ["none"], "accuracy"),
        ("x", "image-classification", "digits", ["host", "host"], "accuracy"),
        ("x", "image-classification", "digits", ["host"], "speed"),
    ],
)
def test_bad_arguments(name, kind, data, targets, metric):
    with pytest.raises(SpecError):
        template(name, kind, data, targets, metric)


def test_every_target_of_the_catalogue_gets_a_template():
    for target in catalog.targets():
        text = template("x", "image-classification", "digits", [target.id])
        assert parse_spec(HIDDEN.sub(r"\1\2", text)).targets[0].id == target.id
