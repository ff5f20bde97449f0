# Two commands matter: `make demo` and `make test`. Both work on a fresh checkout with Rust, a C toolchain and Debian's
# package manager; `make test` needs Go 1.22 or newer, too.

CARGO ?= cargo

.PHONY: help demo test test-full lint doc deb book bench bench-daemon compare detect-bench fuzz mutants clean

help: ## This list
	@awk -F ': .*## ' '/^[a-z-]+:.* ## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## The main job on simulated vrouters, in a terminal: Ctrl-C ends it
	@echo "Builds the release binary (minutes, the first time), then runs derived-statsd demo."
	$(CARGO) run --release --bin derived-statsd -- demo $(DEMO_ARGS)

test: ## Every test, with the points at which a test may kill the daemon
	.ci/setup
	$(CARGO) test --workspace --all-features
	$(CARGO) test -p derived-stats --no-default-features --lib --target-dir target/embedded

lint: ## Formatting, lints, docs, and what the core may depend on
	.ci/lint

doc: ## The API documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps

deb: ## The Debian package, in target/packaging
	packaging/build-deb

book: ## The book, in target/book
	command -v mdbook >/dev/null || $(CARGO) install --locked mdbook --no-default-features
	docs/pictures
	docs/resolve book target/book-source
	mdbook build target/book-source --dest-dir "$(CURDIR)/target/book"

bench: ## Micro-benchmarks, then the whole job with its records per core-second and bytes per object
	$(CARGO) bench -p benches

bench-daemon: ## The daemon on its embedded log: ingest, restart, latency, idle; BENCH_ARGS="OLD NEW" compares binaries
	$(CARGO) build --release -p daemon -p benches
	benches/daemon $(BENCH_ARGS)
	benches/http_ingest

compare: ## The same job on this project and its peers, with a table of ratios; see docs/src/design/compare.md
	benches/compare $(COMPARE_ARGS)

# Seeds of the fault runs in the full test.
SEEDS ?= 200

test-full: test ## `test`, `lint` with all its tools, the fault runs with many more seeds (SEEDS=1000), on Kafka with a million samples, a Collector and a Telegraf, the detectors, the packages, the constants of sizes and the first paint, then half an hour of fuzzing
	DERIVED_STATSD_FAULT_SEEDS=$(SEEDS) $(CARGO) test -p daemon --all-features --test faults --test torn \
		--test reconfigure_faults --test disk_faults --test source_faults
	DERIVED_STATSD_FAULT_SEEDS=20000 $(CARGO) test -p daemon-kafka --all-features --lib simulator
	DERIVED_STATSD_FAULT_SEEDS=4 DERIVED_STATSD_FAULT_SAMPLES=85000 \
		$(CARGO) test -p daemon --all-features --test kafka_faults -- --test-threads=1
	MEMORY_TEST_OBJECTS=1000000 $(CARGO) test -p daemon --all-features --test memory
	.ci/otel-collector >/dev/null
	.ci/telegraf >/dev/null
	.ci/otlp-prometheus >/dev/null
	$(CARGO) test -p daemon --all-features --test agents --test demo_page --test otlp_prometheus --test prometheus -- --ignored
	PAGE_TEST_OBJECTS=100000 $(CARGO) test -p daemon --all-features --test page very_many_objects
	HISTORY_TEST_OBJECTS=100000 HISTORY_TEST_WINDOWS=1440 $(CARGO) test -p daemon-view --all-features --lib bytes_of_a_history
	benches/detect --quick
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	command -v mdbook >/dev/null || $(CARGO) install --locked mdbook --no-default-features
	command -v actionlint >/dev/null || ! command -v go >/dev/null || \
		GOBIN="$(CURDIR)/target/go" go install github.com/rhysd/actionlint/cmd/actionlint@latest
	PATH="$$PATH:$(CURDIR)/target/go" .ci/lint
	docs/pictures
	packaging/test-deb
	packaging/test-journey target/packaging/derived-statsd_*.deb
	packaging/test-archive
	packaging/test-image
	$(CARGO) build --release -p daemon -p benches
	benches/daemon --only ingest,results --rounds 1
	benches/page_load
	.ci/instructions
	$(MAKE) fuzz

detect-bench: ## The quality of every detector on recorded and generated series, beside other systems; see docs/src/design/detection.md
	benches/detect $(DETECT_ARGS)

fuzz: ## Every fuzz target for its share of half an hour; with libFuzzer if nightly Rust and cargo-fuzz are installed
	.ci/fuzz $(or $(FUZZ_ARGS),1800)

mutants: ## Which changes of the core no test notices: hours; MUTANTS_ARGS="-f derived-stats/src/text.rs" for one file
	cargo mutants --version >/dev/null || $(CARGO) install --locked cargo-mutants
	mkdir -p target
	$(CARGO) mutants -p derived-stats --output target $(MUTANTS_ARGS)

clean:
	$(CARGO) clean
