# Everything that is done with this repository. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# One set of flags for build and test alike, or the build cache is filled twice.
export GOFLAGS := -trimpath -buildvcs=false
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(shell test -z "$$(git status --porcelain 2>/dev/null)" || echo -dirty)
LDFLAGS := -X github.com/your-org/tapio/internal/version.Commit=$(COMMIT)
COMPONENTS := extension/attributionextension receiver/cgroupreceiver receiver/crireceiver receiver/ebpfreceiver receiver/journaldreceiver receiver/kubernetesreceiver receiver/systemdreceiver processor/correlationprocessor exporter/findingsexporter
FUZZTIME ?= 30s
# The collector needs cgo for the journal (libsystemd), and with it a C compiler. Without, all but the journal is there.
COLLECTOR_CGO := $(shell command -v $${CC:-gcc} >/dev/null && echo 1 || echo 0)

.PHONY: help setup build test e2e demo generate check-generated lint fuzz bench bench-ebpf bench-ebpf-tools bench-forecast bench-check bench-journald bench-node release install clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install what demo and test need on a Debian machine (root); nothing where it is there
	@test/setup.sh

build: ## build bin/tapio and bin/tapio-collector
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tapio
	CGO_ENABLED=$(COLLECTOR_CGO) go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tapio-collector

e2e: setup build ## run real pods under a real kubelet, and see that each failure is told as what it is (root; 2 minutes)
	@test/kube/e2e.sh

demo: build ## show a real leak, its prediction, and the kernel's OOM kill (root; 3 minutes after the build)
	@CGO_ENABLED=0 go build -o bin/ ./test/workload ./test/demo
	@bin/demo

test: setup build ## run everything that this machine can run, and say what was skipped and why
	@test/run.sh

generate: ## make the generated code anew: programs for the kernel, component metadata, and the distribution from builder-config.yaml
	go generate ./bpf/...
	for c in $(COMPONENTS); do (cd $$c && go tool mdatagen metadata.yaml); done
	go tool builder --config builder-config.yaml --skip-compilation --skip-get-modules
	@# The distribution lives in this module, tells its commit, and is sparing with memory, which the builder cannot know.
	rm -f cmd/tapio-collector/go.mod cmd/tapio-collector/go.sum
	sed -i -E 's/^(\t\tVersion: +)"[^"]*",/\1fullVersion(),/; s/^func main\(\) \{/&\n\tspareMemory()/' cmd/tapio-collector/main.go
	gofmt -w cmd/tapio-collector $(COMPONENTS)

check-generated: setup ## fail if generated code is not what generate makes
	@before=$$(mktemp); git status --porcelain >$$before; git diff | sha256sum >>$$before; \
	$(MAKE) --no-print-directory generate >/dev/null; \
	{ git status --porcelain; git diff | sha256sum; } | diff $$before - >/dev/null || \
		{ git status --short; git diff --stat; echo "generated code is not current: run 'make generate' and commit what changes" >&2; exit 1; }

lint: ## check format, go.mod, vet and staticcheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted:" $$bad >&2; exit 1; }
	go mod tidy -diff
	go vet ./...
	GOOS=darwin go vet ./cmd/tapio
	GOOS=windows go vet ./cmd/tapio
	go tool staticcheck ./...

fuzz: ## run every fuzz test for FUZZTIME (30s)
	@test/fuzz.sh $(FUZZTIME)

bench: build ## measure cost: Go benchmarks and the scripts under test/bench
	@test/bench/bench.sh

bench-ebpf: ## measure what the ebpf receiver's probes cost, off and on in turns (root; 6 minutes)
	@go build -o bin/ ./test/bench/ebpf
	@# bpftrace, to compare with, wants tracefs where it used to be.
	@unshare --mount sh -c 'mount -t debugfs debugfs /sys/kernel/debug; mount -t tracefs tracefs /sys/kernel/debug/tracing; exec bin/ebpf'
	@go test ./receiver/ebpfreceiver/internal/attribution -run '^$$' -bench Throughput -benchtime 2x

bench-ebpf-tools: ## compare the ebpf receiver with bpftrace's and bcc's tools: in a virtual machine those that want kprobes, memleak here (Debian, root; 10 minutes)
	@test/bench/ebpftools.sh
	@test/bench/memleak.sh

bench-node: build ## measure the agent on a node of 200 containers and 5,000 processes, with and without the ebpf receiver (root; 20 minutes)
	@test/bench/node.sh

bench-forecast: ## score the forecasts on recorded memory courses
	@go run ./test/bench/forecast

bench-check: ## compare tapio check with kubectl get on a large cluster (kubectl; builds Kubernetes' control plane once)
	@test/bench/check.sh

bench-journald: ## compare the journald receiver with the upstream one and with go-systemd's sdjournal (root, libsystemd-dev)
	@test/bench/journald.sh

release: ## cross-build the CLI and the collector (static; where there is a C compiler also with the journal) into dist/
	@for t in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
		os=$${t%/*} arch=$${t#*/} ext=; test $$os != windows || ext=.exe; \
		echo "tapio $$t"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -ldflags '-s -w $(LDFLAGS)' -o dist/tapio_$${os}_$${arch}$$ext ./cmd/tapio; \
		test $$os = linux || continue; \
		echo "tapio-collector $$t"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -ldflags '-s -w $(LDFLAGS)' -o dist/tapio-collector_$${os}_$${arch} ./cmd/tapio-collector; \
		case $$arch in amd64) cc=x86_64-linux-gnu-gcc ;; arm64) cc=aarch64-linux-gnu-gcc ;; esac; \
		command -v $$cc >/dev/null || { echo "tapio-collector $$t with the journal: left out, $$cc is missing"; continue; }; \
		echo "tapio-collector $$t with the journal"; \
		CGO_ENABLED=1 CC=$$cc GOOS=$$os GOARCH=$$arch go build -ldflags '-s -w $(LDFLAGS)' -o dist/tapio-collector-journal_$${os}_$${arch} ./cmd/tapio-collector; \
	done
	@cd dist && sha256sum tapio* >SHA256SUMS && cat SHA256SUMS

install: build ## install both programs into /usr/local/bin, and tapio as a kubectl plugin
	install -m 0755 bin/tapio bin/tapio-collector /usr/local/bin/
	ln -sf tapio /usr/local/bin/kubectl-tapio
	ln -sf tapio /usr/local/bin/kubectl_complete-tapio

clean: ## remove what was built
	rm -rf bin dist test/.cache
