# The one command surface; CI calls the same targets. Needs Python >= 3.11 and make, nothing else (test-node: Node.js too).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ./data
HTTP ?= 127.0.0.1:3100

.PHONY: help setup dev run test test-node check format conformance bench benchmark soak lock docs clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/.setup  ## .venv with Weir in it, kernels compiled
$(BIN)/.setup: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Weir needs Python 3.11 to 3.14, this is " + sys.version.split()[0] + "; say PYTHON=python3.12 or so") if not (3, 11) <= sys.version_info[:2] < (3, 15) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/weir warmup
	@touch $@

# Two of the PyPI clients in tests/e2e install a module of one name: each has a folder of its own.
CLIENTS := python-logging-loki inuits-python-logging-loki
dev: $(BIN)/.dev
$(BIN)/.dev: $(BIN)/.setup requirements-dev.lock $(wildcard tests/e2e/python/*.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	for client in $(CLIENTS); do \
	  $(BIN)/pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/clients/$$client \
	    --requirement tests/e2e/python/$$client.txt || exit 1; done
	@touch $@

run: setup  ## serve Loki's API on 127.0.0.1:3100 with data in ./data (HTTP=host:port, DATA=folder)
	$(BIN)/weir serve --http $(HTTP) --data-dir $(DATA)

# Three processes on two cores: a third of what a test takes is waiting. tests/conftest.py says what comes first.
test: dev  ## all tests but the long ones and those that need Node.js
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	  -m "not soak and not node"

NPM := tests/e2e/npm/node_modules tests/e2e/lezer/node_modules tests/e2e/grafana/node_modules
%/node_modules: %/package-lock.json
	npm ci --no-audit --no-fund --prefix $*
	@touch $@

test-node: dev $(NPM)  ## log libraries from npm push to a real server; Grafana's grammar and types agree with ours
	$(BIN)/python -m pytest -m "node" tests/e2e

check: dev  ## ruff, mypy, and that nothing costs 1.5 times what it did
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/weir warmup
	$(BIN)/python -m bench quick

format: dev  ## ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: dev  ## a real Loki's recorded answers against a fresh server; writes the table of COMPATIBILITY.md
	$(BIN)/python -m tests.conformance

bench: dev  ## every figure of docs/performance.md, in under 8 minutes on 2 cores
	$(BIN)/weir warmup
	$(BIN)/python -m bench
	$(BIN)/python -m bench.report docs/performance.md

benchmark: bench  ## the same

soak: dev  ## the long tests: a thousand kills, very many tenants and streams, an hour of everything at once
	WEIR_EXAMPLES=all $(BIN)/python -m pytest -m "not soak and not node" $$(grep --recursive --files-with-matches --include 'test_*.py' 'import many$$' tests)
	WEIR_SOAK_ROUNDS=1000 WEIR_SOAK_MINUTES=60 $(BIN)/python -m pytest --capture no -m "soak"

docs: dev  ## writes the generated parts of docs/
	$(BIN)/python -m config.reference docs/settings.md
	$(BIN)/python -m config.item_reference docs/emitters.md docs/notifiers.md
	$(BIN)/python -m gateway.cli.reference docs/cli.md

lock:  ## newest versions that pyproject.toml allows, as exact versions
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet .
	build/lock/bin/pip freeze --exclude weir > requirements.lock
	build/lock/bin/pip install --quiet '.[dev]'
	build/lock/bin/pip freeze --exclude weir > requirements-dev.lock
	rm -rf build/lock

clean:  ## everything that can be made again, but not ./data
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(NPM)
