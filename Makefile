# Two commands for a fresh clone: `make demo` and `make test`. Everything runs inside .venv.
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
SHELL := bash
PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin
INSTALLED := .venv/installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help install demo test test-fast lint format tables clean-demo

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED)  ## make .venv with the pinned packages

$(INSTALLED): envs/requirements.txt envs/development.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' envs/requirements.txt)"
	$(BIN)/python -m pip install --quiet -r envs/development.txt
	touch $(INSTALLED)

demo: $(INSTALLED)  ## the whole workflow in miniature, tables printed at the end
	python scripts/make_miniature.py --output results/demo/miniature
	snakemake --profile profiles/demo --cores $(CORES)
	python scripts/show_tables.py results/demo/tables

test: $(INSTALLED)  ## lint and every test
	$(MAKE) --no-print-directory lint
	pytest

test-fast: $(INSTALLED)  ## the tests that take no training or workflow run
	pytest -m "not slow"

lint: $(INSTALLED)  ## formatting, ruff, snakefmt, snakemake --lint
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(INSTALLED)  ## write the formatting
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

RESULTS ?= results
BASELINE ?= BioBERT-v1.1
tables: $(INSTALLED)  ## tables so far, beside a running workflow; RESULTS=results/demo BASELINE=MODEL for another
	python scripts/build_tables.py --results $(RESULTS) --published config/published_values.tsv \
	  --baseline $(BASELINE) --output-dir $(RESULTS)/tables_so_far
	python scripts/show_tables.py $(RESULTS)/tables_so_far

clean-demo:  ## remove the miniature's results
	rm -rf results/demo
