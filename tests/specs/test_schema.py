"""The published JSON Schema says what the parser says, as far as a schema can."""

import json

import jsonschema
import pytest
import yaml

from specs import catalog, schema
from specs.spec import from_dict

VALIDATOR = jsonschema.Draft202012Validator(schema.spec_json_schema())
EXAMPLES = sorted((catalog.root() / "examples").glob("*.yaml"))
BASE = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: host:onnxruntime
"""


def accepts(text: str) -> bool:
    return VALIDATOR.is_valid(yaml.safe_load(text))


def test_the_published_file_is_up_to_date():
    published = (catalog.root() / "spec.schema.json").read_text("utf-8")
    assert published == schema.schema_text(), "run `python -m specs.schema`"
    assert json.loads(published) == schema.spec_json_schema()


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.spec_json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_validate(path):
    VALIDATOR.validate(yaml.safe_load(path.read_text("utf-8")))


def test_what_the_parser_writes_validates():
    text = (
        BASE
        + """
baseline: {model: old.onnx}
limits:
  latency: {max: 0.5 s, ambient: -10 C, sustained: 1 h, stat: max, scope: pipeline}
  peak_ram: {max: 1.5 MiB, reserved: 3 KB}
  battery: {min: 0.1 y, capacity: 1 Ah, voltage: 3300 mV, every: 1 min, sleep: 0 uA}
  accuracy: {min: 92.5 %}
  accuracy_drop: {max: 0}
  robust_accuracy: {min: 1}
  unit_cost: {max: 1e1 EUR}
search: {pruning: [0, 50 %], architectures: ["timm:resnet18"], time: 1.5 h, harden: true, distil: true}
risk: {feasible_probability: 95 %}
"""
    )
    assert accepts(text)
    assert accepts(yaml.safe_dump(from_dict(yaml.safe_load(text)).to_dict()))


@pytest.mark.parametrize(
    "line",
    [
        "surprise: 1",
        "limits:",
        "limits: {latency: 50 ms}",
        "limits: {latency: {max: 50}}",
        "limits: {latency: {max: 50 MS}}",
        "limits: {latency: {max: 50 KiB}}",
        "limits: {latency: {max: -50 ms}}",
        "limits: {latency: {max: 0.0 ms}}",
        "limits: {latency: {min: 50 ms}}",
        "limits: {latency: {stat: p95}}",
        "limits: {latency: {max: 50 ms, stat: p96}}",
        "limits: {latancy: {max: 50 ms}}",
        "limits: {accuracy: {min: 1.2}}",
        "limits: {accuracy: {min: true}}",
        "limits: {accuracy_drop: {max: 0.1}}",
        "limits: {battery: {min: 1 y}}",
        "limits: {unit_cost: {max: 5 GBP}}",
        "limits: {robust_accuracy: {min: 0.5, under: [fog]}}",
        "objectives: [speed]",
        "objectives: []",
        "pipeline: {capture: 5}",
        "baseline: {}",
        "search: {trials: 0}",
        "search: {pruning: [0.95]}",
        "search: {pruning: []}",
        "search: {architectures: []}",
        "search: {quantization: []}",
        "search: {architectures: ['timm:']}",
        "risk: {feasible_probability: 1}",
        "name: a b",
        "schema: 2",
        "targets: []",
        "task: {kind: image-classification, data: digits, frontend: mfcc}",
        "task: {kind: image-classification, data: digits, normalization: sample}",
        "task: {kind: image-classification}",
        "task: {kind: audio-classification, data: d}\nlimits: {robust_accuracy: {min: 0.5, under: [tilt]}}",
        "search: {harden: true}",
        "search: {harden: 1}",
        "search: {distil: yes please}",
    ],
)
def test_broken_specs_do_not_validate(line):
    assert accepts(BASE)
    assert not accepts(f"{BASE}{line}\n")  # PyYAML takes the last of two equal keys


def test_every_key_is_described():
    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            for key, value in node.get("properties", {}).items():
                if "description" not in value and "/if" not in path and "/then" not in path:
                    undescribed.append(f"{path}.{key}")
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for item in node:
                walk(item, path)

    undescribed: list[str] = []
    walk(schema.spec_json_schema(), "")
    assert undescribed == []


def test_main_writes_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalog, "root", lambda: tmp_path)
    schema.main()
    assert (tmp_path / "spec.schema.json").read_text("utf-8") == schema.schema_text()
    assert str(tmp_path) in capsys.readouterr().out
