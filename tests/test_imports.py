"""The one-way imports of the architecture, read from the source, and what start-up may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("specs", "cost_models", "advisor")
LAYERS = [
    ("errors", "candidate", "progress", "plugins", "profile", "network", "deploy", "dominance"),
    ("evaluation", "model", "own"),
    ("space", "build", "tasks", "runtimes", "measure"),
    ("devices",),
    ("robustness", "brought"),
    ("training",),
    ("opaque",),
    ("evaluate", "score", "calibrate", "costs", "verify"),
    ("untrained",),
    ("baseline", "rung"),
    ("columns", "picks"),
    ("ranked",),
    ("rows",),
    ("stock",),
    ("tables",),
    ("ledger", "front"),
    ("run", "search", "feasibility"),
    ("changes",),
    ("pipeline", "relax"),
    ("bundle", "report"),
    ("testing",),
    ("dashboard",),
    ("commands",),
    ("cli",),
    ("demo",),
]
"""Inside `advisor`: a part imports its own layer's own folder and lower layers only."""
ALLOWED_SIBLINGS = {("search", "run")}


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_lower_packages_only(package):
    higher = [*PACKAGES[PACKAGES.index(package) + 1 :], "app", "tests", "benchmarks"]
    for path in files(package):
        wrong = {name for name in imports(path) if name.split(".")[0] in higher}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_parts_of_the_engine_import_lower_layers_only():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    for path in files("advisor"):
        part = path.relative_to(ROOT / "advisor").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in level, f"{part} has no place in LAYERS"
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("advisor.") else part
            if other not in level or other == part or (part, other) in ALLOWED_SIBLINGS:
                continue
            # predict.py is copied into bundles; only when read inside the package it finds preprocess in tasks
            if (part, other) == ("deploy", "tasks"):
                continue
            assert level[other] < level[part], f"{path.relative_to(ROOT)} imports advisor.{other}"


@pytest.mark.parametrize(
    ("package", "banned"), [("cost_models", {"torch", "optuna", "tensorflow"}), ("specs", {"numpy"})]
)
def test_light_packages_stay_light(package, banned):
    for path in files(package):
        assert not {name.split(".")[0] for name in imports(path)} & banned, path


HEAVY = ("torch", "tensorflow", "timm", "streamlit", "sklearn", "optuna", "neural_compressor", "onnxruntime", "pandas")


@pytest.mark.parametrize("arguments", [["--help"], ["targets"], ["feasibility", "SPEC"]])
def test_start_up_does_not_pay_for_what_it_does_not_use(arguments, tmp_path):
    example = ROOT / "specs" / "examples" / "digits.yaml"
    arguments = [str(example) if word == "SPEC" else word for word in arguments]
    code = (
        "import sys\nfrom advisor.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('loaded:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.strip().splitlines()[-1] == "loaded: []"


def test_files_stay_readable():
    long = {
        str(p.relative_to(ROOT)): n
        for pkg in PACKAGES
        for p in files(pkg)
        if (n := len(p.read_text().splitlines())) > 320
    }
    assert not long
