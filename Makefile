# Two commands set everything up from a bare checkout: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILDER ?= docker build
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints/all.txt
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test check lint fix serve bench-serving bench-quality image

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

# What runs and trains; `demo` and `serve` need no more. Compiling all byte code would take a minute; what is imported is
# compiled here, once, even where the environment keeps Python from writing any, since every start would pay for it.
$(VENV)/.run: pyproject.toml constraints/all.txt $(wildcard model/*/kernels/*.c)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --editable '.[serve,train]'
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import app.worker, app.serve, app.state.embedded, app.batch.recommend, model.job'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --no-compile --editable '.[serve,train,dev]'
	touch $@

demo: $(VENV)/.run ## train on the sample data, serve, and show what comes back (DEMO_EXIT=1: then stop)
	$(BIN)/python deploy/demo.py

test: lint ## everything CI runs: lint, types, layers, every test, the coverage gate
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-fail-under=90

check: lint ## the fast half of `make test`: format, lint, types, layers, architecture
	$(BIN)/python -m pytest -q tests/architecture

lint: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

fix: $(VENV)/.dev ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: $(VENV)/.run ## serve bundles/current on 127.0.0.1:8000
	$(BIN)/polyrank serve

bench-quality: $(VENV)/.run ## quality against the field, from POLYRANK_QUALITY_DIR and POLYRANK_DATA_DIR
	$(BIN)/python bench/quality/run.py

bench-serving: $(VENV)/.run ## how fast it answers, with 100,000 and 1,000,000 items (SERVING=--quick: a small one); needs wrk
	$(BIN)/python -m bench.serving.run $(SERVING)

image: ## images polyrank:serve and polyrank:train (BUILDER='buildah bud' where there is no Docker)
	$(BUILDER) --target serve --tag polyrank:serve .
	$(BUILDER) --target train --tag polyrank:train .
