# Everything runs in .venv, made on first use from the project's own files. Any Python >= 3.12 will do:
# make PYTHON=python3.12 test
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
JOBS ?= 2

.PHONY: help install demo test test-arguments test-recovery test-external test-bounds lint types format docs bench clean

help:
	@echo "make demo           theophylline end to end, into demo/"
	@echo "make test           the whole suite"
	@echo "make test-arguments two thousand bad arguments to all public functions"
	@echo "make test-recovery  simulate, fit, recover over many replicates (slow)"
	@echo "make test-external DIR=...  agreement on datasets that may not be shipped"
	@echo "make test-bounds    the solvers with every index checked (slow)"
	@echo "make lint           ruff, check and format"
	@echo "make types          mypy on the public names"
	@echo "make docs           the site, into docs/_build/html; each notebook is run once (hours). SHORT=1: on short chains"
	@echo "make bench          the benchmarks; docs/benchmarks.md and docs/validation.md anew. Peers: SAMPLING='--stan PYTHON --numpyro PYTHON'"

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.12 found. Install one, or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "make: $(PYTHON) is older than Python 3.12; name another: make PYTHON=/path/to/python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "make: $(PYTHON) has no venv module (Debian: apt install python3-venv)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/nlmebayes demo demo

# Workers share the cores: threads of BLAS on top of them take a fifth more time.
test: $(READY)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-arguments: $(READY)
	$(BIN)/python -m pytest -m arguments tests/test_arguments.py

test-recovery: $(READY)
	$(BIN)/python -m pytest -m recovery -n $(JOBS)

test-external: $(READY)
	@test -n "$(DIR)" || { echo "make: name the folder of the datasets: make test-external DIR=/path"; exit 1; }
	$(BIN)/python -m pytest -m external --external-data=$(DIR) -n $(JOBS)

# What was compiled with checks is kept apart from what was compiled without.
test-bounds: $(READY)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/bounds PYTENSOR_FLAGS=compiledir=$(VENV)/bounds/pytensor \
		$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/test_solver.py tests/test_event_scenarios.py \
		tests/test_system_events.py tests/test_ode_solver.py tests/test_system.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The public names as a type checker sees them, by what tests/typed.py says of them.
types: $(READY)
	$(BIN)/python -m mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A run of a notebook is kept in docs/_cache until its code changes; an interrupted build goes on.
docs: $(READY)
	$(BIN)/python docs/build.py $(if $(SHORT),--short)

bench: $(READY)
	$(BIN)/python benchmarks/theophylline.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/sampling.py $(SAMPLING)
	$(BIN)/python docs/make_validation.py

clean:
	rm -rf $(VENV) demo docs/_build docs/_cache .pytest_cache .ruff_cache
