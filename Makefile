# walhook: the commands of every day. `make` alone lists them.

CARGO ?= cargo
# The full form of the soak; `make test` plays a short one.
SEED ?= 1
KILLS ?= 30
CHANGES ?= 20000
BULK ?= 200000
# The PostgreSQL versions of the matrix, and the tests whose names have this in them; nothing means all.
VERSIONS ?=
FILTER ?=
# How often each fault is played, at other places and moments each time.
ROUNDS ?= 10
# How long nothing happens where that is played, in seconds.
IDLE ?= 3600
# What is fuzzed (nothing means everything in turn), and for how long each.
TARGET ?=
SECONDS ?= 60
# How many requests are invented for each operation of the API.
EXAMPLES ?= 100
# Which deliberate bugs are tried (nothing means all), and with how many plays of the simulation each.
MUTANTS ?=
SEEDS ?= 600

# Which steps `make counts` counts: those whose name has this in it; nothing means all.
STEP ?=

# What `make bench-side` measures, with how many rows (nothing means the mode's default), how often, and what else
# is told it: ARGS='--json results.jsonl'.
MODE ?= drain
ROWS ?=
ARGS ?=

.PHONY: help demo test check soak matrix faults mutants endurance bench bench-side counts counts-accept fuzz openapi golden schemathesis postgres fault-tools valgrind

help:
	@echo "make demo    the show: a help desk on a throwaway PostgreSQL, changes, webhooks (DEMO=--keep to play on)"
	@echo "make test    all tests, with real PostgreSQL servers; the long ones in their short form"
	@echo "make check   format, lints, documentation, licences"
	@echo "make soak    the end-to-end proof in full: make soak SEED=7 KILLS=30 CHANGES=20000 BULK=200000"
	@echo "make matrix  the end-to-end tests, the museum, soak and faults in short on PostgreSQL 14 to 18: make matrix VERSIONS='17 18' FILTER=source"
	@echo "make faults  killed everywhere, failing disks and clocks, in full: make faults SEED=7 ROUNDS=10 IDLE=600 FILTER=disk"
	@echo "make mutants deliberate bugs, each of which the simulation must find: make mutants MUTANTS='skip-fsync' SEEDS=600"
	@echo "make endurance  memory, idle publication and backlog in full (half an hour and 3 GB of disk)"
	@echo "make bench   measurements of the parts"
	@echo "make bench-side  the whole path beside its limits: make bench-side MODE=drain ROWS=60000 ROUNDS=3 (docs/PERFORMANCE.md)"
	@echo "make counts  instructions of each step of a change's path, against benches/counts/expected.toml: make counts STEP=match"
	@echo "make counts-accept  writes them down there"
	@echo "make schemathesis  requests to the API, invented by its document: make schemathesis EXAMPLES=500"
	@echo "make openapi  writes docs/openapi.json anew, from the code of the API's routes"
	@echo "make golden  writes the examples of docs/bodies anew, from the code of the formats"
	@echo "make fuzz    everything that reads bytes from outside against invented ones: make fuzz TARGET=decode SECONDS=60 (cargo-fuzz)"

demo: postgres
	$(CARGO) run --quiet --profile fast -- demo $(DEMO)

test: postgres fault-tools
	@scripts/schemathesis
	@scripts/clients
	$(CARGO) test --all-targets
	$(CARGO) test --doc

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed: licences and advisories were not checked"; fi

soak: postgres
	SEED=$(SEED) KILLS=$(KILLS) CHANGES=$(CHANGES) BULK=$(BULK) \
	$(CARGO) test --profile fast --test soak -- --nocapture nothing_is_lost

matrix: postgres
	FILTER="$(FILTER)" nice scripts/matrix $(VERSIONS)

faults: postgres fault-tools
	SEED=$(SEED) FAILPOINT_ROUNDS=$(ROUNDS) SYSCALL_ROUNDS=$(ROUNDS) FULL_DISK_ROUNDS=$(ROUNDS) TORN_ROUNDS=$(ROUNDS) \
	DAMAGE_STEP=1 LONG=1 TIMES=$(ROUNDS) SWEEP=997 STEPS=200 IDLE=$(IDLE) LARGE_MB=2000 SUBTRANSACTIONS=100000 \
	UNDONE_ROWS=500000 TOUCHES=50000 PATIENCE_S=1800 FILTER="$(FILTER)" scripts/faults

mutants:
	SEEDS=$(SEEDS) scripts/mutants $(MUTANTS)

endurance: postgres
	BULK=200000 BACKLOG=1000000 IDLE_MB=500 NEIGHBOUR_ROWS=20000 \
	$(CARGO) test --profile fast --test soak -- --nocapture neighbours

bench: postgres
	$(CARGO) bench

# three rounds, not the ten of the faults
bench-side: postgres
	$(CARGO) bench --bench side -- $(MODE) --rounds $(if $(filter file,$(origin ROUNDS)),3,$(ROUNDS)) \
	$(if $(ROWS),--rows $(ROWS)) $(ARGS)

counts: valgrind
	nice $(CARGO) bench --bench counts -- check $(if $(STEP),"$(STEP)")

counts-accept: valgrind
	nice $(CARGO) bench --bench counts -- accept $(if $(STEP),"$(STEP)")

fuzz:
	CARGO="$(CARGO)" nice scripts/fuzz $(SECONDS) $(TARGET)

schemathesis: postgres
	@scripts/schemathesis
	EXAMPLES=$(EXAMPLES) $(CARGO) test --test it -- --nocapture invented::

openapi:
	WRITE_OPENAPI=1 $(CARGO) test --quiet --lib the_openapi_document_is_written_down

golden:
	WRITE_GOLDEN=1 $(CARGO) test --quiet --lib examples_are_what_is_sent

postgres:
	@scripts/postgres

fault-tools:
	@scripts/fault-tools

valgrind:
	@scripts/valgrind
