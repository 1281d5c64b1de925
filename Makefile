# The commands of the project. Each makes .venv when it is missing; nothing else has to be installed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast lint bench bench-gpu clean

# The lock names torch and torchvision as one pair; -c keeps every other package at the tested version.
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What a user installs, which is all that the demo needs; then what tests and checks need besides.
$(VENV)/.usable: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed: $(VENV)/.usable
	$(PIP) -e '.[dev]'
	touch $@

demo: $(VENV)/.usable
	$(BIN)/python tools/demo.py

# A process a core, with one thread each: two threads in each of two processes would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test: $(VENV)/.installed
	$(PYTEST)

# What one runs while editing: no other processes, no browser, under two minutes on two cores.
test-fast: $(VENV)/.installed
	$(PYTEST) -m "not slow and not process and not browser"

lint: $(VENV)/.installed
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# DATA names the folder of the image sets; benchmarks/gpu/README.md lists them. Without a GPU it says what waits.
DATA ?= data-gpu
bench-gpu: $(VENV)/.installed
	$(BIN)/python -m benchmarks.gpu --data $(DATA)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
