"""The wheel: its contents, and that it works where nothing else of ours is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_owns_three_packages_with_their_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"advisor", "cost_models", "specs"}
    for needed in (
        "specs/chips/stm32h743.yaml",
        "specs/cores.yaml",
        "specs/spec.schema.json",
        "specs/examples/digits.yaml",
        "cost_models/data/efficiency.json",
        "advisor/deploy/predict.py",
    ):
        assert needed in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_installed_in_an_empty_environment_it_finds_its_data_from_anywhere(wheel, tmp_path):
    """The environment has no edge-advisor; its dependencies are lent by path, not installed a second time."""
    target = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    dependencies = next(p for p in sys.path if p.endswith("site-packages"))
    # -S leaves out site-packages and with it the editable install of this checkout
    code = (
        f"import sys; sys.path[:0] = [{str(target)!r}, {dependencies!r}]\n"
        "import specs, advisor\n"
        f"assert specs.__file__.startswith({str(target)!r}), specs.__file__\n"
        "from advisor.cli import main\n"
        "sys.exit(main(['targets', 'show', 'stm32h743:tflm']))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "STMicroelectronics" in done.stdout


def test_another_package_called_specs_is_noticed(tmp_path):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "__init__.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import advisor"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "another package named 'specs'" in done.stderr
