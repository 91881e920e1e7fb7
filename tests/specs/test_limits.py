"""One clear line for every wrong limit and every contradiction, with the file and the key path."""

import pytest

from specs.errors import SpecError
from specs.limits import CORRUPTIONS, Limit
from specs.spec import parse_spec

BASE = """schema: 1
name: x
task: {kind: image-classification, data: digits}
targets: [host:onnxruntime]
"""


def error(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, where="my.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("my.yaml: ")


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("latency: {max: 20}", "latency.max", "time needs a unit; seen 20;"),
        ("latency: {max: 20}", "latency.max", "next: write 20 ms"),
        ("latency: {max: 20 MS}", "latency.max", "did you mean 'ms'?"),
        ("latency: {max: 20 KiB}", "latency.max", "KiB is a unit of memory"),
        ("latency: {max: -1 ms}", "latency.max", "must not be negative"),
        ("latency: {max: 0 ms}", "latency.max", "a limit of zero, or of next to nothing, can never be met"),
        ("latency: {max: true}", "latency.max", "not a quantity of time; seen True"),
        ("latency: {max: [5 ms]}", "latency.max", "not a quantity of time"),
        ("latency: {stat: p95}", "latency.max", "missing key; next: add `max:`"),
        ("latency: {min: 5 ms}", "latency.min", "latency is bounded from above; seen '5 ms'; next: write `max:`"),
        ("latency: 50 ms", "latency", "next: write {max: 50 ms}"),
        ("latency: [50 ms]", "latency", "next: write {max: 50 ms}"),
        ("latency: {max: 5 ms, stat: median}", "latency.stat", "allowed: p10, p50"),
        ("latency: {max: 5 ms, stat: [p95]}", "latency.stat", "text is needed"),
        ("latency: {max: 5 ms, scope: all}", "latency.scope", "allowed: model, pipeline"),
        ("latency: {max: 5 ms, soft: yes}", "latency.soft", "allowed: true, false"),
        ("latency: {max: 5 ms, sustained: 0 s}", "latency.sustained", "must be above zero"),
        ("latency: {max: 5 ms, ambient: 45}", "latency.ambient", "write 45 C"),
        ("latency: {max: 5 ms, ambient: 900 C}", "latency.ambient", "-100 C to 200 C"),
        ("latency: {max: 5 ms, reserved: 1 B}", "latency.reserved", "unknown key"),
        ("latancy: {max: 5 ms}", "latancy", "did you mean 'latency'?"),
        ("ram: {max: 5 KiB}", "ram", "did you mean 'peak_ram'?"),
        ("flash: {max: 1 MiB, reservd: 1 B}", "flash.reservd", "did you mean 'reserved'?"),
        ("flash: {max: 1 MB, counts: runtime}", "flash.counts", "allowed: all, model"),
        ("flash: {max: 1 MB, reserved: 2 MB}", "flash.reserved", "reserved leaves nothing of the limit"),
        ("flash: {max: 1 MB, reserved: 1 MB}", "flash.reserved", "reserved leaves nothing of the limit"),
        ("peak_ram: {max: 1 MB, reserved: -1 MB}", "peak_ram.reserved", "must not be negative"),
        ("accuracy:", "accuracy", "no value; next: give it one, or remove the key"),
        ("accuracy: {min: }", "accuracy.min", "no value"),
        ("accuracy: 0.9", "accuracy", "next: write {min: 0.9}"),
        ("accuracy: {max: 0.9}", "accuracy.max", "accuracy is bounded from below; seen 0.9; next: write `min:`"),
        ("accuracy: {min: 1.2}", "accuracy.min", "not a share; seen 1.2; allowed: a number from 0 to 1"),
        ("accuracy: {min: 92}", "accuracy.min", "a percentage such as 92 %"),
        ("accuracy: {min: true}", "accuracy.min", "not a share; seen True"),
        ("accuracy: {min: .nan}", "accuracy.min", "not a number of sensible size"),
        ("accuracy_drop: {max: 0.02}", "accuracy_drop", "needs a baseline; next: add `baseline: {model: FILE}`"),
        ("robust_accuracy: {min: 0.8, under: [fog]}", "robust_accuracy.under[0]", "unknown value; seen 'fog'"),
        ("robust_accuracy: {min: 0.8, under: [low-lihgt]}", "robust_accuracy.under[0]", "did you mean 'low-light'?"),
        ("robust_accuracy: {min: 0.8, under: [drift]}", "robust_accuracy.under[0]", "drift is for timeseries-"),
        ("robust_accuracy: {min: 0.8, under: []}", "robust_accuracy.under", "empty list"),
        ("robust_accuracy: {min: 0.8, under: tilt}", "robust_accuracy.under", "next: write [tilt]"),
        ("robust_accuracy: {min: 0.8, under: [tilt, tilt]}", "robust_accuracy.under[1]", "named twice"),
        ("robust_accuracy: {min: 0.8, under: [[tilt]]}", "robust_accuracy.under[0]", "unknown value"),
        ("unit_cost: {max: $12}", "unit_cost.max", "not a quantity of money"),
        ("unit_cost: {max: 12 $}", "unit_cost.max", "did you mean 'USD'?"),
        ("unit_cost: {max: 12 USD, volume: 0}", "unit_cost.volume", "allowed: 1 to"),
        ("unit_cost: {max: 12 USD, volume: true}", "unit_cost.volume", "a whole number is needed"),
        ("battery: {min: 1 y}", "battery.capacity", "battery life needs capacity; next: add `capacity:`, in mAh"),
        ("battery: {min: 1 y, capacity: 0 mAh}", "battery.capacity", "must be above zero"),
        ("battery: {min: 1 y, capacity: 9 mAh, voltage: 3 V}", "battery.every", "battery life needs every"),
        ("battery: {min: 1 month}", "battery.min", "wrong unit for duration"),
    ],
)
def test_wrong_limits(text, path, says):
    line = error(f"{BASE}limits: {{{text}}}" if "}" in text or " " in text else f"{BASE}limits:\n  {text}\n")
    assert line.startswith(f"limits.{path}: ")
    assert says in line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema: 1\n", "", "schema: missing key"),
        (
            "schema: 1",
            "schema: 2",
            "schema: unknown schema; seen 2; allowed: 1; next: this version reads no other",
        ),
        ("schema: 1", "schema: true", "schema: unknown schema; seen True"),
        ("name: x", "name: 5", "name: text is needed; seen 5; next: put it in quotes"),
        ("name: x", "name: a b", "name: not a name; seen 'a b'"),
        ("name: x", "name: ../x", "name: not a name"),
        ("name: x", "name: ''", "name: not a name"),
        ("name: x", "name:", "name: no value"),
        ("data: digits", 'data: "a\\0b"', "task.data: not a path"),
        ("data: digits", "data: [a]", "task.data: text is needed"),
        (", data: digits", "", "task.data: missing key"),
        ("image-c", "immage-c", "task.kind: unknown value"),
        ("data: digits", "data: digits, metric: acc", "did you mean 'accuracy'?"),
        ("data: digits", "data: digits, frontend: mfcc", "task.frontend: only audio tasks"),
        ("data: digits", "data: digits, normalization: sample", "task.normalization: only audio tasks"),
        (
            "image-classification, data: digits",
            "audio-classification, data: d, frontend: raw, normalization: sample",
            "task.normalization: a raw waveform has no features",
        ),
        ("task: {", "task: [{", "not valid YAML"),
        ("targets: [host:onnxruntime]", "targets: []", "targets: a list of chip:runtime is needed"),
        ("targets: [host:onnxruntime]", "targets: {a: 1}", "targets: a list of chip:runtime is needed"),
        ("targets: [host:onnxruntime]", "target: [host:tflm]", "target: unknown key; seen 'target'"),
        ("targets: [host:onnxruntime]", "targets: [[host]]", "targets[0]: not a target"),
        ("host:onnxruntime", "hots:onnxruntime", "targets[0]: unknown chip; seen 'hots'"),
        ("host:onnxruntime", "host:onxruntime", "targets[0]: unknown runtime; seen 'onxruntime'"),
        ("host:onnxruntime", "host:onnxruntime, host", "targets[1]: target named twice"),
        ("targets:", "objectives: [speed]\ntargets:", "objectives[0]: unknown value; seen 'speed'"),
        ("targets:", "objectives: []\ntargets:", "objectives: empty list"),
        (
            "targets:",
            "objectives: latency\ntargets:",
            "objectives: a list is needed; seen 'latency'; next: write [latency]",
        ),
        ("targets:", "limits:\ntargets:", "limits: no value"),
        ("targets:", "limits: []\ntargets:", "limits: a mapping is needed"),
        ("targets:", "pipeline: {a: 5}\ntargets:", "pipeline.a: time needs a unit"),
        ("targets:", "pipeline: {a: -5 ms}\ntargets:", "pipeline.a: time must not be negative"),
        ("targets:", "pipeline: [5 ms]\ntargets:", "pipeline: a mapping of stage to time"),
        ("targets:", "pipeline: {a: 1.7e308 ms, b: 1.7e308 ms}\ntargets:", "pipeline: the stages together"),
        ("targets:", "baseline: old.tflite\ntargets:", "baseline: a mapping is needed"),
        (
            "targets:",
            "risk: {feasible_probability: 1}\ntargets:",
            "risk.feasible_probability: no prediction is that sure",
        ),
        ("targets:", "search: {trials: 0}\ntargets:", "search.trials: a whole number is needed"),
        ("targets:", "search: {trials: 1.5}\ntargets:", "search.trials: a whole number is needed"),
        ("targets:", "search: {time: 20}\ntargets:", "search.time: time needs a unit; seen 20"),
        ("targets:", "search: {time: 0 s}\ntargets:", "search.time: must be above zero"),
        ("targets:", "search: {time: 1 s}\ntargets:", "search.time: too short to train and export one candidate"),
        ("targets:", "search: {architectures: [{a: 1}]}\ntargets:", "search.architectures[0]: unknown value"),
        ("targets:", "search: {architectures: ['timm:']}\ntargets:", "search.architectures[0]: unknown value"),
        ("targets:", "search: {quantization: [int4]}\ntargets:", "search.quantization[0]: unknown value"),
        ("targets:", "search: {pruning: [0.95]}\ntargets:", "search.pruning[0]: pruning more than 90 %"),
        ("targets:", "search: {pruning: [0.5, 50 %]}\ntargets:", "search.pruning[1]: named twice"),
        ("targets:", "search: {architectures: []}\ntargets:", "search.architectures: empty list"),
        ("targets:", "search: {quantization: []}\ntargets:", "search.quantization: empty list"),
        (
            "targets:",
            "search: {pruning: []}\ntargets:",
            "search.pruning: empty list",
        ),
        ("targets:", "search: {harden: 1}\ntargets:", "search.harden: true or false is needed"),
        ("targets:", "search: {harden: true}\ntargets:", "search.harden: nothing to harden against"),
        (
            "targets:",
            'search: {harden: true, architectures: ["model:a.onnx"]}\nlimits: {robust_accuracy: {min: 0.5}}\ntargets:',
            "search.harden: nothing is trained: .onnx and .tflite files",
        ),
        ("[host:onnxruntime]", "host:tflm\nsearch: {quantization: [fp16]}", "search.quantization: host:tflm runs none"),
        ("kind: image-", "kind: audio-", None),
    ],
)
def test_wrong_specs(old, new, says):
    text = BASE.replace(old, new)
    assert text != BASE
    if says is None:
        assert parse_spec(text).task.frontend == "auto"
    else:
        assert says in error(text)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_kind_of_task_has_corruptions_of_its_own(kind):
    text = BASE.replace("image-classification", kind)
    every = parse_spec(f"{text}limits: {{robust_accuracy: {{min: 0.5}}}}").limit("robust_accuracy")
    assert every.under == CORRUPTIONS[kind]
    one = f"{text}limits: {{robust_accuracy: {{min: 0.5, under: [{every.under[1]}]}}}}\nsearch: {{harden: true}}"
    assert parse_spec(one).limit("robust_accuracy").under == (every.under[1],)
    assert parse_spec(one).search.harden
    assert not parse_spec(one).search.distil


def test_corruptions_of_another_kind_are_told_from_unknown_ones():
    text = BASE.replace("image-", "audio-") + "limits: {robust_accuracy: {min: 0.5, under: [noise, %s]}}"
    line = error(text % "tilt")
    assert "limits.robust_accuracy.under[1]: not something that befalls audio-classification data; seen 'tilt'" in line
    assert line.endswith("allowed: noise, clipping, time-shift, band-loss; next: tilt is for image-classification")
    assert "did you mean 'clipping'?" in error(text % "cliping")


def test_margins_are_met_at_zero_and_below():
    assert Limit("latency", 50.0).margin(55) == pytest.approx(0.1)
    assert Limit("latency", 50.0).margin(50) == 0
    assert Limit("battery", 100.0).margin(50) == pytest.approx(0.5)
    assert Limit("accuracy", 0.92).margin(0.91) == pytest.approx(0.01)
    assert Limit("accuracy_drop", 0.0).margin(0.02) == pytest.approx(0.02)
