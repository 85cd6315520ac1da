# Every target makes what it needs: a virtual environment in .venv, with uv when there is one and pip otherwise.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Where the environment forbids it to keep bytecode, every process of the tests would compile them and the source anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup serve test test-cluster test-full conformance lint bench soak docs lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.development $(VENV)/.node ## Install everything for development into .venv

serve: $(VENV)/.runtime ## Run a server; its data goes to ./fileplane-data (ARGS='--port 9000' for options)
	@$(BIN)/fileplane serve $(ARGS)

test: setup lint ## Run every check and the tests that take seconds each (ARGS='-k name' for some of them)
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m 'not full' $(ARGS)

test-cluster: setup $(VENV)/.azurite ## Run what is tested on PostgreSQL and object stores, with several nodes, and leave nothing behind
	@PYTHONPATH=tests $(BIN)/python tools/run_cluster_tests.py $(ARGS)

test-full: setup $(VENV)/.azurite lint ## Run every check and every test, those that take minutes too
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

conformance: setup ## Run the conformance suites of all providers and print a table of them, one row a provider (ARGS='-k Groq')
	@$(BIN)/python -m pytest -p support.conformance_report --quiet --numprocesses auto --dist loadfile tests/providers $(ARGS)

lint: $(VENV)/.development ## Check style, types, layers and generated documents
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/generate_docs.py --check

bench: setup ## Measure against nginx, a bare route, a plain script and other gateways; writes docs/benchmarks.md
	@PYTHONPATH=tests $(BIN)/python bench/run.py $(ARGS)

soak: setup ## Half an hour of traffic with random kills; its result goes to docs/benchmarks.md (ARGS='--minutes 2')
	@PYTHONPATH=tests $(BIN)/python bench/soak.py $(ARGS)

docs: $(VENV)/.development ## Write the generated parts of the documentation anew
	@$(BIN)/python tools/generate_docs.py

lock: ## Resolve the dependencies anew (needs uv)
	@cd requirements && for name in runtime image development installer; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	    --custom-compile-command 'make lock' $$name.in --output-file $$name.txt || exit 1; \
	done

clean: ## Remove the environment and every cache; data is kept
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/sdk/node/node_modules tests/object_stores/node/node_modules

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@tools/install requirements/runtime.txt
	@touch $@

$(VENV)/.development: requirements/development.txt requirements/installer.txt pyproject.toml
	@tools/install requirements/development.txt
	@touch $@ $(VENV)/.runtime

$(VENV)/.node: tests/sdk/node/package-lock.json $(VENV)/.development
	@$(BIN)/python tools/install_node_packages.py tests/sdk/node
	@touch $@

$(VENV)/.azurite: tests/object_stores/node/package-lock.json $(VENV)/.development
	@$(BIN)/python tools/install_node_packages.py tests/object_stores/node
	@touch $@
