# make lab           open the lessons in JupyterLab
# make test          everything that CI runs
# make test-fast     the tests that need no browser and no long run: under a minute
# make test-crash    kill processes while they save, 200 times, and look for every save
# make test-matrix   the contract with every SDK on every installed Python
# make test-binder   the lessons in a new environment like Binder's
# make bench         measure how long each store takes, and what it needs
# make stampede      measure how many token requests 16 workers send at once
# make compare       compare which rules the SDK's own stores and ours pass
# make contract-docs write docs/contract.md from the rules
# make notebooks     run the lessons and save their outputs

PYTHON ?= python3
LAB_ARGS ?=
TOX_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# Practice Zoho runs on this machine, so requests to it must not go through a proxy.
export NO_PROXY := 127.0.0.1,localhost,$(NO_PROXY)
export no_proxy := $(NO_PROXY)

.PHONY: help lab test test-fast test-crash test-matrix test-binder \
	bench stampede compare contract-docs notebooks
help:
	@sed -n 's/^# make/make/p' Makefile

# `make lab LAB_ARGS="--no-browser --allow-root"` suits a container.
lab: $(VENV)/notebooks-installed
	$(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

notebooks: $(VENV)/notebooks-installed
	$(BIN)/python scripts/notebooks.py

test: $(VENV)/dev-installed
	@echo "== 1 of 4: ruff check"
	$(BIN)/ruff check .
	@echo "== 2 of 4: ruff format"
	$(BIN)/ruff format --check .
	@echo "== 3 of 4: types"
	$(BIN)/mypy
	@echo "== 4 of 4: tests, then the outputs of the lessons, then the browser"
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=60 \
		--nbval-sanitize-with=tests/nbval_sanitize.cfg tests $(wildcard notebooks)

# What takes long: JupyterLab, SIGKILL, the lessons, benchmarks, crowds of threads and processes, and
# forms that run the contract or start programs.
SLOW_TESTS := $(addprefix tests/,browser crash notebooks scripts \
	notebook/test_check_form.py notebook/test_errors.py notebook/test_own_store.py \
	notebook/test_project.py stores/test_forks.py stores/test_interrupts.py \
	stores/test_model.py stores/test_open_files.py stores/test_sharing.py)
test-fast: $(VENV)/dev-installed
	@echo "Left out: ruff, mypy, the outputs of the lessons, tests that are marked slow (such as the"
	@echo "contract on faulty stores), tests of the contract's command and of its pytest classes,"
	@echo "$(SLOW_TESTS)."
	@echo "'make test' runs them all."
	$(BIN)/python -m pytest -q -m "not slow and not browser" -k "not test_the_command and not test_in_pytest" \
		$(addprefix --ignore=,$(SLOW_TESTS)) tests

test-matrix: $(VENV)/dev-installed
	$(BIN)/tox run $(TOX_ARGS)

test-binder: $(VENV)/dev-installed
	$(BIN)/python scripts/binder.py

bench: $(VENV)/dev-installed
	$(BIN)/python scripts/bench.py

stampede: $(VENV)/dev-installed
	$(BIN)/python scripts/stampede.py

compare: $(VENV)/dev-installed
	$(BIN)/python scripts/compare_stores.py

contract-docs: $(VENV)/dev-installed
	$(BIN)/python scripts/contract_docs.py

# `make test-crash CRASH_KILLS=1000` kills more often.
test-crash: export CRASH_KILLS ?= 200
test-crash: $(VENV)/dev-installed
	$(BIN)/python -m pytest -s tests/crash

# The stamp files say which extras are installed: `dev` includes `notebooks`.
$(VENV)/notebooks-installed: pyproject.toml | $(BIN)/pip
	@echo "Installing the packages of the lessons into $(VENV): a few minutes the first time."
	$(INSTALL) '.[notebooks]'
	@touch $@

$(VENV)/dev-installed: pyproject.toml | $(BIN)/pip
	@echo "Installing the packages of the lessons and tests into $(VENV): a few minutes the first time."
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/notebooks-installed

# venv installs pip last, so an incomplete environment is created again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Kaizen Store needs Python 3.10 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
		echo "Choose another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot create a virtual environment: its venv module is missing."; \
		echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
