# What people run. Everything lives in .venv; nothing outside this folder is touched.
#   make look       open the tour of the explorer with recorded networks; no PyTorch
#   make figures    train what the notebooks need, execute them, write reports/
#   make lab        open JupyterLab on notebooks/
#   make test       lint, types, doctests, unit tests, notebooks, browser
PYTHON ?= python3
BIN := .venv/bin
export ISOMAX_VIZ_STORE ?= $(CURDIR)/runs

.DEFAULT_GOAL := help
.PHONY: help install look figures lab test notebooks student lesson bench docs clean

help:
	@echo "make look       open the tour of the explorer with recorded networks (installs no PyTorch)"
	@echo "make figures    train what the notebooks need, execute every notebook, write reports/"
	@echo "make lab        open JupyterLab on notebooks/ (localhost, with a token)"
	@echo "make test       ruff, mypy, doctests, unit tests, notebooks, browser test"
	@echo "make notebooks  refresh the committed outputs of the notebooks"
	@echo "make student    write the teaching notebooks without answers to notebooks/student/"
	@echo "make lesson     write lesson.html: networks that run in any browser, for a class (installs no PyTorch)"
	@echo "make bench      measure speed against named baselines, write benchmarks/RESULTS.md"
	@echo "make docs       build the documentation site in docs/_build/html (any warning is an error)"
	@echo "make clean      remove .venv, reports/ and docs/_build/ (your trained networks in runs/ stay)"

# The stamps make the second call fast: pip runs again only when pyproject.toml changes.
.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "isomax_viz needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + ". Choose another one: make PYTHON=python3.12 ...")'
	@echo "Making .venv with a pip that shows its progress ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --upgrade pip
	@touch $@

# pip is not silenced: its lines show that it lives. What is imported is compiled then, which saves compiling all of it here;
# so Python must be free to keep what it compiled, or each process would compile PyTorch and the others anew (10 s, not 5).
# A PyTorch that is installed already is kept.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip install --no-compile --editable

.venv/installed-look: .venv/created pyproject.toml
	@echo "Installing isomax_viz and what analyses recorded networks (under 1 GB) ..."
	$(PIP) .
	@touch $@

.venv/installed: .venv/installed-look
	@echo "Installing PyTorch too (about 6 GB in its version for CUDA: some minutes the first time) ..."
	$(PIP) ".[train]"
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) ".[test]"
	@touch $@

.venv/installed-docs: .venv/installed
	$(PIP) ".[docs]"
	@touch $@

install: .venv/installed

figures: .venv/installed
	$(BIN)/python -m isomax_viz figures

notebooks: .venv/installed
	$(BIN)/python -m isomax_viz figures --update-notebooks

student: .venv/installed
	$(BIN)/python notebooks/student_versions.py

LAB := $(BIN)/python -m jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

look: .venv/installed-look
	@echo 'JupyterLab opens on the tour: press Shift-Enter until the explorer appears. Ctrl-C here ends it. To train: make lab'
	$(BIN)/python -m isomax_viz look notebooks

lab: .venv/installed
	$(LAB)

# Two files at a time, each on one thread: more threads than cores would wait for each other. Types are checked beside them.
test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/python -m mypy & types=$$!; \
	OMP_NUM_THREADS=1 ISOMAX_VIZ_SCREENSHOTS=$(CURDIR)/reports/screenshots $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types || { echo "mypy has found something: see above"; exit 1; }; exit $$tests

lesson: .venv/installed-look
	$(BIN)/python -c 'import isomax_viz; print(isomax_viz.lesson())'

bench: .venv/installed-test
	$(BIN)/python -m benchmarks

docs: .venv/installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean:
	rm -rf .venv reports docs/_build
