# The two commands of a newcomer are `make demo` and `make test`. `make setup` is part of both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXTRAS := embedded,parquet,completejourney,bench,dev
SOURCE ?= simulator

.PHONY: help setup demo test test-kafka faults fuzz lint format bench quality clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(INSTALLED)  ## Make .venv and install Shoal with everything it needs

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Shoal needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$(EXTRAS)]'
	@touch $@

demo: $(INSTALLED)  ## Run everything here; bounded with EVENTS=5000 (one line of JSON)
	@exec $(BIN)/shoal demo --source $(SOURCE) $(if $(EVENTS),--events $(EVENTS) --json)

test: lint  ## Linters, types and all tests
	@$(BIN)/python -m pytest

test-kafka: $(INSTALLED)  ## The integration tests on Apache Kafka; needs Java 17 and Maven
	@$(BIN)/python -m pytest tests/integration --kafka apache

faults: $(INSTALLED)  ## Everything dies under load, and nothing is lost; an hour, Java 17 and Maven
	@$(BIN)/python -m tests.faults

fuzz: $(INSTALLED)  ## A million damaged events: each is read or rejected, and costs little
	@$(BIN)/python -m tests.fuzz

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED)  ## Speed and cost on this machine: a table, plots in build/bench; an hour
	@$(BIN)/python -m bench

quality: $(INSTALLED)  ## How good the segments are: a table, and plots in build/quality
	@$(BIN)/python -m bench.quality

clean:  ## Remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info tests/target
