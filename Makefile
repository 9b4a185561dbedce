# `make demo` and `make test` need Python 3.11, git and make; everything else they fetch themselves
# from the package index that pip is set up for. PIP_FLAGS goes to pip, for instance
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

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

env: $(ENV)/.complete ## The environment in .venv, from the locks

$(ENV)/.complete: $(LOCKS) envs/cuda.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(ENV) \
	  || { echo "venv is missing: on Debian, apt-get install python3-venv" >&2; exit 2; }
	@echo 'Installing the pinned packages into $(ENV): some minutes, once'
	$(BIN)/python -m pip install $(PIP_FLAGS) $(foreach lock,$(LOCKS),-r $(lock)) -c envs/cuda.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

# For clusters: needs Apptainer and pip, no `make env`. BASE=debian where no registry can be reached;
# IMAGES="data sed", for instance, for some of them.
images: ## The environments as Apptainer images, in envs/images
	PATH="$(CURDIR)/$(BIN):$$PATH" PIP_FLAGS="$(PIP_FLAGS)" BASE="$(BASE)" ./envs/images.sh $(IMAGES)

demo: env ## The whole way on a simulated sky, to every table and figure
	$(RUN_IN_ENV) snakemake --profile profiles/local --configfile config/demo.yaml
	@$(RUN_IN_ENV) mgsflow summary --results results/demo

# By file: tests of one file share a run of the DAG, or a sky. (--dist loadfile of pytest-xdist 3.8
# does not group under pytest 9.2.) The cluster's come after them and one by one: there is one SLURM.
test: env lint ## The whole test suite; tests/cluster needs SLURM and Apptainer, and says so
	$(RUN_IN_ENV) python -m pytest -n 2 --dist loadfile --ignore tests/cluster
	$(RUN_IN_ENV) python -m pytest tests/cluster

test-fast: env ## The package's own tests, without the DAG
	$(RUN_IN_ENV) python -m pytest -n 2 tests/unit -m "not slow"

# On a GPU where there is one. The results of another card keep their names: see benchmarks/.
bench: env ## Time training and sampling; renew benchmarks/results and docs/performance.md
	$(RUN_IN_ENV) ./benchmarks/run.sh

lint: env ## Formatting and rules of Python and Snakemake
	$(RUN_IN_ENV) ruff check .
	$(RUN_IN_ENV) ruff format --check .
	$(RUN_IN_ENV) snakefmt --check Snakefile workflow
	$(RUN_IN_ENV) snakemake --lint --configfile config/tiny.yaml

lock: env ## New pins from pyproject.toml
	$(RUN_IN_ENV) ./envs/lock.sh

clean: ## Remove the environment; results stay
	rm -rf $(ENV)
