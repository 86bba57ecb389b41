# Everything stays inside this folder: the environment, caches and results.
SHELL := /bin/bash
PYTHON ?= python3
CORES ?= all
FAMILIES ?= nequip allegro sevennet torchmd-net mace
ACTIVATE := source .venv/bin/activate
# Tests in two processes, those of a file in one, the workflow's first (tests/conftest.py).
SHARED_OUT := -n 2 --dist loadgroup --no-loadscope-reorder

export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_NO_CACHE ?= 1
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help install envs demo test coverage mutants nightly format reference lint lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

install: .venv/installed ## create the environment in .venv

.venv/installed: pyproject.toml envs/lock.txt envs/torch.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "force2geo needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear .venv
	printf 'export XDG_CACHE_HOME="$$VIRTUAL_ENV/../.cache"\n' >> .venv/bin/activate
	$(ACTIVATE) && pip install --quiet --no-cache-dir --disable-pip-version-check uv
	$(ACTIVATE) && uv pip install --quiet -r envs/lock.txt -r envs/torch.txt -e '.[dev]'
	# Compiled once here, imports take seconds, not minutes, wherever PYTHONDONTWRITEBYTECODE is set.
	$(ACTIVATE) && python -m compileall -q -j 2 .venv/lib > /dev/null || true
	touch .venv/installed

# FAMILIES="mace sevennet" for these alone: each has its file in envs/ and its extra.
envs: install ## add the packages of wrapped networks: NequIP, Allegro, SevenNet, TorchMD-Net, MACE
	$(ACTIVATE) && uv pip install --quiet -c envs/lock.txt $(FAMILIES:%=-r envs/%.txt) \
	  --override envs/overrides.txt --override envs/torch.txt

demo: install ## run the embedded demo; the page is results/demo/report.html
	$(ACTIVATE) && snakemake --cores $(CORES)
	@echo "Open results/demo/report.html"

test: install ## run linters, type checker and tests
	$(ACTIVATE) && $(MAKE) --no-print-directory lint
	$(ACTIVATE) && pytest $(SHARED_OUT)

coverage: install ## branch coverage of src/force2geo by the tests; the page is results/coverage/index.html
	$(ACTIVATE) && pytest $(SHARED_OUT) --cov=force2geo --cov-branch --cov-report=term:skip-covered \
	  --cov-report=html:results/coverage

# ARGS="--file train --only pattern --jobs 4"; what it finds is in results/mutants.md.
mutants: install ## make plausible wrong edits one at a time and see that the tests notice
	$(ACTIVATE) && python tests/mutants/run.py $(ARGS)

nightly: test coverage mutants ## all that is checked, in an hour or two

lint:
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow/rules

format: install ## format the code
	$(ACTIVATE) && ruff check --fix . ; ruff format . ; snakefmt Snakefile workflow/rules

reference: install ## write the configuration's schema and reference page from its classes
	$(ACTIVATE) && force2geo config --schema > workflow/schemas/config.schema.json
	$(ACTIVATE) && force2geo config --reference > docs/config.md

# torch is pinned in envs/torch.txt and left out of the lock, so that the same lock serves CPU and
# CUDA machines: each takes its own build of that version.
lock: ## resolve the dependencies anew
	$(ACTIVATE) && uv pip compile pyproject.toml -c envs/torch.txt --extra dev --universal --python-version 3.11 \
	  --no-header --no-annotate --no-emit-find-links --no-emit-index-url \
	  --no-emit-package torch -o envs/lock.txt
	sed -i -E '/^(nvidia-|cuda-|triton)/d' envs/lock.txt

clean: ## remove the demo's results
	rm -rf results/demo
