# Commands for developers. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Every hash is checked, so that exactly the locked packages are installed.
PIP_INSTALL := python -m pip --disable-pip-version-check install --quiet
INSTALL := $(BIN)/$(PIP_INSTALL)
COMPILE_ANY := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
COMPILE := $(COMPILE_ANY) --group build pyproject.toml
# The environment of the benchmarks, separate from that of the project.
BENCH := .venv-bench
# The linters and client generators that the OpenAPI documents are tested with, and the GraphQL audits
# and clients, from PyPI and npm.
OPENAPI := .venv-openapi
OPENAPI_LOCKS := tests/rest_compat/clients
NPM := PATH="$(CURDIR)/$(OPENAPI)/bin:$$PATH" npm --no-audit --no-fund --no-update-notifier --ignore-scripts

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test prove chaos soak check bench format lock upgrade schema clean

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

serve: $(VENV)/runtime ## Serve the demo home on http://127.0.0.1:8080 with an embedded PostgreSQL
	$(BIN)/process-gateway demo-devices & trap "kill $$! 2>/dev/null" EXIT; \
	$(BIN)/process-gateway serve --demo --demo-devices http://127.0.0.1:8090 --data-dir .gateway

test: $(VENV)/dev $(OPENAPI)/ready ## Run all tests; ARGS="-k tokens" selects some of them
	$(BIN)/pytest $(ARGS)

prove: $(VENV)/dev ## Run each proof with EXAMPLES=20000 random examples; SEED=... repeats a run
	EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/pytest $(shell find tests -name 'test_*proof.py')

chaos: $(VENV)/dev ## Run the long form of the fault and attack tests (about 10 minutes), and print what was sent
	CHAOS=1 $(BIN)/pytest -v $(wildcard tests/faults tests/hostile) $(ARGS)

soak: $(VENV)/dev ## Serve a mixed load for SECONDS=600, and check that memory and descriptors stay level
	$(BIN)/python -m tests.faults.soak --seconds $(or $(SECONDS),600)

check: $(VENV)/dev $(OPENAPI)/ready ## Check everything that a change must pass: format, lint, types, imports, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: $(VENV)/runtime $(BENCH)/ready ## Compare the speed with other servers and write docs/; QUICK=1 for a short run
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick) $(ARGS)

format: $(VENV)/dev ## Format the code and apply the fixes of ruff
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(VENV)/dev $(OPENAPI)/node ## Update the lock files, keeping every version that still fits
	$(COMPILE) $(UPGRADE) --output-file requirements.lock
	$(COMPILE) $(UPGRADE) --output-file requirements-dev.lock --group dev --constraint requirements.lock
	$(COMPILE_ANY) $(UPGRADE) --output-file benchmarks/requirements.lock benchmarks/requirements.in
	$(COMPILE_ANY) $(UPGRADE) --output-file $(OPENAPI_LOCKS)/requirements.lock $(OPENAPI_LOCKS)/requirements.in
	$(NPM) install --prefix $(OPENAPI_LOCKS) --package-lock-only --omit-lockfile-registry-resolved

upgrade: UPGRADE := --upgrade
upgrade: lock ## Update the lock files to the newest versions

schema: $(VENV)/runtime ## Write schema.graphql
	$(BIN)/process-gateway schema > $(VENV)/schema.graphql
	mv $(VENV)/schema.graphql schema.graphql

clean: ## Remove generated files; the data in .gateway is kept
	rm -rf $(VENV) $(BENCH) $(OPENAPI) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each file below marks a finished step, so that `make` does not repeat it.

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/runtime: $(VENV)/created requirements.lock pyproject.toml
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.lock
	$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

$(BENCH)/ready: $(VENV)/created benchmarks/requirements.lock
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/$(PIP_INSTALL) --require-hashes --requirement benchmarks/requirements.lock
	@touch $@

$(OPENAPI)/node: $(VENV)/created $(OPENAPI_LOCKS)/requirements.lock
	$(PYTHON) -m venv --clear $(OPENAPI)
	$(OPENAPI)/bin/$(PIP_INSTALL) --require-hashes --requirement $(OPENAPI_LOCKS)/requirements.lock
	@touch $@

$(OPENAPI)/ready: $(OPENAPI)/node $(OPENAPI_LOCKS)/package-lock.json
	cp $(OPENAPI_LOCKS)/package.json $(OPENAPI_LOCKS)/package-lock.json $(OPENAPI)/
	$(NPM) ci --prefix $(OPENAPI)
	@touch $@
