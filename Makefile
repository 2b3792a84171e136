# make demo and make test do all set-up themselves, as root or with sudo.

SWIFT ?= swift
PREFIX ?= /usr/local
FIRST ?= 1
SEEDS ?= 1000000
RUNS ?= 50000
SECONDS ?= 20
MINUTES ?= 10
SEED ?=
SHARE ?= 1
QUICK ?=
CONNECTIONS ?= 50000

tree := $(CURDIR)/.build/usl
# The command with a Swift runtime inside and the libraries in Embedded Swift do not mix in one build.
embedded := .build-embedded
sources := Sources Tests Fuzz Benchmarks Package.swift

# A backtrace of a process that a test kills on purpose would hold its standard error for seconds.
export SWIFT_BACKTRACE = enable=no

.PHONY: build demo interception test test-all bench connect chaos faults flood scale sanitize simulate fuzz install format lint clean

build:
	@scripts/setup build
	$(SWIFT) build -c release --product usl --static-swift-stdlib
	$(SWIFT) build -c release --scratch-path $(embedded) --product uslpreload
	$(SWIFT) build -c release --scratch-path $(embedded) --target SessionProtocolEmbedded
	scripts/check-embedded $(embedded)/release/SessionProtocolEmbedded.build/*.o
	install -D -m 755 -s .build/release/usl $(tree)/bin/usl
	install -D -m 644 -s $(embedded)/release/libuslpreload.so $(tree)/lib/usl/libusl.so

demo: build
	@scripts/setup demo
	$(tree)/bin/usl demo --seconds $(SECONDS)

test: lint build
	@scripts/setup test
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --skip EndToEndTests
	FUZZ_SEED=1 scripts/fuzz
	$(SWIFT) build -c release --product usl-hotpaths
	scripts/hot-paths
	USL_TREE=$(tree) $(SWIFT) test --skip-build --filter EndToEndTests.EndToEnd
	USL_TREE=$(tree) $(SWIFT) test --skip-build --filter 'EndToEndTests.(FaultTests|FalseAlarmTests)'

# More: many simulated schedules, minutes under tcpkill, a flood of strangers, millions of fuzzed inputs, the thread sanitizer.
test-all: test simulate flood sanitize
	@scripts/setup test-all
	USL_TREE=$(tree) USL_TEST_ALL=1 $(SWIFT) test --skip-build --filter 'EndToEndTests.EndToEnd/(DifferentialTests|RealProgramTests)'
	$(tree)/bin/usl demo --seconds 300
	scripts/fuzz 2500000

# What connections of programs are like under USL, beside those of bare programs: the table in docs/interception.md.
interception: build
	@scripts/setup test-all
	$(SWIFT) build --build-tests
	USL_TREE=$(tree) USL_TEST_ALL=1 USL_WRITE_INTERCEPTION=1 $(SWIFT) test --skip-build --filter EndToEndTests.EndToEnd/DifferentialTests

# The unit tests under the thread sanitizer, in a build of its own, but for those that load the library into other programs. The
# loops of a pool live as long as their process, which counts as a leak there.
sanitize:
	@scripts/setup test
	$(SWIFT) build --sanitize thread --build-tests --scratch-path .build-sanitized
	TSAN_OPTIONS=report_thread_leaks=0:suppressions=$(CURDIR)/scripts/thread-sanitizer-suppressions \
	    $(SWIFT) test --sanitize thread --skip-build --scratch-path .build-sanitized \
	    --skip EndToEndTests --skip CommandLineTests --skip SimulationTests --skip Preload

# Sessions go on, come back and are opened beside this many connections that are none.
flood: build
	@scripts/setup test
	$(SWIFT) run -c release usl-lab flood --usl $(tree)/bin/usl --connections $(CONNECTIONS)

# Random traffic under random faults; SEED repeats a run.
chaos: build
	@scripts/setup test
	$(SWIFT) run -c release usl-lab chaos --usl $(tree)/bin/usl --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# What many sessions cost, and how they come back all at once.
scale: build
	@scripts/setup bench
	$(SWIFT) run -c release usl-lab scale --usl $(tree)/bin/usl

# How long streams pause under each fault, beside TCP, MPTCP and ssh; SHARE=0.1 is quick. docs/faults.md has the figures.
faults: build
	@scripts/setup bench
	$(SWIFT) run -c release usl-lab faults --usl $(tree)/bin/usl --share $(SHARE)

simulate:
	@scripts/setup build
	$(SWIFT) run -c release usl-simulate --first $(FIRST) --seeds $(SEEDS)

fuzz:
	@scripts/setup build
	scripts/fuzz $(RUNS)

# USL beside HAProxy, socat, stunnel, ssh, MPTCP, WireGuard and kcptun, in one run: docs/performance.md. It writes the tables and the
# picture there, and the costs of interception into docs/interception.md; QUICK=1 takes three minutes and writes to .build/bench alone.
bench: build
	@scripts/setup bench
	$(SWIFT) build -c release --product usl-lab
	$(SWIFT) run -c release usl-bench --usl $(tree)/bin/usl --output .build/bench $(if $(QUICK),--quick,--documents docs)

# How long it takes to connect to names of which some addresses are silent: docs/rendezvous.md has the figures.
connect: build
	@scripts/setup bench
	$(SWIFT) run -c release usl-lab connect --usl $(tree)/bin/usl

install: build
	install -D -m 755 $(tree)/bin/usl $(DESTDIR)$(PREFIX)/bin/usl
	install -D -m 644 $(tree)/lib/usl/libusl.so $(DESTDIR)$(PREFIX)/lib/usl/libusl.so
	install -D -m 644 packaging/usl.toml $(DESTDIR)$(PREFIX)/share/doc/usl/usl.toml

format:
	$(SWIFT) format --in-place --recursive $(sources)

lint:
	$(SWIFT) format lint --strict --recursive $(sources)

clean:
	rm -rf .build .build-sanitized $(embedded)
