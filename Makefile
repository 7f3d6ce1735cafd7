# The commands to learn: make demo, make test, make lint, make bench.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := PYTHONPATH=e2e $(BIN)/python
# A folder with a CPU build of torch; without one pip takes the registry's own build.
WHEELS ?= $(wildcard ../shared/wheels)
FIND_LINKS := $(if $(WHEELS),--find-links $(WHEELS))
CACHE := $(or $(OCTAVO_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/octavo)
export WHEELS

.PHONY: help demo test test-unit test-e2e test-long lint format bench bench-operator cluster cluster-down images model clean

help: ## Show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "==> Python environment in $(VENV) (about 1 minute, 3 with the registry's CUDA build of torch)"
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Octavo needs Python 3.11 or newer: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed; on Debian or Ubuntu: apt-get install -y python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(FIND_LINKS) -c constraints.txt -e '.[operator,gateway,engine,dev]'
	@touch $@

demo: $(VENV)/.installed ## A real cluster, operator, engine and chat on this machine
	@$(RUN) -m demo

test: lint test-unit test-e2e ## Everything: lint, unit tests, stories on the real cluster

test-unit: $(VENV)/.installed ## The tests that need no cluster (minutes)
	$(BIN)/python -m pytest tests -m "not gpu and not long and not model"

test-e2e: $(VENV)/.installed model ## The demo model's tests, then user stories on a real local Kubernetes
	$(BIN)/python -m pytest tests -m "model and not gpu and not long"
	$(RUN) -m pytest e2e/stories -m "not gpu and not long" --durations=15

test-long: $(VENV)/.installed model ## What takes too long for every change
	$(BIN)/python -m pytest tests -m long
	$(RUN) -m pytest e2e/stories -m long

lint: $(VENV)/.installed ## Formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed model ## Speed of the engine here: a table, a picture and JSON (in .octavo/bench)
	@$(BIN)/python -m octavo_engine.bench --model $(CACHE)/models/smollm2-135m-instruct --out .octavo/bench

bench-operator: $(VENV)/.installed ## Memory, latency, writes of the operator with 500 services, 5,000 pods (minutes)
	@$(RUN) -m bench.operator_scale $(BENCH_FLAGS)

cluster: $(VENV)/.installed ## Start a local Kubernetes of two nodes, or NODES=n (writes .octavo/kubeconfig)
	@$(RUN) -m cluster up $(if $(NODES),--nodes $(NODES))

cluster-down: $(VENV)/.installed ## Stop it and end its processes, network and mounts
	@$(RUN) -m cluster down

images: $(VENV)/.installed ## Build the engine's and the operator's image
	@$(RUN) -m images build

model: $(VENV)/.installed ## Prepare the demo model, SmolLM2-135M-Instruct
	@$(RUN) -m demo_model

clean: ## Remove the environment and the cluster's state of this checkout
	@test ! -x $(BIN)/python || $(RUN) -m cluster down
	rm -rf $(VENV) .octavo .mypy_cache .ruff_cache .pytest_cache .hypothesis
