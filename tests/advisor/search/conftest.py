"""A small search, made once: what several modules look at without changing it."""

import pytest
from advisor_samples import DIGITS

from advisor.bundle import export_bundle
from advisor.front import pick
from advisor.pipeline import search
from advisor.progress import silent
from specs.spec import parse_spec


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished search of four candidates; too short on time for full trainings."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return search(parse_spec(DIGITS.replace("time: 60 s", "time: 12 s")), folder, silent)


@pytest.fixture(scope="session")
def bundle(finished, tmp_path_factory):
    return export_bundle(finished.run, pick(finished.front, "knee"), tmp_path_factory.mktemp("out") / "bundle")
