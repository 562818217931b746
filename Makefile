# Everything a fresh machine with Python 3.11 needs is set up by the targets themselves.
#
#   make run      master and local agent; opens nothing beyond this host; prints the page's address
#   make demo     a made-up network with delay and loss
#   make test     the whole test suite, against real peers; make test-nightly: 100,000 hostile inputs and more
#   make check    style, types, floors
#   make bench    the benchmarks, each beside its peer, one JSON line each
#   make evaluate the real SmokePing and smokemesh side by side: case, expected, observed, verdict (over an hour)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DATA   ?= data
ARGS   ?=

# Whatever reads other people's bytes from SmokePing's world: some hundred made-up inputs a test in `make test`, 20,000 each at night.
HOSTILE := $(addprefix tests/unit/test_,smokeping_hostile.py protocol.py perl.py slave_results.py) tests/integration/test_slave_api.py

FRONTEND := $(shell find frontend hatch_build.py -path '*/node_modules' -prune -o -type f -print 2>/dev/null)
INPUTS   := pyproject.toml constraints.txt $(FRONTEND)

.DEFAULT_GOAL := help
.PHONY: help run demo test test-fast test-nightly check format bench evaluate screenshots clean

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@tools/make-venv "$(PYTHON)" "$(VENV)"

$(VENV)/.run: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[master]'
	@touch $@

$(VENV)/.test: $(VENV)/.run tools/debian-packages
	$(PIP) install --quiet --constraint constraints.txt --editable '.[master,test,check]'
	@tools/debian-packages
	@touch $@

run: $(VENV)/.run
	@exec $(BIN)/smokemesh up --data $(DATA) $(ARGS)

demo: $(VENV)/.run
	@exec $(BIN)/smokemesh demo $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest tests/unit tests/test_docs.py $(ARGS)

test-nightly: $(VENV)/.test
	SMOKEMESH_TEST_EXAMPLES=20000 $(BIN)/python -m pytest --timeout 7200 $(HOSTILE) $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py --check

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test
	@for b in icmp accuracy store query ingest rounds; do $(BIN)/python -m benchmarks.$$b || exit 1; done

evaluate: $(VENV)/.test
	@$(BIN)/python -m evaluate $(ARGS)

screenshots: $(VENV)/.test
	$(BIN)/python tools/screenshots.py docs/images

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache frontend/node_modules
