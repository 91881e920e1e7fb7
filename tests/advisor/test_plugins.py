from importlib.metadata import EntryPoint

import pytest

from advisor import plugins
from advisor.testing import CostModelContract
from cost_models.analytic import AnalyticModel
from cost_models.layered import LayeredModel
from specs.errors import SpecError


class TestAnalyticModel(CostModelContract):
    @pytest.fixture
    def model(self):
        return AnalyticModel()


class TestLayeredModel(CostModelContract):
    @pytest.fixture
    def model(self):
        return LayeredModel()


@pytest.fixture
def installed(monkeypatch):
    """installed(name, value): as if a package had declared an entry point of the group `advisor.runtimes`."""

    def declare(name, value):
        entry = EntryPoint(name, value, "advisor.runtimes")
        monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == entry.group else [])
        plugins.names.cache_clear()

    yield declare
    plugins.names.cache_clear()


@pytest.mark.parametrize("kind", sorted(plugins.BUILTIN))
def test_every_builtin_loads(kind):
    for name in plugins.BUILTIN[kind]:
        assert isinstance(plugins.load(kind, name), type)


def test_installed_packages_add_to_the_table(installed):
    installed("mine", "collections:OrderedDict")
    assert plugins.load("runtimes", "mine").__name__ == "OrderedDict"


def test_two_plug_ins_with_one_name_are_both_named(installed):
    installed("tflm", "other.package:Thing")
    with pytest.raises(SpecError, match=r"tflm.*advisor\.runtimes\.tflm:Tflm and other\.package:Thing"):
        plugins.names("runtimes")


def test_unknown_names_are_one_line_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'onnxruntime'"):
        plugins.load("runtimes", "onnxruntim")
