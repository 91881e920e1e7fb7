"""Hostile and silly files: each ends in one line with the file, and the key path or the line where it went wrong."""

from datetime import date
from pathlib import Path

import pytest

from specs.errors import SpecError
from specs.reading import MAX_YAML_BYTES, parse_yaml, read_yaml
from specs.spec import from_dict, load_spec, parse_spec

BASE = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
"""
BOMB = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n"


def cyclic() -> dict[str, object]:
    loop: dict[str, object] = {}
    loop["name"] = loop
    return loop


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "my.yaml: empty"),
        ("# nothing\n", "my.yaml: empty"),
        ("~", "my.yaml: empty"),
        ("- 1", "my.yaml: a mapping is needed"),
        ("hello", "my.yaml: a mapping is needed"),
        ("a: [", "next: check the indentation, colons, brackets and quotes up to that line"),
        ("a:\n\t- b", "my.yaml:2: not valid YAML"),
        ("a:\n\tb: 1", "next: indent with spaces"),
        (BASE + "---\n" + BASE, "my.yaml:5: not valid YAML"),
        (BASE + "\0", "not valid YAML"),
        ("name: '\ud800'", "my.yaml: not valid YAML"),
        (BOMB, "my.yaml:2: YAML aliases are not supported; seen '*a'"),
        ("a: &a\n  b: *a", "my.yaml:2: YAML aliases are not supported"),
        ("<<: *a", "my.yaml:1: YAML aliases are not supported"),
        (BASE + "<<: {name: y}", "my.yaml: <<: unknown key"),
        ("!!python/object/apply:os.system [ls]", "my.yaml:1: YAML tags are not supported"),
        ("a: !!binary aGVsbG8=", "my.yaml:1: YAML tags are not supported"),
        ("a: !!set {b}", "my.yaml:1: YAML tags are not supported"),
        ("[" * 100_000, "my.yaml:1: nested too deeply"),
        ("- " * 50_000, "my.yaml:1: nested too deeply"),
        ("{a: " * 5000, "my.yaml:1: nested too deeply"),
        ("x" * (MAX_YAML_BYTES + 1), "my.yaml: file too large"),
        (BASE + "name: y\n", "my.yaml:5: name: key given twice; seen 'on line 2 and on line 5'"),
        (BASE + "limits:\n  accuracy: {min: 0.9, min: 0.8}\n", "my.yaml:6: limits.accuracy.min: key given twice"),
        (BASE + "search: {architectures: [{a: 1, a: 2}]}", "my.yaml:5: search.architectures[0].a: key given twice"),
        (BASE + "1: 2", "my.yaml: a key must be text; seen 1"),
        (BASE + "true: 2", "my.yaml: a key must be text; seen True"),
        (BASE + "limits: {accuracy: {.nan: 2}}", "my.yaml: limits.accuracy: a key must be text"),
        (BASE + "? [a, b]\n: c", "my.yaml:5: a key must be text"),
        (BASE + "limits:\n  ? {a: b}\n  : c", "my.yaml:6: limits: a key must be text"),
        (BASE + '"a\\e[31m": 1', r"my.yaml: 'a\x1b[31m': unknown key"),
        (BASE + "search: {seed: " + "9" * 5000 + "}", "my.yaml:5: search.seed: not a number of sensible size"),
        (BASE + "search: {seed: 0x" + "f" * 5000 + "}", "my.yaml: search.seed: a whole number is needed"),
        (BASE + "search: {seed: 99999999999999999999}", "my.yaml: search.seed: not a number of sensible size"),
        (BASE + "search: {seed: 010}", "my.yaml: search.seed: a whole number is needed; seen '010'"),
        (BASE + "risk: {feasible_probability: .inf}", "my.yaml: risk.feasible_probability: not a number of sensible"),
    ],
    ids=lambda value: value[:30] if value.isprintable() else None,
)
def test_bad_text(text, says):
    with pytest.raises(SpecError) as caught:
        parse_spec(text, where="my.yaml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "d: empty"),
        ([], "d: a mapping is needed"),
        (5, "d: a mapping is needed"),
        (b"schema: 1", "d: not a value of YAML; seen 'bytes'"),
        ({"name": date(2024, 1, 1)}, "d: name: not a value of YAML; seen 'date'"),
        ({"targets": ("host",)}, "d: targets: not a value of YAML; seen 'tuple'"),
        ({"targets": {"host"}}, "d: targets: not a value of YAML; seen 'set'"),
        ({"search": {"seed": 10**6000}}, "d: search.seed: not a number of sensible size"),
        ({10**6000: 1}, "d: a key must be text"),
        ({None: 1}, "d: a key must be text"),
        (cyclic(), "name.name: nested too deeply"),
        ({"targets": [None]}, "d: targets[0]: no value"),
    ],
    ids=range(12),
)
def test_bad_documents(document, says):
    with pytest.raises(SpecError) as caught:
        from_dict(document, where="d")
    assert says in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    binary, utf16, large = tmp_path / "binary.yaml", tmp_path / "utf16.yaml", tmp_path / "large.yaml"
    binary.write_bytes(bytes(range(256)) * 8)
    utf16.write_text(BASE, "utf-16")
    large.write_bytes(b"# " + b"x" * MAX_YAML_BYTES)
    for path, says in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none.yaml", "No such file"),
        (binary, "not UTF-8 text"),
        (utf16, "not UTF-8 text"),
        (large, "file too large"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("a\0b"), "null byte"),
    ):
        with pytest.raises(SpecError) as caught:
            load_spec(path)
        assert says in str(caught.value)
        assert str(caught.value).startswith((str(path), repr(str(path))))


def test_a_device_file_is_not_read_to_its_end():
    zero = Path("/dev/zero")
    if not zero.exists():
        pytest.skip("no such device here")
    with pytest.raises(SpecError, match="too large"):
        read_yaml(zero)


def test_plain_values_mean_what_they_say():
    text = "[1, -2, 1_000, 010, 1.5, 1e3, .5, no, on, Yes, 10:30, 2024-01-01, true, False, null, ~, '5', \"no\", =, <<]"
    assert parse_yaml(text, "t") == [
        1, -2, 1000, "010", 1.5, "1e3", 0.5, "no", "on", "Yes", "10:30", "2024-01-01", True, False, None, None,
        "5", "no", "=", "<<",
    ]  # fmt: skip


def test_an_anchor_that_nothing_refers_to_is_harmless():
    assert parse_yaml("a: &here 5", "t") == {"a": 5}
