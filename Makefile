# Thin names over real commands. `make serve` and `make test` need only Python >= 3.11 and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# On all cores; a file's tests stay together. In the order of the folders: by their number, which is the default, the few
# that start processes come last, and leave a core with nothing to do.
PYTEST := $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help serve demo test interop quick check format bench clean

help:
	@echo "make serve   environment, install, start the relay on 127.0.0.1:8765"
	@echo "make demo    speak a sentence into hello.wav, no server needed"
	@echo "make test    style, types and the whole test suite"
	@echo "make interop published client libraries, each in its own environment, against a running relay"
	@echo "make quick   the tests that need neither processes nor a browser"
	@echo "make check   style and types only"
	@echo "make bench   the benchmarks behind the published figures"

# Each stamp is made anew when pyproject.toml changes, so that an old environment never hides a new dependency.
$(VENV)/.run: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[espeak,voice]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.run $@

serve: $(VENV)/.run
	$(BIN)/relay serve

demo: $(VENV)/.run
	$(BIN)/relay say "The relay speaks. It streams as it goes." --out hello.wav

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(PYTEST)

# A library that cannot be installed is skipped; with STRICT=--strict that is a failure.
interop: $(VENV)/.dev
	$(BIN)/python -m interop $(STRICT)

quick: $(VENV)/.dev
	$(PYTEST) --ignore=tests/e2e --ignore=tests/clients/browser --ignore=tests/bench

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
