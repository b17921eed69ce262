# Every target does its own set-up: .ci/venv makes .venv from the lock file, once.
#
#   make PYTHON=python3.12 test    another interpreter (3.11 or later)
#   make test ARGS="tests/unit -k folding"
#   make test WORKERS=0 ARGS=--pdb    in one process
#   make fuzz SECONDS=600 SEED=7

PYTHON ?=
ARGS ?=
WORKERS ?= 2
SECONDS ?= 60
SEED ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz check lint format types imports generated bench bench-peers lock clean venv

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: venv ## Sign one message on its way through the relay, verify it, show it
	@$(BIN)/dkim-relay demo

# A file of tests stays with one worker, so that the server which they share is started once.
test: venv ## Run all tests; those whose peer program is missing are skipped, unless CI=true
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

fuzz: venv ## Let clients of every kind say anything at all, for SECONDS; exit 1 when something is found
	@$(BIN)/python -m tests.transcript.fuzz_long $(SECONDS) $(SEED)

check: lint types imports generated ## Everything that needs no running: style, types, imports, generated files

lint: venv ## Style and formatting (ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: venv ## Format the code and mend what ruff can mend by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: venv ## Types (mypy, strict)
	@$(BIN)/mypy

imports: venv ## Who may import whom (import-linter)
	@$(BIN)/lint-imports --no-logo

generated: venv ## Compare generated files with what would be generated now
	@$(BIN)/dkim-relay config example >.venv/relay.toml
	@diff -u config/relay.toml .venv/relay.toml || \
	  { echo "config/relay.toml is not what 'dkim-relay config example' prints" >&2; exit 1; }

bench: venv ## Measure throughput, CPU, memory and latency (needs the Debian package postfix)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-peers: venv ## The same beside other relays that sign, which are installed first (as root)
	@$(BIN)/python -m tests.bench.peers $(ARGS)

# The oldest Python resolves for all of them. Folders of wheels that this machine's pip may know
# are left out, so that the hashes are those of what is published.
# `make lock ARGS=--upgrade` takes newer versions, without it only pyproject.toml counts.
COMPILE := env -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null \
  CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
  --strip-extras --no-build-isolation --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: venv ## Pin the dependencies of pyproject.toml anew (Python 3.11)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "make lock needs the oldest supported Python: make PYTHON=python3.11 lock" >&2; exit 1; }
	@$(COMPILE) $(ARGS) --output-file requirements.lock pyproject.toml
	@$(COMPILE) $(ARGS) --extra dev --constraint requirements.lock \
	  --output-file requirements-dev.lock pyproject.toml
	@$(COMPILE) $(ARGS) --output-file tests/bench/requirements.lock tests/bench/requirements.in
	@$(COMPILE) $(ARGS) --output-file tests/fakes/python_peers.lock tests/fakes/python_peers.in

clean: ## Remove everything that was made here
	@rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find relay tests -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@PYTHON="$(PYTHON)" .ci/venv
