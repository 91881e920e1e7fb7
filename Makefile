# The commands of README and CI. Each sets up `.venv` from pinned versions first; only Python 3.11 and make are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-slow lint bench wheel clean

demo: .venv/ready
	$(BIN)/python -m advisor.demo

test: .venv/ready
	$(BIN)/python -m pytest

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

wheel: .venv/ready
	$(BIN)/python -m build --wheel --no-isolation

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed, found " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,litert-torch,torch-pruning]'
	touch $@

clean:
	rm -rf .venv dist build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
