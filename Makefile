# Every target makes what it needs: the environment in .venv, the packages, the compiled engine.
# Choose with PYTHON=/path/to/python3, CXX=/path/to/c++, ARGS="...", TESTS="tests/test_window.py", WORKERS=4.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help tour test lint bench bench-grid format build check clean
MAKEFLAGS += --no-print-directory

# As words for the shell: unset counts as empty.
export PYTHON CXX
ifeq ($(origin CXX),default)
unexport CXX
endif

SETUP := sh tools/setup.sh
RUN := .venv/bin/python -m
PYTHON_CODE := src tests tools $(wildcard benchmarks) $(wildcard examples)
NATIVE_CODE = find native -type f \( -name '*.cpp' -o -name '*.h' \) -print0
ARGS ?=
TESTS ?=
WORKERS ?= 2

help: ## this list
	@echo "striate: convolutional networks with the Keras 3 API on an engine of its own"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

tour: ## run the chapter on an image and write striate-tour/index.html   (ARGS="--image FILE --out DIR")
	@$(SETUP) base viz data
	@.venv/bin/striate tour $(ARGS)

test: ## run the tests   (TESTS="tests/test_window.py", ARGS="-x", WORKERS=4)
	@$(SETUP) base viz test
	@$(RUN) pytest -q -n $(WORKERS) $(ARGS) $(TESTS)

lint: ## ruff, mypy, the layers of imports, clang-format; needs no compiler
	@$(SETUP) lint
	@$(RUN) ruff check --quiet $(PYTHON_CODE)
	@$(RUN) ruff format --check --quiet $(PYTHON_CODE) || { echo "Not in format: run 'make format'."; exit 1; }
	@$(RUN) mypy --no-error-summary
	@PYTHONPATH=src .venv/bin/lint-imports > build/imports.log || { cat build/imports.log; exit 1; }
	@$(NATIVE_CODE) | xargs -0 .venv/bin/clang-format --dry-run --Werror

format: ## put Python and C++ into the house style
	@$(SETUP) lint
	@$(RUN) ruff check --quiet --fix-only $(PYTHON_CODE)
	@$(RUN) ruff format --quiet $(PYTHON_CODE)
	@$(NATIVE_CODE) | xargs -0 .venv/bin/clang-format -i

bench: ## measure speed against other runtimes; README.md says how   (ARGS="--quick")
	@$(SETUP) base viz bench
	@[ -n "$$STRIATE_BENCH_PYTHON" ] || $(SETUP) rivals
	@$(RUN) benchmarks.run $(ARGS)

bench-grid: ## the same over 300 drawn convolutions   (ARGS="--quick")
	@$(SETUP) base viz bench
	@[ -n "$$STRIATE_BENCH_PYTHON" ] || $(SETUP) rivals
	@$(RUN) benchmarks.grid $(ARGS)

build: ## compile the engine and make the package importable in .venv
	@$(SETUP) base

check: ## say whether Python, its headers, make and a C++20 compiler are here
	@sh tools/check.sh

clean: ## remove all that was made, .venv too
	@rm -rf .venv .venv-bench build dist striate-tour .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests tools -type d -name __pycache__ -prune -exec rm -rf {} +
