"""Every check fires where it should and stays silent where it should not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from advisor.feasibility.assess import Feasibility
from advisor.feasibility.checks import CHECKS
from advisor.feasibility.checks.base import Evidence, Finding
from advisor.feasibility.checks.chip import NoInt8
from advisor.feasibility.checks.limits import Together
from advisor.feasibility.verdict import Joint
from advisor.tasks.peek import Peek
from specs.limits import Limit
from specs.spec import Spec

DIGITS = Peek(((8, 8, 1),), 10)
BATTERY = "battery: {min: 1 d, capacity: 220 mAh, voltage: 3 V, every: %s, sleep: %s}"
MISSING = "{kind: image-classification, data: nothing-here}"
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "EA001": ({"task": MISSING}, {}),
    "EA002": ({"task": MISSING, "limits": "latency: {max: 0.02 ms}"}, {"limits": "latency: {max: 1 ns}"}),
    "EA003": (
        {"limits": "latency: {max: 1 s}"},
        {"limits": "latency: {max: 1 s}, peak_ram: {max: 1 MiB}, flash: {max: 2 MiB}, energy: {max: 1 J}, "
                   "power: {max: 5 W}, accuracy: {min: 0.1}, robust_accuracy: {min: 0.1}, unit_cost: {max: 90 USD}, "
                   + BATTERY % ("1 s", "2 uA")},
    ),
    "EA004": (
        {"limits": "peak_ram: {max: 100 KiB, reserved: 81 KiB}"},
        {"limits": "peak_ram: {max: 100 KiB, reserved: 79 KiB}"},
    ),
    "EA005": ({"limits": "latency: {max: 1 us}"}, {"limits": "latency: {max: 1 s}"}),
    "EA006": ({"limits": "latency: {max: 0.02 ms}"}, {"limits": "latency: {max: 1 s}"}),
    "EA008": (
        {"limits": BATTERY % ("1 h", "50 uA"), "targets": "nrf52840:tflm"},
        {"limits": BATTERY % ("1 ms", "1 nA"), "targets": "nrf52840:tflm"},
    ),
    "EA009": ({"limits": "energy: {max: 1 J}", "targets": "host:onnxruntime"}, {"limits": "energy: {max: 1 J}"}),
    "EA011": ({"targets": "coral:litert"}, {"targets": "coral:edgetpu"}),
    "EA012": ({"limits": "flash: {max: 4 MiB}"}, {"limits": "flash: {max: 1 MiB}"}),
    "EA013": (
        {"limits": "unit_cost: {max: 9 USD}", "targets": "stm32u575:tflm"},
        {"limits": "unit_cost: {max: 90 USD}"},
    ),
    "EA014": (
        {"limits": "unit_cost: {max: 90 USD, volume: 5}"},
        {"limits": "unit_cost: {max: 90 USD, volume: 1000}"},
    ),
    "EA015": ({"more": 'search: {architectures: ["timm:mobilenetv3_small_100"]}'}, {}),
}  # fmt: skip


def codes(report: Feasibility) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize("code", sorted(CASES))
def test_fires(ask: Callable[..., Feasibility], code: str) -> None:
    report = ask(**CASES[code][0])
    (finding,) = [finding for finding in report.findings if finding.code == code]
    assert finding.text
    assert finding.title
    assert set(finding.targets) <= {target.target for target in report.targets}


@pytest.mark.parametrize("code", sorted(CASES))
def test_does_not_fire(ask: Callable[..., Feasibility], code: str) -> None:
    assert code not in codes(ask(**CASES[code][1]))


def test_int8_unsupported_fires_for_such_a_runtime(spec: Callable[..., Spec]) -> None:
    asked = spec()
    (target,) = asked.targets
    evidence = Evidence(DIGITS, ())
    assert NoInt8().check(asked, evidence) is None
    floats = replace(target, runtime=replace(target.runtime, precisions=("fp32",)))
    found = NoInt8().check(replace(asked, targets=(floats,)), evidence)
    assert isinstance(found, Finding)
    assert found.targets == (target.id,)


def test_together_fires_when_only_the_combination_is_missed(ask: Callable[..., Feasibility]) -> None:
    report = ask("latency: {max: 1 s}, flash: {max: 2 MiB}")
    (target,) = report.targets
    assert Together().check(report.spec, Evidence(report.peek, (target,))) is None
    missed = replace(target, joint=Joint("dscnn", False, ("flash",), 6))
    found = Together().check(report.spec, Evidence(report.peek, (missed,)))
    assert isinstance(found, Finding)
    assert "Not a proof" in found.text


def test_codes_are_unique_and_every_check_is_tested() -> None:
    known = [check.code for check in CHECKS]
    assert len(set(known)) == len(known)
    assert all(re.fullmatch(r"EA\d{3}", code) for code in known)
    assert set(known) == {*CASES, "EA007", "EA010", "EA016"}  # tested with the models they are about
    assert all(check.title for check in CHECKS)


def test_a_limit_free_spec_says_so(ask: Callable[..., Feasibility]) -> None:
    report = ask()
    assert report.verdict == "possible"
    (finding,) = [finding for finding in report.findings if finding.code == "EA003"]
    assert "latency" in finding.text


def test_checks_stand_any_limit_without_targets(spec: Callable[..., Spec]) -> None:
    asked = replace(spec(), limits=(Limit("latency", 1.0),))
    for check in CHECKS:
        check.check(asked, Evidence(DIGITS, ()))
