# The two commands of a newcomer are `make tour` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A stamp for each set of extras, so that nothing is installed twice.
STAMP = $(VENV)/.installed-$(1)

.PHONY: help tour test conformance check bench bench-smoke clean
.DEFAULT_GOAL := help

help:
	@echo "make tour         set up and walk through the thirteen chapters on a real photograph"
	@echo "make test         set up and run the tests"
	@echo "make conformance  the same values as PyTorch, SciPy, scikit-image and OpenCV (installs them)"
	@echo "make check        lint and types"
	@echo "make bench        benchmark tables"
	@echo "make clean        remove what these commands made"

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.installed-%: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

tour: $(VENV)/.installed-cli
	$(BIN)/python -m striderule tour --out tour

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not conformance"

conformance: $(VENV)/.installed-conformance
	$(BIN)/python -m pytest -m conformance

check: $(VENV)/.installed-check
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

bench-smoke: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks --smoke

clean:
	rm -rf $(VENV) tour build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
