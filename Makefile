# Every target makes its own virtual environment when there is none; `make help` lists them.
# CI hands in a finished one: make check EDGEBENCH_VENV=DIRECTORY

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check lint docs clean

ifdef EDGEBENCH_VENV
bin := $(EDGEBENCH_VENV)/bin
venv := $(EDGEBENCH_VENV)/complete
$(if $(wildcard $(venv)),,$(error EDGEBENCH_VENV=$(EDGEBENCH_VENV) holds no finished environment; leave the variable out and make builds one))
else
bin := $(VENV)/bin
venv := $(VENV)/complete
$(venv): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit(f"edgebench needs Python 3.10 or newer, {sys.executable} is {sys.version.split()[0]}; say which: make PYTHON=...")'
	@echo "Installing edgebench with PyTorch and TensorFlow into $(VENV): several gigabytes, once"
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@
endif

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(venv) ## ResNet-18 from PyTorch and from TensorFlow, exported, timed on this machine, reported
	@$(bin)/edgebench deploy resnet18 --framework all --precision fp32 --batch 1,8 --device local --quick --weights random || { \
		status=$$?; [ $$status -eq 4 ] || exit $$status; \
		echo; \
		echo "A measurement is INVALID, for the reason beside it: this machine was too busy for figures to be trusted."; \
		echo "Everything ran; such figures are kept and shown, and never enter a comparison."; \
	}
	@echo
	@echo "Go on: $(bin)/edgebench results list    $(bin)/edgebench init    $(bin)/edgebench deploy --help"

test: $(venv) ## the tests, in two processes; each tier says why it skips, and what passed only at the second try is named
	$(bin)/python -m pytest -n $(WORKERS) --dist loadfile --reruns 1 -rR

check: lint test ## everything that must pass before a commit

lint: $(venv) ## style, types, import directions
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/mypy docs/site
	$(bin)/lint-imports

docs: $(venv) ## the documentation as a site, in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(bin)/python -m mkdocs build --strict

clean: ## remove the environment, caches and build outputs
	@[ ! -f $(VENV)/pyvenv.cfg ] || rm -rf $(VENV)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find $(wildcard edge export profiles device_agents tests benchmarks) -name __pycache__ -prune -exec rm -rf {} +
