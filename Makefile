# Each target makes the virtual environment on first use and is quick after that.
# A GPU machine, or other versions: see "Set up" in README.md.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= --constraint constraints.txt
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint check clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py --data_dir=data --experiment_dir=runs/demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

check: lint test

clean:
	rm -rf $(VENV) data runs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(CONSTRAINTS) \
		--editable '.[torch,jax,report,dev]'
	touch $@
