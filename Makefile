# Everything that is run here, on a laptop and in continuous integration: the same lines.
#
# One profile (dev) and one target directory for every step, and always the whole workspace (no -p):
# what a selection leaves out changes the features of what it shares, which is then built twice.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

# Test programs that need nothing but this machine's files and loopback.
QUIET := balancing cli identity links soa soak cluster store bad_hosts bounces endpoints newer paced placement program properties proxies replication screens steps upkeep tidy reference
# Faults on real coordinators: root, for mount namespaces; and what loads them to their limits. They
# measure times, and run alone.
HOSTILE := hostile limits
# Those that need Docker and root. In continuous integration two lines of them run side by side: those
# that measure times one after the other, and those that wait most of theirs.
TIMED := demo e2e hosts
WAITING := adoption binary control dashboard docker exec intruder joining packages prometheus proxy scale tls
REAL := $(TIMED) $(WAITING)

.DEFAULT_GOAL := help
.PHONY: help build check fmt spell lint unit test test-one install bench scale sim planted hostile cases e2e e2e-timed e2e-waiting demo demo-down dist docs schemas reference fix

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the binaries: paasta, paasta-coordinator, paasta-agent
	$(CARGO) build --workspace --locked --bins

check: fmt spell lint unit ## Format, spelling, lints, unit, property and tidy tests; no Docker; writes nothing

fmt:
	$(CARGO) fmt --all --check

# What it takes for a word is in .codespellrc; style has words of its own, in the tidy tests.
spell:
	@command -v codespell >/dev/null || { \
		echo "make spell: codespell is missing; install it: deploy/demo/install.sh, or apt-get install codespell" >&2; \
		exit 1; }
	codespell

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit:
	$(CARGO) test --workspace --locked --lib --bins $(QUIET:%=--test %)

test: install ## Everything that continuous integration runs, Docker included; logs and times in target/stages
	@tests/stages.sh fmt spell lint unit hostile e2e-timed,e2e-waiting+planted+sim+docs

# `make test-one T=spread`, `make test-one T=failures P=e2e`; what needs Docker needs root.
test-one: ## The tests whose names contain T; P is a test program, all of them without it
	@test -n "$(T)" || { echo 'make test-one T=WORDS [P=PROGRAM]: T is a part of the names of tests' >&2; exit 2; }
	$(CARGO) test --workspace --locked $(if $(P),--test $(P),--lib --bins --tests) -- --test-threads=1 $(T)

install:
	@if [ -x deploy/demo/install.sh ]; then deploy/demo/install.sh; fi

# `make sim SEED=7 SEEDS=200`; what fails says how to repeat it.
SEED ?= 1
SEEDS ?= 50

sim: ## Simulate whole clusters in virtual time: SEEDS seeds from SEED on
	$(CARGO) run -q --locked --bin sim -- --seed $(SEED) --seeds $(SEEDS)

planted: ## Show that the simulation repeats itself and finds a planted fault for each invariant
	$(CARGO) test --workspace --locked --test sim

hostile: build ## Faults on three real coordinators under a check of linearizability, and their limits (root)
	$(CARGO) test --workspace --locked $(HOSTILE:%=--test %) -- --nocapture --test-threads=1

# The column of names; a word is part of one test's name only.
cases: build ## The cases from real life (tests/cases.txt), each with its right value; part of `test` by their programs (root)
	$(CARGO) test --workspace --locked --lib --bins --tests -- --test-threads=1 \
		$(shell awk '!/^#/ { print $$3 }' tests/cases.txt)

e2e: build ## The tests on real processes, hosts and Docker (root)
	$(CARGO) test --workspace --locked $(REAL:%=--test %) -- --test-threads=1

# The two lines of it that `make test` runs side by side.
e2e-timed: build
	$(CARGO) test --workspace --locked $(TIMED:%=--test %) -- --test-threads=1

e2e-waiting: build
	$(CARGO) test --workspace --locked $(WAITING:%=--test %) -- --test-threads=2

dist: ## Make the Debian packages, the static tarball, the SBOM and checksums, in target/dist/out
	deploy/packages/dist.sh

demo: build ## Start a cluster on this machine and deploy the example service (root)
	deploy/demo/demo.sh up

demo-down: ## Stop that cluster and leave nothing behind
	deploy/demo/demo.sh down

bench: ## Print how fast planner, state and replication are here, beside etcd if it is installed; what an agent costs
	$(CARGO) bench --locked --workspace --bench figures

# `make scale HOSTS=100,1000,10000`; docs/internals/scale.md says what is measured.
HOSTS ?= 100,1000

scale: ## Measure three coordinators with HOSTS hosts that run no Docker, over TLS (root)
	$(CARGO) build --release --workspace --locked --bins
	PAASTA_TESTS_BINARIES=$(CURDIR)/target/release target/release/scale --hosts $(HOSTS)

schemas: ## Write deploy/schemas, of yelpsoa-configs and /etc/paasta, from the tables of fields
	PAASTA_WRITE_SCHEMAS=1 $(CARGO) test -q --workspace --locked --test soa published_schemas

reference: ## Write docs/reference from the command lines, tables and sources
	PAASTA_WRITE_REFERENCE=1 $(CARGO) test -q --workspace --locked --bins --test reference reference

docs: ## Build the API documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

fix: ## Format and apply what clippy can mend
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all
