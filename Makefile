# The variables that can be set: make test RACE=1, make fuzz FUZZTIME=1m, ...
RACE      ?=
PACKAGES  ?= ./...
TESTFLAGS ?=
FUZZTIME  ?= 10s
N         ?= 20000
SEED      ?= 1
KILLFOR   ?= 60s
GO        ?= go

# Tests run in the folders of their packages: a relative path would lead them astray.
ifdef LISTENERD_CACHE
export LISTENERD_CACHE := $(abspath $(LISTENERD_CACHE))
endif

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz differential crash kills bench demo servers clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/listenerd
	$(GO) build -o bin/ ./cmd/listenerd

test: servers ## run all tests; RACE=1 with the race detector, PACKAGES=./listener/... only those
	$(GO) test -timeout 30m $(strip $(if $(RACE),-race) $(TESTFLAGS) $(PACKAGES))

race: ## run all tests with the race detector
	@$(MAKE) --no-print-directory test RACE=1

lint: ## check formatting, go.mod, go vet, staticcheck, shell syntax
	@files=$$(gofmt -l .) && test -z "$$files" || { echo "run gofmt -w on:" $$files; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags faults ./listener/internal/fault ./listener/internal/store
	$(GO) run $(STATICCHECK) ./...
	for script in .ci/run scripts/*.sh; do bash -n $$script || exit 1; done

fuzz: ## run each fuzz target for FUZZTIME (10s, or 1000x for a number of inputs)
	scripts/fuzz.sh $(FUZZTIME)

differential: servers ## compare N=20000 random filters (SEED=1) with what real servers find
	$(GO) test ./listener/internal/filter -run Agrees -count 1 -timeout 60m -v -filters $(N) -seed $(SEED)

crash: N = 2000
crash: servers ## kill the daemon N=2000 times at random, with changes of all kinds and failing calls
	$(GO) test ./listener/daemon -run TestScenario16KilledDaemon -count 1 -timeout 120m -v -crashes $(N)

bench: build servers ## measure against a real slapd, N=100000 entries, and the engine alone
	$(GO) run ./listener/internal/bench
	$(GO) test ./listener/internal/dispatch ./listener/daemon -run '^$$' -bench . -benchtime 1s -timeout 60m

kills: servers ## kill worker processes every 50 ms for KILLFOR=60s while the directory changes
	$(GO) test ./listener/daemon -run TestWorkersAreKilled -count 1 -v -timeout 20m -killfor $(KILLFOR)

demo: build servers ## follow a throwaway directory for a minute; KEEP=1 leaves it running
	@$(GO) run ./listener/internal/demo

servers: ## find slapd and memcached, or unpack them into .cache (needs no root)
	@scripts/servers.sh >/dev/null

clean: ## remove what was built and unpacked
	rm -rf bin .cache
