# The two commands of a newcomer are `make tour` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NETWORKS := resnet-50 vgg-16 mobilenet-v2 convnext-t

.PHONY: help tour test coverage conformance check bench bench-smoke names clean
.DEFAULT_GOAL := help

help:
	@echo "make tour         set up and walk through the fifteen chapters on a real photograph"
	@echo "make test         set up and run the tests"
	@echo "make coverage     the tests, with line and branch coverage of geometry and functional"
	@echo "make conformance  the same values as PyTorch, SciPy, scikit-image and OpenCV (installs them)"
	@echo "make check        lint and types"
	@echo "make bench        benchmark tables, charts and JSON in bench/ (installs the peers); make bench-smoke: a moment of it"
	@echo "make names        write the snapshot of public names anew"
	@echo "make clean        remove what these commands made"

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("striderule needs Python 3.11 or newer, this is " + sys.version.split()[0] \
		+ "; name another: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# A stamp for each set of extras, so that nothing is installed twice.
$(VENV)/.installed-%: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

tour: $(VENV)/.installed-cli
	$(BIN)/python -m striderule tour --out tour

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not conformance"

coverage: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not conformance" --cov=striderule.geometry \
		--cov=striderule.functional --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95

# By files: tests/conformance/test_torch_convolution.py counts over all of its tests what was met.
conformance: $(VENV)/.installed-conformance
	$(BIN)/python -m pytest -n auto --dist loadfile -m conformance

check: $(VENV)/.installed-check
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

bench: $(VENV)/.installed-bench
	mkdir -p bench
	$(BIN)/python -m benchmarks --json bench/lists.json --chart bench/lists.png
	$(BIN)/python -m benchmarks $(NETWORKS) --batch 16 --json bench/batch-16.json --chart bench/batch-16.png
	$(BIN)/python -m benchmarks $(NETWORKS) --compiled --json bench/compiled.json --chart bench/compiled.png
	$(BIN)/python -m benchmarks $(NETWORKS) --compiled --precision high --json bench/high.json --chart bench/high.png
	$(BIN)/python -m benchmarks accuracy
	$(BIN)/python -m benchmarks model --json bench/model.json
	$(BIN)/python -m benchmarks pictures --json bench/pictures.json
	$(BIN)/python -m benchmarks pictures --megapixels 24 --json bench/pictures-24.json
	$(BIN)/python -m benchmarks pictures --more
	$(BIN)/python -m benchmarks big --json bench/big.json
	$(BIN)/python -m benchmarks start --json bench/start.json
	$(BIN)/python -m benchmarks calls --json bench/calls.json
	$(BIN)/python -m benchmarks gradients --of input weight --json bench/gradients.json
	$(BIN)/python -m benchmarks gradients varied transposed --batch 4 --of input weight --json bench/gradients-more.json
	$(BIN)/python -m benchmarks pullbacks --json bench/pullbacks.json
	$(BIN)/python -m benchmarks steps --memory --json bench/steps.json
	$(BIN)/python -m benchmarks accelerate --json bench/accelerate.json

bench-smoke: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks --smoke

names: $(VENV)/.installed-test
	$(BIN)/python tests/public_names.py

clean:
	rm -rf $(VENV) tour bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
