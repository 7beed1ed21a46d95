# Heimdex: `make demo` shows it, `make test` proves it, `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
BUF := node_modules/.bin/buf
PACKAGES := contracts gateway processors indexer control adapters deploy
MYPY_TARGETS := $(wildcard $(PACKAGES) clients/python/heimdex proto/generate.py tests)
COMPILE := $(BIN)/uv pip compile pyproject.toml gen/pyproject.toml clients/python/pyproject.toml --group data --group dev \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --excludes requirements-excludes.txt \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet
ARGS ?=

.PHONY: help setup demo up down test test-models bench lint format gen lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv from the hashed lock (PYTHON=… picks the interpreter)
	@deploy/environment.sh .venv requirements.lock

demo: setup ## the main job: start the stack, ingest two videos, search them
	@exec $(BIN)/heimdex demo $(ARGS)

up: setup ## start the whole stack on this machine
	@exec $(BIN)/heimdex up $(ARGS)

down: ## stop it again
	@exec $(BIN)/heimdex down $(ARGS)

test: setup ## all tests that need nothing special; they start and stop their own servers (ARGS="-k …")
	@exec $(BIN)/python -m pytest -m 'not models and not bench' $(ARGS)

test-models: ## the production profile's loading code, in .venv-models (2.7 GB of wheels)
	@deploy/environment.sh .venv-models requirements-production.lock
	@exec .venv-models/bin/python -m pytest -m models tests/models $(ARGS)

bench: setup ## measure ingest, search and memory (ARGS="-k search")
	@GRPC_VERBOSITY=ERROR exec $(BIN)/python -m pytest -m bench -p no:randomly -s tests/bench $(ARGS)

lint: setup $(BUF) ## everything that is checked without running (needs Node, for buf)
	@failed=0; check() { "$$@" || { failed=1; echo "lint: failed: $$*" >&2; }; }; \
	laws() { local said; said=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$said"; return 1; }; }; \
	check $(BIN)/ruff check --quiet .; \
	check $(BIN)/ruff format --check --quiet .; \
	check $(BIN)/mypy --no-error-summary $(MYPY_TARGETS); \
	check laws; \
	check $(BUF) lint; \
	check $(BUF) format --diff --exit-code; \
	check proto/breaking.sh $(BUF); \
	check $(BIN)/python proto/generate.py --check; \
	check $(BIN)/codespell; \
	exit $$failed

format: setup $(BUF) ## rewrite Python and protos in the project's format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BUF) format --write

gen: setup $(BUF) ## rewrite gen/ from proto/
	@$(BUF) lint
	@$(BIN)/python proto/generate.py

lock: ## resolve pyproject.toml into the two hashed locks; they name no host
	@$(COMPILE) --extra production --output-file requirements-production.lock
	@$(COMPILE) --excludes requirements-excludes-small.txt --constraints requirements-production.lock --output-file requirements.lock
	@{ head -n 1 build-constraints.txt; awk '/^[^ ]/ {on = /^setuptools==/} on' requirements.lock; } >.build-constraints.new
	@mv .build-constraints.new build-constraints.txt

clean: ## remove environments and caches of this tree (homes of stacks stay: `heimdex down`, then delete the home)
	@rm -rf .venv .venv-models node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BUF): package-lock.json
	@command -v npm >/dev/null || { echo 'lint, format and gen need Node 20 or newer with npm on PATH, for buf; nothing else does' >&2; exit 1; }
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
