# Two commands for a fresh clone: `make demo` and `make test`. Everything runs inside .venv.
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
SHELL := bash
PYTHON ?= python3
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
BIN := .venv/bin
INSTALLED := .venv/installed
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-package torch \
	--custom-compile-command "make lock"
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help install demo demo-more test test-fast test-gpu benchmark-gpu gpu-quarter gpu-wheels test-cluster test-hostile \
	lint format benchmark census benchmark-memory checkpoints tables verify status cost site docs lock ready clean-demo

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED)  ## make .venv with the pinned packages

$(INSTALLED): envs/requirements.txt envs/development.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$$(grep '^pip==' envs/development.txt)"
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r envs/development.lock
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' envs/requirements.txt)"  # of any index: its builds differ
	$(BIN)/python -m pip check --quiet
	touch $(INSTALLED)

ready:  # targets that only look install nothing; a conda environment serves as well
	@command -v snakemake >/dev/null || { echo "no packages here: run make install" >&2; exit 1; }

demo: $(INSTALLED)  ## the whole workflow in miniature; ends with what came out and where to look
	python scripts/make_miniature.py --output results/demo/miniature
	snakemake --profile profiles/demo --cores $(CORES)
	python scripts/show_outcome.py --configfile config/demo.yaml \
		--report "snakemake --report report.html --configfile config/demo.yaml"

demo-more: $(INSTALLED)  ## a second miniature: other architectures and tokenizers, kinds of task and forms of data, a benchmark
	python scripts/make_miniature.py --more --output results/demo_more/miniature
	snakemake --profile profiles/demo --cores $(CORES) --configfile config/demo_more.yaml
	python scripts/show_outcome.py --configfile config/demo_more.yaml \
		--report "snakemake --report report.html --configfile config/demo_more.yaml"

test: $(INSTALLED) lint  ## lint and every test: side by side those of functions, then those of programs; those on a SLURM
	pytest -n auto $(FUNCTIONS)
	pytest -n auto --dist loadfile --no-loadscope-reorder $(PROGRAMS)
	pytest tests/cluster

FUNCTIONS := tests/unit tests/properties tests/reference
PROGRAMS := tests/workflow tests/hostile tests/programs tests/gpu  # what takes longest begins
test-fast: $(INSTALLED)  ## the tests of functions, which start no program: side by side, a minute or two
	pytest -n auto -m "not slow" $(FUNCTIONS)

test-gpu:  ## the tests on this machine's GPU: the checkout, torch, transformers, accelerate and pytest are enough
	python3 -m pytest -m gpu tests/gpu

benchmark-gpu:  ## what this machine's GPU does in 4 minutes: steps, ours and the reference's, GPU-hours, fine-tunings
	python3 scripts/benchmark_gpu.py

gpu-quarter:  ## a quarter of an hour with a GPU: test-gpu, benchmark-gpu, a profile; output in results/gpu as it comes
	bash scripts/measure_gpu.sh results/gpu

GPU_PACKAGES ?= "$$(grep '^pytest==' envs/development.txt)" \
  iniconfig pluggy pygments packaging accelerate msgspec psutil pyarrow PyYAML
gpu-wheels:  ## wheels for a GPU machine without a network (Python 3.12), which gpu-quarter installs; GPU_PACKAGES=msgspec
	python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest results/gpu-wheels \
	  --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any \
	  --constraint envs/requirements.txt $(GPU_PACKAGES)

test-cluster: $(INSTALLED)  ## the tests that start a SLURM on this machine (root, and Debian's slurm-wlm and munge)
	pytest -m cluster

test-hostile: $(INSTALLED)  ## programs killed, disks full or broken, bad mirrors and files, at many places: some ten minutes
	pytest tests/hostile --trials 80

lint: $(INSTALLED)  ## formatting, ruff, types, layers of imports, snakefmt
	ruff format --check .
	ruff check .
	mypy
	PYTHONPATH=scripts lint-imports
	snakefmt --check Snakefile rules

lock: ready  ## pin with hashes what envs/*.txt needs; packages that are pinned already stay as they are
	$(LOCK) envs/development.txt --output-file envs/development.lock
	$(LOCK) envs/requirements.txt --constraint envs/development.lock --output-file envs/requirements.lock

format: $(INSTALLED)  ## write the formatting
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

docs: $(INSTALLED)  ## the pages in docs/ as a site, build/docs/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

CONFIG ?=
tables: ready  ## tables so far, beside a running workflow; CONFIG=config/demo.yaml for another configuration
	python scripts/build_tables.py --configfile $(CONFIG)
	python scripts/show_tables.py --configfile $(CONFIG)

checkpoints: ready  ## checkpoints that are kept, and what nobody needs any more; CONFIG= as for tables, REMOVE=temporary
	python scripts/list_checkpoints.py --configfile $(CONFIG) $(if $(filter temporary,$(REMOVE)),--remove-temporary)

verify: ready  ## every file of the results and downloads against its recorded digest; CONFIG= as for tables
	python scripts/verify_results.py --configfile $(CONFIG)

status: ready  ## how far each training is, beside a running workflow; CONFIG= as for tables
	python scripts/show_status.py --configfile $(CONFIG)

cost: ready  ## what the jobs of a run on SLURM took, and what they should ask for; CONFIG= as for tables
	python scripts/show_costs.py --configfile $(CONFIG)

site: ready  ## drafts of what this SLURM site says of itself: profiles/slurm/partitions.yaml and site.env
	python scripts/write_site.py

benchmark: $(INSTALLED)  ## training step against the reference formulation; CASES=distil,tiny PRECISION=fp32 restrict it
	python scripts/benchmark_training.py $(if $(CASES),--cases $(CASES)) $(if $(PRECISION),--precision $(PRECISION))

census: ready  ## what a step on a GPU launches and moves, counted without one (needs g++); CASES=distil TOP=20 PRECISION=fp32
	PYTHONPATH=scripts:tests python tests/helpers/step_census.py $(if $(CASES),--cases $(CASES)) \
	  $(if $(TOP),--top $(TOP)) $(if $(PRECISION),--precision $(PRECISION))

benchmark-memory: $(INSTALLED)  ## peak memory of each program at 1, 4 and 16 times the input, in a few minutes
	PYTHONPATH=scripts:tests python tests/hostile/load.py

clean-demo:  ## remove the results of both miniatures
	rm -rf results/demo results/demo_more
