# make lab         open the lessons in JupyterLab
# make test        everything that CI runs
# make test-crash  kill processes while they save, 200 times, and look for every save
# make test-matrix the contract with every SDK on every Python that is found
# make test-binder the lessons in Binder's environment, made anew
# make bench       how long each store takes, and what it needs
# make compare     which rules the SDK's own stores and ours keep
# make notebooks   run the lessons again and save their outputs

PYTHON ?= python3
LAB_ARGS ?=
TOX_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# Practice Zoho is on this machine: no proxy stands between.
export NO_PROXY := 127.0.0.1,localhost,$(NO_PROXY)
export no_proxy := $(NO_PROXY)

.PHONY: help lab test test-crash test-matrix test-binder bench compare notebooks
help:
	@sed -n 's/^# make/make/p' Makefile

# `make lab LAB_ARGS="--no-browser --allow-root"` suits a container.
lab: $(VENV)/notebooks-installed
	$(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

notebooks: $(VENV)/notebooks-installed
	$(BIN)/python .ci/notebooks.py

test: $(VENV)/dev-installed
	@echo "== 1 of 4: ruff check"
	$(BIN)/ruff check .
	@echo "== 2 of 4: ruff format"
	$(BIN)/ruff format --check .
	@echo "== 3 of 4: types"
	$(BIN)/mypy
	@echo "== 4 of 4: tests, then the lessons' outputs, then the browser"
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=60 \
		--nbval-sanitize-with=tests/nbval_sanitize.cfg tests $(wildcard notebooks)

test-matrix: $(VENV)/dev-installed
	$(BIN)/tox run $(TOX_ARGS)

test-binder: $(VENV)/dev-installed
	$(BIN)/python .ci/binder.py

bench: $(VENV)/dev-installed
	$(BIN)/python tests/bench.py

compare: $(VENV)/dev-installed
	$(BIN)/python tests/compare_stores.py

# `make test-crash CRASH_KILLS=1000` kills more often.
test-crash: export CRASH_KILLS ?= 200
test-crash: $(VENV)/dev-installed
	$(BIN)/python -m pytest -s tests/test_crash.py

# The stamp files say which extras the environment holds: `dev` holds `notebooks` too.
$(VENV)/notebooks-installed: pyproject.toml | $(BIN)/pip
	@echo "Installing the lessons' packages into $(VENV): a few minutes the first time."
	$(INSTALL) '.[notebooks]'
	@touch $@

$(VENV)/dev-installed: pyproject.toml | $(BIN)/pip
	@echo "Installing the lessons' and the tests' packages into $(VENV): a few minutes the first time."
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/notebooks-installed

# pip is the last thing that venv makes, so a half-made environment is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Kaizen Store needs Python 3.10 or later, and '$(PYTHON)' is not one ($$($(PYTHON) --version 2>&1))."; \
		echo "Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make a virtual environment: its venv module is missing."; \
		echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
