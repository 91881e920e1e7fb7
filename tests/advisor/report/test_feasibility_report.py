from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advisor.feasibility.assess import Feasibility, assess
from advisor.report.feasibility import as_html, as_markdown, as_text, feasibility_info
from advisor.tasks.peek import peek
from specs.spec import parse_spec

LIMITS = (
    "latency: {max: 1 ns}, peak_ram: {max: 320 KiB, reserved: 96 KiB}, flash: {max: 1 MiB}, energy: {max: 2 mJ, "
    "soft: true}, battery: {min: 1 y, capacity: 220 mAh, voltage: 3 V, every: 1 min}, accuracy: {min: 92 %}, "
    "unit_cost: {max: 12 USD, volume: 1000}"
)


def answer(limits: str = LIMITS, data: str = "digits", targets: str = "stm32h743:tflm, host:litert") -> Feasibility:
    text = f"""
schema: 1
name: doorbell
task: {{kind: image-classification, data: "{data}"}}
targets: [{targets}]
limits: {{{limits}}}
pipeline: {{capture: 12 ms}}
"""
    spec = parse_spec(text, folder=Path("/nowhere"))
    return assess(spec, peek(spec))


@pytest.fixture(scope="module")
def infeasible() -> Feasibility:
    return answer()


def test_info_is_json_of_a_stable_schema(infeasible: Feasibility) -> None:
    info = json.loads(json.dumps(feasibility_info(infeasible), allow_nan=False))
    assert info["schema"] == 1
    assert set(info) == {"schema", "spec_id", "name", "verdict", "exit_status", "summary", "input", "targets",
                         "relaxations", "chips", "findings"}  # fmt: skip
    assert set(info["targets"][0]) == {"target", "chip", "verdict", "impossible", "unsupported", "binding", "limits",
                                       "unknown", "joint"}  # fmt: skip
    limits = {limit["limit"]: limit for limit in info["targets"][0]["limits"]}
    assert set(limits["latency"]) == {"limit", "label", "scope", "sense", "soft", "unit", "bound", "best", "margin",
                                      "met", "binds", "candidate", "basis", "expected", "likely"}  # fmt: skip
    assert limits["latency"]["best"]["source"] == "computed"
    assert limits["accuracy"]["best"] == {"value": None, "reason": "not known before training"}
    assert info["verdict"] == "proven infeasible"
    assert info["exit_status"] == 3
    assert info["spec_id"] == infeasible.spec.id
    assert set(info["relaxations"][0]) == {"target", "changes", "single", "verified", "candidate", "text"}


def test_every_figure_has_a_source_or_a_reason(infeasible: Feasibility) -> None:
    info = feasibility_info(infeasible)
    figures = [limit[key] for target in info["targets"] for limit in target["limits"] for key in ("best", "expected")]
    figures += [chip["price_usd"] for chip in info["chips"]]
    for figure in figures:
        if figure is not None:
            assert figure.get("source") if figure["value"] is not None else figure["reason"]


def test_text_fits_a_terminal_and_says_what_binds(infeasible: Feasibility) -> None:
    text = as_text(feasibility_info(infeasible))
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert text.startswith(f"doorbell (spec {infeasible.spec.id}): PROVEN INFEASIBLE")
    assert "Binds: latency" in text
    assert "Ways out" in text
    assert "computed" in text


@pytest.mark.parametrize("name", ["activity-recognition", "battery-sensor", "doorbell", "factory-camera",
                                  "keyword-spotting", "digits"])  # fmt: skip
def test_the_examples_fit_a_terminal(name: str) -> None:
    from specs.catalog import root
    from specs.spec import load_spec

    spec = load_spec(root() / "examples" / f"{name}.yaml")
    report = assess(spec, peek(spec))
    text = as_text(feasibility_info(report))
    assert max(map(len, text.splitlines())) <= 100
    assert report.exit_status == 0


def test_markdown_has_the_same_parts(infeasible: Feasibility) -> None:
    text = as_markdown(feasibility_info(infeasible))
    assert text.startswith("# doorbell: proven infeasible\n")
    assert "| limit | required |" in text
    assert "## Ways out" in text
    assert "## Findings" in text
    widths = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("| latency")}
    assert widths == {7}


class Page(HTMLParser):
    """Checks that every tag is closed in order, and collects what could load something."""

    void = ("meta", "br", "hr", "img", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_one_well_formed_page(infeasible: Feasibility) -> None:
    html = as_html(feasibility_info(infeasible))
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open
    assert not page.loads
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert "url(" not in html
    assert "@import" not in html
    assert "http" not in re.sub(r"<td>.*?</td>", "", html)
    assert html.startswith("<!DOCTYPE html>")
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_what_the_user_wrote_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    report = answer(data=evil)
    report = replace(report, spec=replace(report.spec, name=evil))
    info = feasibility_info(report)
    assert "<script" not in as_html(info)
    assert "&lt;script&gt;" in as_html(info)
    assert "<script" not in as_markdown(info)


def test_a_possible_spec_reads_so() -> None:
    info = feasibility_info(answer("latency: {max: 1 s}"))
    text = as_text(info)
    assert "POSSIBLE" in text
    assert "Not a promise" in text
    assert not info["relaxations"]
    assert "Other chips of the catalogue predicted to meet the cost limits, by price" in text


def test_no_way_out_is_said() -> None:
    text = as_text(feasibility_info(answer("latency: {max: 1 ns}", targets="stm32h743:tflm")))
    assert "No other chip of the catalogue is expected to pass." in text
    assert "No other chip" in as_markdown(feasibility_info(answer("latency: {max: 1 ns}")))


def test_nothing_runs_is_said(infeasible: Feasibility) -> None:
    spec = replace(infeasible.spec, search=replace(infeasible.spec.search, quantization=("int8-pt2e",)))
    spec = replace(spec, targets=spec.targets[:1])
    info = feasibility_info(assess(spec, infeasible.peek))
    for text in (as_text(info), as_markdown(info), as_html(info)):
        assert "no quantization of the spec runs on stm32h743" in text
