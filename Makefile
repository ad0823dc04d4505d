# Targets: make demo | test | lint | types | docs | bench | clean | help.  Needs Python 3.11, 3.12 or 3.13.
# Another interpreter: make demo PYTHON=/path/to/python3.12

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out
WORKERS ?= 2
BENCH  ?=
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test selection lint types docs bench clean help

help:
	@echo "make demo    refine quartz against a powder pattern and NMR data together; says where the pictures are"
	@echo "make test    run the tests (JAXNMR_DATA=/path/to/data adds those on measured patterns)"
	@echo "make lint    check style with ruff"
	@echo "make types   check types with mypy"
	@echo "make docs    build the documentation site into $(OUT)/site; warnings are errors"
	@echo "make bench   run the benchmarks on the device jax finds (best on an idle machine; BENCH=--quick to see that they run)"
	@echo "make clean   remove $(OUT)/, caches and build products (not $(VENV))"
	@echo "variables    PYTHON=$(PYTHON)  VENV=$(VENV)  OUT=$(OUT)  WORKERS=$(WORKERS)  BENCH=$(BENCH)"

# A dozen steps take less time than compiling them well.
demo: $(STAMP)
	JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(BIN)/jaxnmr refine examples/quartz/quartz_joint.toml --out $(OUT)/quartz_joint
	@echo
	@echo "Pictures: $(OUT)/quartz_joint/pattern.png, information.png (which data fix what), correlations.png, convergence.png"
	@echo "Report:   $(OUT)/quartz_joint/report.md     Structure: $(OUT)/quartz_joint/refined.cif"

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

# A part of the tests that touches every package, for interpreters that are not tested in full (listed in the file).
selection: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal @tests/selection.txt

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# MkDocs advertises its successors on every run.
docs: $(VENV)/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir $(OUT)/site
	@echo "The site is in $(OUT)/site: open $(OUT)/site/index.html"

bench: $(STAMP)
	$(BIN)/python benchmarks/bench_device.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_import.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_powder.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_spectra.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_models.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_screening.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_candidates.py --out $(OUT)/bench $(BENCH)
	$(BIN)/python benchmarks/bench_cluster.py --out $(OUT)/bench $(BENCH)
	@if [ -n "$$JAXNMR_DATA" ]; then $(BIN)/python benchmarks/bench_zeolite.py --out $(OUT)/bench $(BENCH) && \
	$(BIN)/python benchmarks/bench_training.py --data "$$JAXNMR_DATA/si_nmr" --out $(OUT)/bench $(BENCH); \
	else echo "JAXNMR_DATA is not set: benchmarks/bench_zeolite.py and bench_training.py left out"; fi

clean:
	rm -rf $(OUT) build dist .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

# Installed once; again only when the requirements change.
$(STAMP): pyproject.toml tools/install.py $(wildcard constraints/*.txt)
	@command -v $(PYTHON) >/dev/null || \
	{ echo "no $(PYTHON) here: jaxnmr needs Python 3.11, 3.12 or 3.13; make PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) tools/install.py $(VENV)
	@touch $@

$(VENV)/.docs-installed: $(STAMP) $(wildcard constraints/docs-*.txt)
	@$(BIN)/python tools/install.py $(VENV) docs
	@touch $@
