# Weir. `make` lists the targets; scripts/ holds what they do.
#
# `make test` is what CI runs and what a change must pass. unit and race both run every Go test, once as users build
# it and once under the race detector: a bug that only the detector's slowness hides shows in unit.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
export MAKE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile everything; the binary is bin/weir
	go build ./...
	@mkdir -p bin
	go build -trimpath -o bin/ ./cmd/weir

.PHONY: fmt
fmt: tools ## format the Go code
	.cache/bin/golangci-lint fmt ./...

.PHONY: lint
lint: ## golangci-lint; the house rules are tests (internal/lint)
	scripts/lint

.PHONY: test
test: ## all that CI runs: deps lint unit race fuzz-seeds conformance page
	@scripts/steps deps lint unit race fuzz-seeds conformance page

.PHONY: unit
unit: ## Go tests, shuffled
	@scripts/unit

.PHONY: race
race: ## Go tests, shuffled, under the race detector
	@scripts/race

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME=10s; FUZZ=regexp chooses
	scripts/fuzz

.PHONY: fuzz-seeds
fuzz-seeds: ## the fuzz targets on their committed corpora
	@scripts/fuzz seeds

.PHONY: bench
bench: ## the standing comparison beside npm socket.io; RUN='fanout-1000 idle' for some rows, RUN=go for the Go benchmarks; see bench/README.md
	scripts/bench $(RUN)

.PHONY: conformance
conformance: ## the real npm clients against Weir
	@scripts/conformance

.PHONY: page
page: ## the pages in headless Chromium
	@scripts/page

.PHONY: check
check: ## before a commit: go.mod tidy, build, lint, unit
	go mod tidy -diff
	@scripts/steps build lint unit

.PHONY: release
release: ## archives, checksums and the bill of materials in dist/; VERSION=v1.2.3 for a release
	scripts/release $(VERSION)

.PHONY: clean
clean: ## remove what was built, installed or recorded here
	rm -rf .cache bin dist conformance/node_modules cmd/weir/internal/demo/pagetest/node_modules

.PHONY: tools
tools: ## build the tools pinned in tools/go.mod into .cache/bin
	@scripts/tools

.PHONY: deps
deps: ## install what `make test` needs and this machine lacks
	@scripts/deps
