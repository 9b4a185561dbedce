# `make demo` and `make test` require Python 3.11, git and make. They download everything else from
# the package index that pip is configured for. PIP_FLAGS is passed to pip, for instance
# PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu" for the CPU build of torch.
PYTHON ?= python3
PIP_FLAGS ?=
BASE ?=
IMAGES ?= data train report
ENV := .venv
BIN := $(ENV)/bin
LOCKS := $(foreach name,workflow data train report dev,envs/$(name).lock)
RUN_IN_ENV := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONNOUSERSITE=1

.DEFAULT_GOAL := help
.PHONY: help env images demo test test-fast bench lint lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

env: $(ENV)/.complete ## Create the environment in .venv from the lock files

$(ENV)/.complete: $(LOCKS) envs/cuda.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is required; select one with PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(ENV) \
	  || { echo "venv is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@echo 'Installing the pinned packages into $(ENV), once; this takes some minutes'
	$(BIN)/python -m pip install $(PIP_FLAGS) $(foreach lock,$(LOCKS),-r $(lock)) -c envs/cuda.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

# For clusters. It requires Apptainer and pip, but not `make env`. Use BASE=debian where no registry
# can be reached, and for instance IMAGES="data sed" to build only these images.
images: ## Build the environments as Apptainer images in envs/images
	PATH="$(CURDIR)/$(BIN):$$PATH" PIP_FLAGS="$(PIP_FLAGS)" BASE="$(BASE)" ./envs/images.sh $(IMAGES)

demo: env ## Run the whole workflow on a simulated sky, to every table and figure
	$(RUN_IN_ENV) snakemake --profile profiles/local --configfile config/demo.yaml
	@$(RUN_IN_ENV) mgsflow summary --results results/demo

# Tests are distributed by file, because the tests of a file share a run of the DAG, or a sky.
# (--dist loadgroup of pytest-xdist 3.8 does not group under pytest 9.2.) The longest files start
# first (LONGEST in tests/conftest.py); without --no-loadscope-reorder those with the most tests
# would. The tests in tests/cluster run afterwards, one at a time, because there is only one SLURM.
test: env lint ## Run all tests; without SLURM and Apptainer those in tests/cluster are skipped
	$(RUN_IN_ENV) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/cluster
	$(RUN_IN_ENV) python -m pytest tests/cluster

test-fast: env ## Run the unit tests of the package, without the DAG
	$(RUN_IN_ENV) python -m pytest -n 2 tests/unit -m "not slow"

# Uses a GPU if there is one. The results of each card have their own names: see benchmarks/.
bench: env ## Time training and sampling; update benchmarks/results and docs/performance.md
	$(RUN_IN_ENV) ./benchmarks/run.sh

lint: env ## Check the formatting and rules of Python and Snakemake
	$(RUN_IN_ENV) ruff check .
	$(RUN_IN_ENV) ruff format --check .
	$(RUN_IN_ENV) snakefmt --check Snakefile workflow
	$(RUN_IN_ENV) snakemake --lint --configfile config/tiny.yaml

lock: env ## Update the lock files from pyproject.toml
	$(RUN_IN_ENV) ./envs/lock.sh

clean: ## Remove the environment; keep the results
	rm -rf $(ENV)
