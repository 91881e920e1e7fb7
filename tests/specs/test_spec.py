"""The parser on good, generated, silly and hostile specs: a Spec or one clear SpecError, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs import catalog, limits, search, spec, units
from specs.chip import Chip, Memory
from specs.errors import SpecError
from specs.limits import LIMIT_DIMENSION, LIMIT_KEYS, QUANTITY_KEYS
from specs.spec import Spec, from_dict, load_spec, parse_spec

IMAGES = limits.CORRUPTIONS["image-classification"]
BASE = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
"""

FULL = """
schema: 1
name: doorbell-quality-filter
task: {kind: image-classification, data: digits, metric: accuracy}
targets: [host:onnxruntime, host:litert]
baseline: {model: old.tflite}
limits:
  latency:   {max: 50 ms, stat: p99, scope: pipeline, sustained: 10 min, ambient: 45 C}
  peak_ram:  {max: 320 KiB, reserved: 96 KiB}
  flash:     {max: 1 MiB, reserved: 400 KiB, counts: model}
  energy:    {max: 3 mJ, soft: true}
  power:     {max: 500 mW}
  battery:   {min: 180 d, capacity: 2400 mAh, voltage: 3.7 V, every: 10 s, sleep: 20 uA}
  accuracy:  {min: 0.92}
  accuracy_drop: {max: 2 %}
  robust_accuracy: {min: 0.80, under: [low-light, tilt]}
  unit_cost: {max: 12 EUR, volume: 1000}
objectives: [accuracy, latency, energy]
pipeline: {capture: 12 ms, preprocess: 5 ms, postprocess: 1 ms}
risk: {feasible_probability: 0.95}
search: {trials: 50, time: 20 min, measurements: 24, seed: 3, architectures: [dscnn, "timm:resnet18"], pruning: [0.5],
  quantization: [int8]}
"""


def at_most(examples: int) -> settings:
    """No verdict on speed: a busy machine is not a wrong parser."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def error(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, where="my.yaml")
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_whole_format_is_read():
    found = parse_spec(FULL)
    latency, battery = found.limit("latency"), found.limit("battery")
    assert [limit.name for limit in found.limits] == list(LIMIT_KEYS)
    assert (latency.bound, latency.stat, latency.scope) == (50, "p99", "pipeline")
    assert (latency.sustained_ms, latency.ambient_c) == (600_000, 45)
    assert found.limit("peak_ram").reserved_bytes == 96 * 1024
    assert found.limit("flash").counts == "model"
    assert found.limit("energy").soft
    assert battery.bound == 180
    assert battery.battery == limits.Battery(2400, 3.7, 10_000, 20)
    assert found.limit("accuracy_drop").bound == 0.02
    assert found.limit("robust_accuracy").under == ("low-light", "tilt")
    assert found.limit("unit_cost").bound == 12 * units.EUR_IN_USD
    assert found.limit("unit_cost").volume == 1000
    assert (found.pipeline_ms, found.feasible_probability, found.baseline) == (18, 0.95, "old.tflite")
    assert [target.id for target in found.targets] == ["host:onnxruntime", "host:litert"]
    assert found.search == search.SearchSpec(50, 1200, 24, 3, ("dscnn", "timm:resnet18"), (0.5,), ("int8",))


def test_what_is_absent_has_its_default():
    found = parse_spec(BASE)
    assert (found.limits, found.objectives, found.pipeline) == ((), ("accuracy", "latency"), ())
    assert (found.feasible_probability, found.search, found.baseline) == (0.9, search.SearchSpec(), None)


def test_one_target_may_be_plain_text():
    assert parse_spec(BASE.replace("[host:onnxruntime]", "host:onnxruntime")) == parse_spec(BASE)


def test_corruptions_default_to_all():
    assert parse_spec(BASE + "limits: {robust_accuracy: {min: 0.8}}").limit("robust_accuracy").under == IMAGES


def test_yaml_words_and_dates_stay_text():
    found = parse_spec(BASE.replace("name: x", "name: no").replace("digits", "2024-01-01"))
    assert (found.name, found.task.data) == ("no", "2024-01-01")


def test_load_spec_names_the_file_and_keeps_its_folder(tmp_path: Path):
    path = tmp_path / "größe.yaml"
    path.write_text("\ufeff" + BASE, "utf-8")
    found = load_spec(path)
    assert found.folder == tmp_path
    assert found.data_path() == tmp_path / "digits"
    path.write_text(BASE + "limits: {latency: {max: 20}}", "utf-8")
    with pytest.raises(SpecError, match=r"größe\.yaml: limits\.latency\.max: time needs a unit"):
        load_spec(path)


CHIP = Chip("tiny", "Tiny", "maker", "mcu", (Memory("SRAM", "ram", 65536, "s"), Memory("flash", "flash", 262144, "s")),
            (), (), None, ("tflm",), {}, {})  # fmt: skip


@pytest.mark.parametrize(("limit", "size"), [("peak_ram", "64 KiB"), ("flash", "256 KiB")])
def test_more_reserved_than_the_chip_has(limit, size, monkeypatch):
    monkeypatch.setattr(catalog, "chip", {"tiny": CHIP}.__getitem__)
    text = BASE.replace("host:onnxruntime", "tiny:tflm") + f"limits: {{{limit}: {{max: 9 MiB, reserved: 1 MiB}}}}"
    assert f"my.yaml: limits.{limit}.reserved: reserved is more than" in error(text)
    assert f"tiny; seen '1 MiB'; allowed: at most {size}" in error(text)
    assert parse_spec(text.replace("1 MiB", "63 KiB"))


# Valid specs, whole documents.
def quantity(dimension: units.Dimension, low: float = 1e-3) -> st.SearchStrategy[str]:
    number = st.floats(low, 1e9) | st.integers(1, 10**6)
    return st.builds(lambda value, unit: f"{value} {unit}", number, st.sampled_from(sorted(dimension.units)))


share = st.floats(0, 1) | st.integers(0, 100).map(lambda percent: f"{percent} %")
CHOICES = {
    "soft": st.booleans(),
    "stat": st.sampled_from(limits.LATENCY_STATS),
    "scope": st.sampled_from(limits.SCOPES),
    "counts": st.sampled_from(limits.COUNTS),
    "volume": st.integers(1, 10**6),
    "under": st.lists(st.sampled_from(IMAGES), min_size=1, unique=True),
    "reserved": st.just("1 B"),
    "ambient": st.floats(-40, 125).map(lambda celsius: f"{celsius} C"),
}


def limit_document(name: str) -> st.SearchStrategy[dict]:
    keys, dimension = LIMIT_KEYS[name].split(), LIMIT_DIMENSION[name]
    # a memory bound leaves room for the byte reserved above
    bound = quantity(dimension, 2) if dimension else share
    if name in ("peak_ram", "flash"):
        bound = bound.filter(lambda text: not text.startswith("1 ") or not text.endswith(" B"))
    known = {key: CHOICES[key] if key in CHOICES else quantity(QUANTITY_KEYS[key]) for key in keys[1:]}
    needed = {key: known.pop(key) for key in ("capacity", "voltage", "every") if key in known}
    return st.fixed_dictionaries({keys[0]: bound, **needed}, optional=known)


names = st.text(st.sampled_from("abcxyzé019-_"), min_size=1, max_size=20)
documents = st.fixed_dictionaries(
    {
        "schema": st.just(1),
        "name": names,
        "task": st.fixed_dictionaries(
            {"kind": st.just("image-classification"), "data": names}, optional={"metric": st.sampled_from(spec.SCORES)}
        ),
        "targets": st.lists(st.sampled_from(["host:onnxruntime", "host:litert", "host:tflm"]), min_size=1, unique=True),
        "baseline": names.map(lambda name: {"model": name}),
    },
    optional={
        "limits": st.fixed_dictionaries({}, optional={name: limit_document(name) for name in LIMIT_KEYS}),
        "objectives": st.lists(st.sampled_from(spec.OBJECTIVES), min_size=1, unique=True),
        "pipeline": st.dictionaries(names, quantity(units.TIME), max_size=4),
        "risk": st.floats(0.01, 0.99).map(lambda p: {"feasible_probability": p}),
        "search": st.fixed_dictionaries(
            {},
            optional={
                "trials": st.integers(1, 1000),
                "time": st.integers(5, 10**6).map(lambda seconds: f"{seconds} s"),
                "measurements": st.integers(0, 100),
                "seed": st.integers(0, 2**32 - 1),
                "architectures": st.lists(st.sampled_from([*search.ARCHITECTURES, "timm:x"]), min_size=1, unique=True),
                "pruning": st.lists(st.floats(0, search.MAX_PRUNING), min_size=1, unique=True),
                "quantization": st.lists(st.sampled_from(["fp32", "int8"]), min_size=1, unique=True),
            },
        ),
    },
)


@at_most(60)
@given(documents)
def test_a_valid_spec_round_trips(document):
    found = from_dict(document)
    for again in (
        from_dict(found.to_dict()),
        parse_spec(found.to_yaml()),
        parse_spec(yaml.safe_dump(document, sort_keys=False)),
    ):
        assert again == found
        assert again.id == found.id


@at_most(40)
@given(documents)
def test_the_id_does_not_depend_on_the_order_of_keys(document):
    def turned(value):
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    assert from_dict(turned(document)).id == from_dict(document).id
    assert parse_spec(yaml.safe_dump(document, sort_keys=True)).id == from_dict(document).id


def with_limit(text: str) -> Spec:
    return parse_spec(f"{BASE}limits: {{{text}}}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("latency: {max: 1 s}", "latency: {max: 1000 ms}"),
        ("latency: {max: 0.07 s}", "latency: {max: 70 ms}"),
        ("latency: {max: 50 ms}", "latency: {stat: p95, max: 50ms, soft: false, scope: model}"),
        ("flash: {max: 1 MiB}", "flash: {max: 1024 KiB, reserved: 0 B}"),
        ("accuracy: {min: 0.923}", "accuracy: {min: 92.3 %}"),
        ("robust_accuracy: {min: 1}", f"robust_accuracy: {{min: 1.0, under: [{', '.join(IMAGES)}]}}"),
    ],
)
def test_the_id_does_not_depend_on_spelling(one, other):
    assert with_limit(one).id == with_limit(other).id
    assert with_limit(one) == with_limit(other)


def test_the_id_depends_on_what_is_asked_and_not_on_the_folder():
    found = with_limit("latency: {max: 50 ms}")
    assert found.id != with_limit("latency: {max: 51 ms}").id
    assert found.id != with_limit("latency: {max: 50 ms, soft: true}").id
    assert found.id == replace(found, folder=Path("/elsewhere")).id


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4)
)
words = st.sampled_from(
    [
        *spec.TOP_KEYS.split(),
        *LIMIT_KEYS,
        *search.SEARCH_KEYS.split(),
        *spec.TASK_KEYS.split(),
        "max",
        "min",
        "under",
        "1 ms",
    ]
)
anything = st.recursive(
    leaves | words | st.sampled_from([1, "digits", "host:tflm", "image-classification"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def outcome(parse, document) -> None:
    try:
        found = parse(document, where="my.yaml")
    except SpecError as caught:
        line = caught.line()
        assert line.startswith("my.yaml")
        assert len(line) < 2000
    else:
        assert isinstance(found, Spec)
        assert from_dict(found.to_dict()) == found


@at_most(150)
@given(anything)
def test_any_document_is_a_spec_or_a_spec_error(document):
    outcome(from_dict, document)
    outcome(parse_spec, yaml.safe_dump(document))


@at_most(150)
@given(documents, st.lists(words, min_size=1, max_size=3), anything)
def test_a_valid_spec_with_one_thing_broken(document, path, value):
    place = document
    for key in path[:-1]:
        place = place.get(key) if isinstance(place.get(key), dict) else place
    place[path[-1]] = value
    outcome(from_dict, document)


@at_most(100)
@given(st.text(st.characters() | st.sampled_from("\n:-[]{}&*!|>'\"%@#? 1"), max_size=40))
def test_any_text_is_a_spec_or_a_spec_error(text):
    outcome(parse_spec, text)
    outcome(parse_spec, BASE + text)
