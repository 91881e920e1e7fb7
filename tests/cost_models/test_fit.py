"""One command refits every model, and says in a line what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cost_models import fit


@pytest.mark.parametrize(("name", "key"), [("memory", "fitted_on"), ("energy", "fitted_on"), ("learned", "facts")])
def test_the_carried_facts_give_the_carried_parameters(
    name: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit.main(["--only", name, "--out", str(tmp_path)]) == 0
    made, carried = (json.loads((folder / f"{name}.json").read_text()) for folder in (tmp_path, fit.HERE))
    assert made[key] == carried[key]
    assert made["schema"] == carried["schema"]
    assert f"{name}: " in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--measurements", "--networks"])
def test_a_missing_folder_is_one_line(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main([option, str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_tables_without_a_known_network_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tables").mkdir()
    assert fit.main(["--only", "efficiency", "--measurements", str(tmp_path / "tables"), "--out", str(tmp_path)]) == 2
    assert "no latency of a known network" in capsys.readouterr().err
    assert not (tmp_path / "efficiency.json").exists()
