# Two commands for a user: `make demo` and `make test`. Everything is set up on the way.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOOTAGE ?= $(wildcard ../shared/footage/terrace-*.mp4)
SPEED ?= 1
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help setup demo check test soak bench format lock clean

help: ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16

setup: $(VENV)/installed ## Set up the virtual environment

$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Replay footage (FOOTAGE="a.mp4 b.mp4" SPEED=1) and serve its mood on PORT until Ctrl-C
	@test -n "$(FOOTAGE)" || { echo 'make demo needs footage: make demo FOOTAGE="north.mp4 south.mp4"' >&2; exit 2; }
	CROWDMOOD_API__PORT=$(PORT) $(BIN)/crowdmood replay --serve --speed $(SPEED) $(FOOTAGE)

check: setup ## Lint, format, types, who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: setup ## Every test
	$(BIN)/pytest

soak: setup ## Tests of minutes under load and deaths
	$(BIN)/pytest -m soak

bench: setup ## Measure the figures that the project quotes, into build/bench
	@mkdir -p build/bench
	$(BIN)/python -m benchmarks.classify --json build/bench/classify.json --picture build/bench/classify.png

format: setup ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Pin every dependency anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet --upgrade --output-file requirements.txt

clean: ## Remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
