# Commands for users and developers; `make help` lists them.
#
# The virtual environment is made by whatever command needs it. It is made again when the
# packages that it should hold change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
NPM_RIG := tests/interop/node

.DEFAULT_GOAL := help
# Two stamps are two runs of pip in one environment.
.NOTPARALLEL:
.PHONY: help install run test check types format interop chaos detection poison hung rolls readyz soak simulate overload fuzz fuzz-full fuzz-guided bench bench-clients bench-scaling bench-footprint clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

# One stamp for what `make run` needs, one for what developers need on top, one for the modules that
# are compiled: without a compiler they run as they are, and so they do for `make check`.
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
NATIVE_STAMP := $(VENV)/.compiled
SOURCES := $(wildcard client/*.py gateway/*.py shared/*.py shared/*/*.py workers/*.py)
PURE := ZEROPOOL_PURE=1
# Tests of real processes wait more than they compute, so two run at a time, whatever the machine
# has: more of them would take each other's time. A file stays together, with the services that its
# tests share; they are begun in their order, in which the long ones come first. A process that a
# test ends is not replaced: with these files kept together, pytest-xdist 3.8 would wait for ever.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "make: Python 3.11 or newer is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python setup.cfg pyproject.toml constraints.txt iris-model/setup.cfg
	$(PURE) $(BIN)/pip install --quiet --constraint constraints.txt --editable . --editable ./iris-model
	@touch $@

# All at once: an editable installation has a build of its own each time, also where it is there.
# What is compiled is not out of date by it, so a stamp that is there stays as it is. Of what these
# packages hold most is never imported; Python compiles the rest when it is.
$(DEV_STAMP): $(BIN)/python setup.cfg pyproject.toml constraints.txt iris-model/setup.cfg
	$(PURE) $(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[test,check]' --editable './iris-model[test,train]'
	@test -e $(RUN_STAMP) || touch $(RUN_STAMP)
	@touch $@

$(NATIVE_STAMP): $(RUN_STAMP) setup.py $(SOURCES)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --no-deps --editable .
	@$(BIN)/zeropool --version
	@touch $@

install: $(NATIVE_STAMP) ## make the virtual environment with everything that `run` needs

run: $(NATIVE_STAMP) ## serve the iris model on tcp://127.0.0.1:4242
	@exec $(BIN)/zeropool serve

test: $(DEV_STAMP) $(NATIVE_STAMP) ## run all tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)
	$(PURE) $(BIN)/python -m pytest -q tests/simulation/test_mutants.py
	cd iris-model && ../$(BIN)/python -m pytest

check: $(DEV_STAMP) types ## format, lint, types, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(PURE) $(BIN)/python -m pytest -q $(SIDE_BY_SIDE) tests/unit

# mypy reads packages by path, and the packages' paths are only made by the installation.
TREE := build/tree/zeropool
types: $(DEV_STAMP) ## check the types
	@mkdir -p $(TREE)
	@for name in cli client gateway shared workers; do ln -sfn ../../../$$name $(TREE)/$$name; done
	$(BIN)/mypy -p zeropool.cli -p zeropool.client -p zeropool.gateway -p zeropool.shared -p zeropool.workers
	cd iris-model && ../$(BIN)/mypy iris_model
	MYPYPATH=benchmarks:build/tree $(BIN)/mypy benchmarks/*.py
	MYPYPATH=benchmarks/scaling:benchmarks:build/tree $(BIN)/mypy benchmarks/scaling/*.py

format: $(DEV_STAMP) ## put the code into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

interop: $(DEV_STAMP) $(NATIVE_STAMP) ## talk with ZeroRPC peers that others wrote
	$(BIN)/python -m pytest -q tests/interop

# Experiments: `make chaos SEED=7 REQUESTS=300000 KILLS=500 OUT=kills.json`; each option is one of
# the command, in capitals, and each is left to the experiment where it is not given.
EXPERIMENT = PYTHONPATH=tests $(BIN)/python -m chaos.$(1) $(foreach option,SEED OUT $(2),$(if $($(option)),--$(shell echo $(option) | tr A-Z_ a-z-) $($(option))))

chaos: $(DEV_STAMP) $(NATIVE_STAMP) ## kill, freeze and feed garbage under load: SEED, REQUESTS, KILLS, FREEZES, GARBAGE, HANGS, SECONDS, OUT
	$(call EXPERIMENT,kills,REQUESTS KILLS FREEZES GARBAGE HANGS SECONDS)

detection: $(DEV_STAMP) $(NATIVE_STAMP) ## time from a worker's loss to its job on another: KILLS, LOADED_KILLS, FREEZES
	$(call EXPERIMENT,detection,KILLS LOADED_KILLS FREEZES)

poison: $(DEV_STAMP) $(NATIVE_STAMP) ## jobs that kill every worker they meet: DOSES
	$(call EXPERIMENT,poison,DOSES)

hung: $(DEV_STAMP) $(NATIVE_STAMP) ## predictions that hang in C past their hard limit: HANGS, LIMITS
	$(call EXPERIMENT,hung,HANGS LIMITS)

rolls: $(DEV_STAMP) $(NATIVE_STAMP) ## roll workers and end gateways under load: ROLLS, GATEWAY_TERMS
	$(call EXPERIMENT,rolls,ROLLS GATEWAY_TERMS)

readyz: $(DEV_STAMP) $(NATIVE_STAMP) ## time from the last worker's death to 503: DEATHS
	$(call EXPERIMENT,readyz,DEATHS)

soak: $(DEV_STAMP) $(NATIVE_STAMP) ## slopes of RSS and descriptors under a mixed load: MINUTES
	$(call EXPERIMENT,soak,MINUTES)

# Seconds of each phase, or of a campaign, where SECONDS does not say.
PHASE_S = $(or $(SECONDS),60)
RESULTS := benchmarks/results/reliability
overload: $(DEV_STAMP) $(NATIVE_STAMP) ## ten times too much load, slow and hostile peers: SECONDS=60 a phase
	PYTHONPATH=tests $(BIN)/python -m overload.goodput --seconds $(PHASE_S) --out $(RESULTS)/overload.json
	PYTHONPATH=tests $(BIN)/python -m overload.slow_readers --out $(RESULTS)/slow_readers.json

# Only for developers, and only where there is a wheel of it: without, fuzzing is not guided.
FUZZ_STAMP := $(VENV)/.installed-fuzz
$(FUZZ_STAMP): $(DEV_STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt '.[fuzz]' && touch $@

FUZZ := PYTHONPATH=tests:tests/models $(BIN)/python -m
GUIDED ?= event session client-session arguments rows validation from-worker worker-message worker-entry client-message
fuzz: $(DEV_STAMP) $(NATIVE_STAMP) ## broken inputs for SECONDS=60, on every decoder and on live ports
	$(FUZZ) fuzz.campaign --seconds $(PHASE_S)
	$(FUZZ) fuzz.live --inputs 10000

fuzz-full: $(DEV_STAMP) $(NATIVE_STAMP) ## as many broken inputs as a release wants: about five minutes
	$(FUZZ) fuzz.campaign --full --out $(RESULTS)/fuzz.json
	$(FUZZ) fuzz.live --inputs 50000 --out $(RESULTS)/fuzz_live.json

fuzz-guided: $(FUZZ_STAMP) ## coverage-guided, SECONDS=60 for each target
	for target in $(GUIDED); do $(FUZZ) fuzz.guided $$target --seconds $(PHASE_S) || exit 1; done

simulate: $(DEV_STAMP) $(NATIVE_STAMP) ## play SEEDS=2000 of the simulator from FROM=0 on JOBS=2 processes, or tell all of SEED=7
	@$(BIN)/python tests/simulation/simulate.py --seeds $(or $(SEEDS),2000) --from $(or $(FROM),0) \
	  --jobs $(or $(JOBS),2) $(foreach option,SEED MUTANT,$(if $($(option)),--$(shell echo $(option) | tr A-Z a-z) $($(option)))) \
	  $(if $(CHECK_EVERY),--check-every $(CHECK_EVERY))

# The peers have an environment of their own. One that cannot be installed is told of in its rows.
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
BENCH_PIP := $(BENCH_VENV)/bin/pip install --quiet --constraint constraints.txt
$(BENCH_STAMP): setup.cfg pyproject.toml constraints.txt setup.py $(SOURCES) iris-model/setup.cfg benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_PIP) --editable . --editable ./iris-model psutil scikit-learn
	$(BENCH_PIP) --only-binary :all: --requirement benchmarks/requirements.txt || \
	  for peer in grpcio litserve matplotlib mosec; do \
	    $(BENCH_PIP) --only-binary :all: --constraint benchmarks/requirements.txt $$peer || true; done
	@touch $@

BENCH = $(BENCH_VENV)/bin/python benchmarks/compare.py --rounds $(or $(ROUNDS),3) --seconds $(or $(SECONDS),2)
bench: $(BENCH_STAMP) ## compare with other servers: ROUNDS=3, SECONDS=2 a point; ADD=1 adds them; ONLY="mosec zeropool-2" writes nothing
	$(BENCH) $(if $(ONLY),$(ONLY:%=--only %),$(if $(ADD),--add )--output benchmarks/results/peers.json --page docs/benchmarks.md --chart docs/benchmarks.svg)

bench-clients: $(DEV_STAMP) $(NATIVE_STAMP) ## compare the clients on one gateway, two minutes: ROUNDS=7, SECONDS=1 a point
	$(BIN)/python benchmarks/clients.py --rounds $(or $(ROUNDS),7) --seconds $(or $(SECONDS),1) --page docs/benchmarks.md

bench-scaling: $(DEV_STAMP) $(NATIVE_STAMP) ## workers, clients, gateways, payloads, rows, three minutes: PARTS="workers rows" writes nothing
	$(BIN)/python benchmarks/scaling $(if $(PARTS),$(PARTS) --output build/scaling.json,--page docs/benchmarks.md)

bench-footprint: $(DEV_STAMP) $(NATIVE_STAMP) ## time to the first answer, imports, memory, half a minute
	$(BIN)/python benchmarks/footprint.py --page docs/benchmarks.md

clean: ## remove everything that is made
	find client gateway shared workers -name '*.so' -delete
	rm -rf $(VENV) $(BENCH_VENV) build *.egg-info iris-model/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(NPM_RIG)/node_modules
