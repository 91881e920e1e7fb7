"""Every example is a spec that loads, round-trips, and together they show the whole format."""

import pytest
import yaml

from specs import catalog
from specs.limits import LIMIT_KEYS
from specs.spec import TASK_KINDS, from_dict, load_spec, parse_spec

EXAMPLES = {path.stem: path for path in sorted((catalog.root() / "examples").glob("*.yaml"))}


def test_the_examples_are_there():
    assert {
        "digits",
        "doorbell",
        "keyword-spotting",
        "activity-recognition",
        "factory-camera",
        "battery-sensor",
    } <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_and_round_trips(name):
    found = load_spec(EXAMPLES[name])
    assert found.targets
    assert found.limits
    assert from_dict(found.to_dict(), folder=found.folder) == found
    assert parse_spec(found.to_yaml()).id == found.id


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_is(name):
    assert EXAMPLES[name].read_text("utf-8").startswith("# ")


def test_the_examples_use_every_limit_and_every_key():
    documents = [yaml.safe_load(path.read_text("utf-8")) for path in EXAMPLES.values()]
    used = {(name, key) for document in documents for name, limit in document["limits"].items() for key in limit}
    wanted = {(name, key) for name, keys in LIMIT_KEYS.items() for key in keys.split() if key != "soft"}
    assert wanted <= used
    assert any(key == "soft" for _, key in used)
    assert {document["task"]["kind"] for document in documents} == set(TASK_KINDS)


def test_the_demo_runs_on_any_machine():
    found = load_spec(EXAMPLES["digits"])
    assert found.task.data == "digits"
    assert [target.id for target in found.targets] == ["host:onnxruntime"]
    assert found.search.quantization == ("fp32", "int8")
