# Every target sets up what it needs first (once), and takes down what it started.
# A bare Debian 12 or 13 with make, git and python3 will do; root or sudo, to install packages.

PYTHON ?= python3
BIN := .venv/bin
# What pytest is given: make test ARGS="-k manifest -x"
ARGS ?=
# How many tests run at a time, each job with a lab of its own; 0 is one after another, which needs the least.
JOBS ?= 2
# Docker Compose 2.20 or later, as a plugin of docker or by itself.
COMPOSE ?= docker compose
STACK = $(COMPOSE) --project-directory compose --file compose/compose.yaml \
	$(if $(DEVELOP),--file compose/compose.override.develop.yaml)

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test lint types imports format docs unit property integration chaos bench wheel \
	clean up down logs worker compose

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the demo and the tests need, if it is missing
	@$(PYTHON) lab/setup.py

demo: setup ## build, publish and sign the example packages for three architectures, and run them
	@$(BIN)/python -m lab demo

lab: setup ## keep registry, notary server, Redis and engine up until Ctrl-C, to try `farm` against
	@$(BIN)/python -m lab up

test: setup lint ## everything that CI does: lint, then all tests
	@$(BIN)/pytest --numprocesses $(JOBS) --no-loadscope-reorder $(ARGS)

unit: setup ## the tests that need no service: a few seconds
	@$(BIN)/pytest tests/unit tests/property $(ARGS)

property: setup ## only the property tests
	@$(BIN)/pytest tests/property $(ARGS)

integration: setup ## the tests against real services
	@$(BIN)/pytest tests/integration $(ARGS)

lint: setup types imports ## formatting, lint, types, and which way imports point
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .

types: setup
	@$(BIN)/mypy --no-error-summary

imports: setup
	@$(BIN)/lint-imports > .lab/imports.log || { cat .lab/imports.log; exit 1; }

format: setup ## format the code, and mend what lint can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

docs: setup ## write what is made from the code: docs/commands.md, config/farm.yml, the picture of the imports
	@$(BIN)/python -m docs.generate

chaos: setup ## kill, freeze and cut a farm at random for three minutes: ARGS="--seed 7 --seconds 60"
	@$(BIN)/python -m tests.fault.chaos $(ARGS)

bench: setup ## measure, each figure beside a peer's or a limit in the same run
	@$(BIN)/python -m benchmarks $(ARGS)

up: ## build and start the stack in containers, once compose/init has been run; SERVICES= names some of it
	@$(STACK) up --detach --build --wait --wait-timeout 300 $(SERVICES)

down: ## stop the stack in containers, and keep its data
	@$(STACK) down

logs: ## follow the logs of the stack in containers
	@$(STACK) logs --follow --tail 100 $(SERVICES)

compose: ## any other command of docker compose on the stack: make compose ARGS="ps --all"
	@$(STACK) $(ARGS)

worker: ## make this the machine of a worker, with what compose/bundle wrote on the first: make worker BUNDLE=FILE
	@compose/join $(BUNDLE) $(ARGS)
	@$(STACK) up --detach --build --wait --wait-timeout 300

wheel: setup ## build the wheel into dist/
	@$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove all that was made here, installed Debian packages aside
	rm -rf .venv .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
