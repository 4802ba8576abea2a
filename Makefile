# make demo: the paper's central result, measured, in minutes.  make test: everything that must hold.
# make docs: the API reference, in build/docs.  make bench: ours beside what one would else write.
# All make .venv and install into it first.

# What is compiled is kept, whatever the environment says: every process of a test would compile it anew.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test suite docs bench lint install clean

demo: install
	$(BIN)/narrows demo --out runs/demo

test: install
	@start=$$(date +%s); $(MAKE) --no-print-directory -j 2 lint suite && \
	echo "make test took $$(( $$(date +%s) - start )) s after installation"

suite: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

docs: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/reference/build.py build/docs

# Alone on the machine, or the numbers mean nothing; three quarters of an hour.
bench: install
	PYTHONPATH=. $(BIN)/python -m benchmarks.speed

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP)

# torch first: the pinned version has a CPU build, and everything else then keeps to it.
# Modules are compiled when they are imported, which most never are.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
