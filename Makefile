# Every target first sets up what it needs (once), and stops what it started.
# It needs Debian 12 or 13 with make, git and python3, and root or sudo to install packages.

PYTHON ?= python3
BIN := .venv/bin
# Further arguments of the command: make test ARGS="-k manifest -x"
ARGS ?=
# How many tests run at a time, each job with a lab of its own; 0 runs one after another, with the least memory.
# Tests wait half of the time: two cores are busy with four jobs.
JOBS ?= 4
# Docker Compose 2.20 or later, as a plugin of docker or standalone.
COMPOSE ?= docker compose
DOCKER ?= docker
STACK = $(COMPOSE) --project-directory compose --file compose/compose.yaml \
	$(if $(DEVELOP),--file compose/compose.override.develop.yaml)
# Images of this stack that newer ones have replaced; those that a container uses, or that have a name, stay.
PROJECT = $(or $(shell sed -n 's/^COMPOSE_PROJECT_NAME=//p' compose/.env 2> /dev/null),farm)
REPLACED = $(DOCKER) image prune --force --filter label=com.docker.compose.project=$(PROJECT)

# Tests and the demo start many programs; without bytecode files each of them would compile the farm again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test check durations lint types imports format docs unit property integration chaos fuzz bench wheel \
	clean clean-cache up down logs worker compose

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the demo and the tests need
	@$(PYTHON) -m lab.setup

demo: setup ## build, publish and sign the example packages for three architectures, and run them
	@$(BIN)/python -m lab demo

lab: setup ## keep registry, notary server, Redis and engine up until Ctrl-C, to try `farm` against
	@$(BIN)/python -m lab up

test: setup ## everything that CI does: lint and all tests
	@$(BIN)/pytest --lint --numprocesses $(JOBS) --no-loadscope-reorder $(ARGS)

check: setup ## lint, unit and property tests: half a minute
	@$(BIN)/pytest --lint --numprocesses auto --no-loadscope-reorder --quiet tests/unit tests/property $(ARGS)

unit: setup ## the unit and property tests
	@$(BIN)/pytest tests/unit tests/property $(ARGS)

property: setup ## only the property tests
	@$(BIN)/pytest tests/property $(ARGS)

integration: setup ## the integration tests
	@$(BIN)/pytest tests/integration $(ARGS)

durations: setup ## print where the time of the last run of tests went
	@$(BIN)/python -m tests.durations $(ARGS)

lint: setup ## check formatting, lint, types and import layers
	@$(BIN)/python -m lab.lint

types imports: setup
	@$(BIN)/python -m lab.lint $@

format: setup ## format the code, and fix what ruff can fix
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

docs: setup ## generate docs/commands.md, config/farm.yml, config/redis/users.acl and parts of docs/architecture.md
	@$(BIN)/python -m docs.generate

chaos: setup ## random faults in a farm for three minutes: ARGS="--seed 7 --seconds 60"
	@$(BIN)/python -m tests.fault.chaos $(ARGS)

fuzz: setup ## mutate the inputs of all parsers for a minute: ARGS="--seconds 600 --only index"
	@$(BIN)/python -m tests.fuzz $(ARGS)

bench: setup ## run the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

up: ## build and start the stack in containers, after compose/init; SERVICES= selects some
	@$(STACK) up --detach --build --wait --wait-timeout 300 $(SERVICES)
	-@$(REPLACED) > /dev/null

down: ## stop the stack in containers; its data stays
	@$(STACK) down

logs: ## follow the logs of the stack in containers
	@$(STACK) logs --follow --tail 100 $(SERVICES)

compose: ## run docker compose on the stack: make compose ARGS="ps --all"
	@$(STACK) $(ARGS)

worker: ## make this machine a worker, with the output of compose/bundle: make worker BUNDLE=FILE
	@compose/join $(BUNDLE) $(ARGS)
	@$(STACK) up --detach --build --wait --wait-timeout 300
	-@$(REPLACED) > /dev/null

wheel: setup ## build the wheel into dist/
	@$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove what was made in this checkout; Debian packages and the cache stay
	rm -rf .venv .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-cache: ## remove the cache of all checkouts: LAB_CACHE, or linuxkit-farm-lab in ~/.cache
	@$(PYTHON) -m lab.cache --remove
