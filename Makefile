# Every target is one or two lines that can be typed by hand; `make` shows them.

GO       ?= go
FUZZTIME ?= 10s
CROSS    ?= darwin windows freebsd
SOAK     ?= 10m
BIN      ?= bin/spate

# A program built for the detector waits a second at its end for reports that are under way, and the tests run hundreds of them.
RACE     := GORACE=atexit_sleep_ms=50 $(GO) test -race

# Whether it compiles is seen without optimizing, in three quarters of the time.
QUICK    := '-gcflags=all=-N -l'

.DEFAULT_GOAL := help

##@ Every day

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the binary into bin/spate
	$(GO) build -trimpath -o $(BIN) ./cmd/spate

test: ## The tests, as the README has it
	$(GO) test ./...

race: ## The tests under the race detector, in random order
	$(RACE) -shuffle=on ./...

lint: ## golangci-lint, at the version pinned in tools/go.mod (its first build takes two minutes)
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

tidy: ## Bring every go.mod, the format and the style back in order, and report what is left
	gofmt -w $$(git ls-files '*.go')
	for dir in $$(git ls-files '*go.mod' | xargs -n 1 dirname); do (cd $$dir && $(GO) mod tidy) || exit 1; done
	$(GO) test ./internal/tidy

##@ Before a change is merged

ci: ## All that CI does (installs what is missing when it runs as root)
	.ci/run

cover: ## Coverage by function, and cover.html
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1
	$(GO) tool cover -html=cover.out -o cover.html

fuzz: ## Fuzz every target for FUZZTIME (10s each)
	.ci/fuzz $(FUZZTIME)

cross: cross-vet ## Build the binary, and check everything, tests included, for the systems in CROSS
	@for os in $(CROSS); do echo "GOOS=$$os" && GOOS=$$os $(GO) build -o /dev/null $(QUICK) ./cmd/spate || exit 1; done

cross-vet: ## Check everything, tests included, for the systems in CROSS
	@for os in $(CROSS); do echo "GOOS=$$os" && GOOS=$$os $(GO) vet $(QUICK) ./... || exit 1; done

e2e: ## Real clients against the built binary (needs what .ci/run installs for them)
	cd e2e && $(GO) test -count=1 -timeout 5m ./...

referee: ## Our MQTT codec against the two of Eclipse Paho
	cd referee && $(GO) test -count=1 ./...

##@ Now and then

differential: ## Send ROUNDS (300) of random requests to Spate and to redis-server, of a seed that it prints (or SEED)
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} && echo "seed $$seed" && \
	$(GO) test ./protocol/resp -run '^TestDifferentialRandom$$' -count=1 -timeout 1h -seed $$seed -rounds $${ROUNDS:-300}

crash: ## Kill the server 200 times, cut its power 200 times, flip bits in its files
	$(GO) test -count=1 -run TestFlippedTables ./store/pebblestore -args -flips 40
	$(GO) test -count=1 -timeout 30m -v ./internal/crash -args -kills 200

soak: ## Random connects, slow readers, kills and reloads under the race detector for SOAK (10m)
	$(GO) test -race -timeout 20m -run '^TestSoak$$' ./server -v -args -soak $(SOAK)

demo-soak: ## `spate demo` with 200 devices for SOAK (10m): memory, goroutines and descriptors stay flat
	$(GO) test -count=1 -timeout 1h -run '^TestDemoSoak$$' ./cmd/spate -v -args -demo $(SOAK) -demo-devices 200

model: ## RUNS (10000) random histories of MQTT clients against the model of their sessions, of a seed that it prints (or SEED)
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} && echo "seed $$seed" && \
	$(GO) test ./protocol/mqtt -run '^TestModel$$' -count=1 -timeout 1h -seed $$seed -runs $${RUNS:-10000}

bench: ## Spate beside its peers (see bench/README.md)
	cd bench && $(GO) run . $(ARGS)

clean: ## Remove what was built here
	rm -rf bin cover.out cover.html

.PHONY: help build test race crash lint tidy ci cover fuzz cross cross-vet e2e referee soak demo-soak model bench clean
