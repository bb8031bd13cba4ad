# make demo: the workflow on an embedded scene, from an empty folder to its table and report.
# make test: the quick tests; make coverage: with the lines that they reach, a quarter slower. make check: lint, format
# and types. Each installs what it needs in .venv once.
# make test-long: whole workflows, trainings that are broken off, real pairs. make test-slow, test-faults: minutes each.
# make test-cluster: the tests on a Slurm of their own, which it starts and stops. make test-gpu: those that need a GPU.
# make test-lowered: the quick tests as an older processor computes them: one thread, no bfloat16, and the
# instructions of AVX2 or less in PyTorch, MKL, oneDNN, OpenBLAS and NumPy. With CORETYPE=SkylakeX OpenBLAS sums
# as on a Xeon (needs AVX-512). What passes in make test must pass here.
# make demo EXPERIMENT=jasper_ridge: the same for config/jasper_ridge.yaml.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$python && break; done)
CORES ?=
EXPERIMENT ?= demo
CORETYPE ?= Sandybridge

# an environment is renewed when the content of these files changes
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# an older processor, as far as the libraries let themselves be told
LOWERED := PIPELINE_BFLOAT16=0 \
	ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 \
	OPENBLAS_CORETYPE=$(CORETYPE) NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR"

# a process for each core, and so one thread for each process
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -n logical
QUICK := -m "not long and not slow and not faults and not cluster and not gpu" --dist worksteal

.PHONY: demo test coverage test-long test-lowered test-slow test-faults test-cluster test-gpu check docs wheel clean
.DELETE_ON_ERROR:

demo: $(BIN)/.run-$(KEY)
	@pipeline run $(EXPERIMENT) $(if $(CORES),--cores $(CORES))

test: $(BIN)/.test-$(KEY)
	$(PYTEST) $(QUICK)

coverage: $(BIN)/.test-$(KEY)
	$(PYTEST) $(QUICK) --cov=pipeline --cov-report=term

test-long: $(BIN)/.test-$(KEY)
	$(PYTEST) -m "long and not slow" --dist loadfile

test-lowered: $(BIN)/.test-$(KEY)
	$(LOWERED) $(PYTEST) $(QUICK)

test-slow: $(BIN)/.test-$(KEY)
	python -m pytest -m slow

test-faults: $(BIN)/.test-$(KEY)
	python -m pytest -m faults

test-cluster: $(BIN)/.test-$(KEY)
	tests/cluster/slurm.sh install
	tests/cluster/slurm.sh run python -m pytest -m cluster -s tests/cluster

test-gpu: $(BIN)/.test-$(KEY)
	python -m pytest -m gpu -rs

check: $(BIN)/.dev-$(KEY)
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

wheel: $(BIN)/python
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@rm -rf build

docs: $(BIN)/.docs-$(KEY)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

clean:
	rm -rf .venv results logs site dist .snakemake

$(BIN)/.run-$(KEY): EXTRAS :=
$(BIN)/.test-$(KEY): EXTRAS := [test]
$(BIN)/.dev-$(KEY): EXTRAS := [dev]
$(BIN)/.docs-$(KEY): EXTRAS := [docs]
$(BIN)/.%-$(KEY): | $(BIN)/python
	@echo "Installing into .venv; the first time takes a few minutes."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.$(EXTRAS)'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
