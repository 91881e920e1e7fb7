"""Specs as runs recorded them."""

import hashlib
import json

import pytest
import yaml

from specs.errors import SpecError
from specs.spec import load_spec, parse_spec

BASE = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
"""


def test_a_recorded_spec_with_empty_lists_opens_and_keeps_its_id():
    found = parse_spec(BASE)
    document = found.to_dict()
    assert not {"architectures", "quantization"} & set(document["search"])
    document["search"] |= {"architectures": [], "quantization": []}
    text = yaml.safe_dump(document)
    again = parse_spec(text, recorded=True)
    assert (again, again.id) == (found, found.id)
    assert (
        found.id
        == hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]
    )
    with pytest.raises(SpecError, match="empty list"):
        parse_spec(text)


def test_the_spec_file_of_an_older_run_can_start_another(tmp_path):
    document = parse_spec(BASE).to_dict()
    document["search"] |= {"architectures": [], "quantization": []}
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(SpecError, match="empty list"):
        load_spec(path)
    (tmp_path / "ledger.db").touch()
    assert load_spec(path).id == parse_spec(BASE).id


def test_older_runs_on_sounds_subtracted_the_training_mean(tmp_path):
    new = parse_spec(BASE.replace("image", "audio"))
    assert new.task.normalization == "auto"
    document = new.to_dict()
    del document["task"]["normalization"]
    text = yaml.safe_dump(document)
    old = parse_spec(text, recorded=True)
    assert old.task.normalization == "training"
    canonical = json.dumps(document | {"search": document["search"] | {"architectures": [], "quantization": []}},
                           sort_keys=True, separators=(",", ":"))  # fmt: skip
    assert old.id == hashlib.sha256(canonical.encode()).hexdigest()[:12] != new.id
    assert parse_spec(old.to_yaml(), recorded=True) == parse_spec(old.to_yaml()) == old
    (tmp_path / "ledger.db").touch()
    (tmp_path / "spec.yaml").write_text(text)
    assert load_spec(tmp_path / "spec.yaml").task.normalization == "training"
    assert parse_spec(text).task.normalization == "auto"
