# `make` lists the targets. JOBS=n limits parallel work.
JOBS ?= $(shell nproc)
SOURCE_DIRS := $(wildcard bench common gpu sdk services tests)
FIND_SOURCES = find $(SOURCE_DIRS) -name '*.h' -o -name '*.cc' -o -name '*.cu' \
  -o -name '*.cuh' | sort
CTEST := ctest --output-on-failure --no-tests=error --parallel $(JOBS)
QUICK := --label-exclude '^long$$'

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install the packages the build needs (apt-get, root or sudo)
	@scripts/deps.sh build

.PHONY: deps-dev
deps-dev: ## The same, and clang, clang-format, clang-tidy
	@scripts/deps.sh dev

.PHONY: deps-cuda
deps-cuda: ## Install CUDA's compiler into build/ (about 300 MB, no GPU needed)
	@scripts/deps_cuda.sh

# Installs only what is missing, which costs a fraction of a second otherwise.
.PHONY: auto-deps
auto-deps:
	@scripts/deps.sh --auto build

.PHONY: configure
configure: auto-deps
	@cmake --preset release >/dev/null

.PHONY: build
build: configure ## Build everything; build/bin/tacit is the program
	cmake --build build --parallel $(JOBS)

.PHONY: test
test: build ## Run the quick tests
	$(CTEST) --test-dir build $(QUICK)

.PHONY: test-all
test-all: build ## Run all tests
	$(CTEST) --test-dir build

.PHONY: test-python
test-python: build build/python/installed ## Test the Python SDK
	build/python/bin/python -m pytest sdk/python

# A virtual environment with what the SDK needs; the SDK itself is used in place.
build/python/installed: sdk/python/pyproject.toml
	@scripts/deps.sh --auto python
	python3 -m venv build/python
	build/python/bin/pip install --quiet --disable-pip-version-check \
	  --editable 'sdk/python[test]'
	touch $@

.PHONY: asan tsan
asan: ## Quick tests under AddressSanitizer and UndefinedBehaviorSanitizer
tsan: ## Quick tests under ThreadSanitizer
asan tsan: auto-deps
	@cmake --preset $@ >/dev/null
	cmake --build build/$@ --parallel $(JOBS)
	UBSAN_OPTIONS=print_stacktrace=1 $(CTEST) --test-dir build/$@ $(QUICK)

# CUDA_ARCHITECTURES=90a compiles for one architecture instead of all.
.PHONY: cuda
cuda: auto-deps deps-cuda ## Build the CUDA backend, its tests and benchmarks
	@cmake --preset cuda $(if $(CUDA_ARCHITECTURES),\
	  -DTACIT_CUDA_ARCHITECTURES="$(CUDA_ARCHITECTURES)") >/dev/null
	cmake --build build/cuda --parallel $(JOBS) --target tacit_gpu_all

PROMPT ?= Once upon a time
ARGS ?= --max-tokens 80

.PHONY: run
run: configure ## Continue PROMPT="..." privately with the demo model
	cmake --build build --parallel $(JOBS) --target tacit
	@build/bin/tacit run $(ARGS) "$(PROMPT)"

.PHONY: bench
bench: build ## Run the kernel benchmarks, then the operations
	@set -e; for program in build/bin/*_benchmark; do \
	  echo "== $$program"; "$$program"; \
	done
	build/bin/tacit bench --ops gemm,compare,gelu,silu,softmax,layernorm,matmul

.PHONY: format
format: ## Format the C++ sources in place
	@scripts/deps.sh --auto format
	@$(FIND_SOURCES) | xargs -r clang-format -i

.PHONY: format-check
format-check: ## Fail if a C++ source is not formatted
	@scripts/deps.sh --auto format
	@$(FIND_SOURCES) | xargs -r clang-format --dry-run --Werror

.PHONY: lint
lint: configure ## clang-tidy on all sources, or on FILES="a.cc b.cc"
	@scripts/deps.sh --auto lint
	@scripts/lint.sh "$(JOBS)" $(FILES)

.PHONY: lint-changed
lint-changed: configure ## clang-tidy on sources that differ from HEAD
	@scripts/deps.sh --auto lint
	@scripts/lint.sh "$(JOBS)" --changed

.PHONY: clean
clean: ## Remove build/
	rm -rf build
