# Everything runs from a clean clone: each target installs what it needs into .venv by itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MUTMUT := $(VENV)/.mutants
HELM   := $(VENV)/.helm
PYTEST := $(BIN)/python -m pytest
KINDS  := $(BIN)/python -m skerry.api.kinds.reference
EVENTS := $(BIN)/python -m skerry.eventreference
IMAGES := build/images
# An image with the same minor version of Python as the one that made the wheels.
BASE   ?= python:$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-slim-bookworm
EPOCH   = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || echo 315532800))
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# Images of Python often set it. Then each of the thousand processes that the suites start compiles all its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install fmt manifests check shape unit test soak mutants bench wheelhouse images up down clean clean-cache

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## install Skerry and its development tools into .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Skerry needs Python 3.11 or newer, {sys.executable} is {v[0]}.{v[1]}: run make PYTHON=python3.12 (or newer)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "cannot make a virtual environment: install python3-venv (Debian, Ubuntu) and try again"; exit 1; }
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev --editable ".[demo]"
	@touch $@

fmt: $(STAMP) ## format the code, write docs/kinds.md and docs/events.md
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true
	@$(KINDS) > docs/kinds.md
	@$(EVENTS) > docs/events.md
	@$(EVENTS) schema > docs/events.schema.json

manifests: $(STAMP) ## write the agent's objects that `skerry join` applies, as helm renders them from the chart
	@SKERRY_TEST_WRITE_TABLE=1 $(PYTEST) -q tests/cli/test_agentmanifest.py -k is_what_helm

check: $(STAMP) ## formatter, linter, types, docs/kinds.md and docs/events.md, import layers, sizes, what services name, where modules are tested
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run make fmt"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(KINDS) | diff docs/kinds.md - || { echo "docs/kinds.md does not say what skerry/api/kinds declares: run make fmt"; exit 1; }
	@{ $(EVENTS) | diff docs/events.md - && $(EVENTS) schema | diff docs/events.schema.json -; } \
		|| { echo "docs/events.md does not say what is declared of events: run make fmt"; exit 1; }
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.shape --check
	@$(BIN)/python -m tests.boundaries
	@$(PYTEST) -qq tests/test_mirrors.py

shape: ## the structure of the code in numbers
	@$(PYTHON) -m tests.shape

unit: $(STAMP) ## fast tests: no server, no network, with coverage, which may not sink; of pure modules every branch
	@$(PYTEST) -m "not integration and not kube and not node and not soak" --cov --cov-fail-under=70 --cov-report=term:skip-covered -q
	@$(BIN)/coverage report --skip-covered --fail-under=100 --include="$$(grep -v '^#' tests/pure.txt | paste -sd, -)" \
		|| { echo "a pure module (tests/pure.txt) has branches that no unit test takes: write the test"; exit 1; }

test: check ## every tier once: unit, integration, kube, node
	@$(BIN)/python -m tests.prepare
	@$(PYTEST) -m "not soak" -n auto --dist loadscope --no-loadscope-reorder --reruns 1 --durations=25

$(HELM): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo,helm]"
	@touch $@

soak: $(HELM) ## repetitions, churn, and what needs Helm's library (244 MB): long
	@$(PYTEST) -m soak --timeout=3600

$(MUTMUT): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group mutants
	@touch $@

mutants: $(MUTMUT) ## do the tests notice when a module decides otherwise: long, or MODULE=identity/requests alone
	@$(BIN)/python -m tests.mutants $(AGAIN:%=--again) $(MODULE)

bench: $(STAMP) ## benchmarks, as ratios measured side by side
	@$(BIN)/python -m bench

wheelhouse: $(STAMP) ## what the images are made from, into build/images: wheels, helm, bills of materials. Needs a network
	@$(BIN)/python -m deploy.docker.context $(IMAGES)

$(IMAGES):
	@$(MAKE) --no-print-directory wheelhouse

images: $(IMAGES) ## skerry and skerry-agent, from build/images and BASE, without a network where both are there
	@for each in host:skerry agent:skerry-agent; do \
		docker build --quiet --network=none --target "$${each%%:*}" --build-arg BASE="$(BASE)" \
			--build-arg SOURCE_DATE_EPOCH="$(EPOCH)" --build-arg VERSION="$(VERSION)" --build-arg REVISION="$(REVISION)" \
			--build-arg CREATED="$$(date -u -d "@$(EPOCH)" +%Y-%m-%dT%H:%M:%SZ)" \
			--tag "$${each#*:}:$(VERSION)" --file deploy/docker/Dockerfile $(IMAGES) || exit 1; \
		echo "$${each#*:}:$(VERSION)"; \
	done

up: $(STAMP) ## start a host with two demo members and show it working
	@$(BIN)/skerry up --demo --detach

down: ## stop the host and the demo, and delete their state
	@test ! -x $(BIN)/skerry || $(BIN)/skerry down --purge

clean: ## remove the virtual environment and all caches of the checkout
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov dist build

clean-cache: $(STAMP) ## delete the cached Kubernetes binaries
	@$(BIN)/python -m skerry.localkube clean
