# Everything a newcomer and the CI do. `make help` lists it; needs Python 3.11, JDK 17, Maven and make.
SHELL := /bin/bash
# A test's failure must not vanish in the pipe behind it.
.SHELLFLAGS := -e -o pipefail -c
PYTHON ?= python3
SERVER_VENV := .venv-server
JOB_VENV := .venv-job
PROTO_VENV := .venv-proto
OPERATOR := flink_job/operator
JAR := $(OPERATOR)/target/flink-actions-operator-0.1.0.jar
TEST_CLASS_PATH := $(OPERATOR)/target/test-class-path

JAVA_SOURCES := $(shell find $(OPERATOR)/src/main proto -type f 2>/dev/null)
# -B and no transfer progress: thousands of lines of it would hide what happens.
MVN := mvn -B --no-transfer-progress -q -f $(OPERATOR)/pom.xml
PIP := bin/pip install --quiet --disable-pip-version-check
PYTEST := $(SERVER_VENV)/bin/python -m pytest
PINNED = $$(grep -E '^($(1))==' constraints.txt)
STEP = @printf '\033[1m== %s\033[0m\n' "$(1)"

.DEFAULT_GOAL := help
.PHONY: help run test test-python simulate mutants test-java test-java-newest test-jobs chaos check bench proto proto-check jar class-path wheel docker-check format clean

help: ## this list
	@printf 'Flink Action Server: Python actions of Flink jobs, in a process of their own.\n\n'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
	  while IFS=$$'\t' read -r name text; do printf '  \033[1mmake %-18s\033[0m %s\n' "$$name" "$$text"; done
	@printf '\nBegin with `make run`. What is missing (two virtual environments, the jar) is built on the way.\n'

run: $(SERVER_VENV)/.ready $(JOB_VENV)/.ready $(JAR) ## the quickstart: a server, a Flink job, a table and a picture
	$(call STEP,quickstart: examples/sentiment)
	@$(SERVER_VENV)/bin/python examples/sentiment/run.py

# ---- tests: what they need first, the quick ones first ----

# They wait more than they compute. (Java's are spread over two processes too: pom.xml.)
TWO_AT_ONCE := --numprocesses 2 --dist worksteal

test: test-python test-java test-java-newest test-jobs ## all tests (some 25 minutes on two cores)
	$(call STEP,all tests passed)

test-python: $(SERVER_VENV)/.ready ## unit, contract, simulation and integration tests of the Python side
	$(call STEP,Python: unit and contract and integration)
	@$(PYTEST) -q --durations=5 $(TWO_AT_ONCE) tests/unit tests/contract tests/simulation tests/integration

simulate: $(SERVER_VENV)/.ready ## seeded worlds in which all goes wrong; SEEDS=N, from FROM=M on, PROCESSES=P
	@$(SERVER_VENV)/bin/python -m tests.simulation --seeds $(or $(SEEDS),200) --from $(or $(FROM),0) --processes $(or $(PROCESSES),$(shell nproc))

mutants: $(SERVER_VENV)/.ready ## one-line bugs that tests have to find, each made in a copy (some minutes); RULE=N
	@$(SERVER_VENV)/bin/python -m tests.mutants $(if $(RULE),--rule $(RULE))

test-java: $(SERVER_VENV)/.ready ## the operator and its jar, on the Flink version it is compiled against
	$(call STEP,Java: the operator on Flink 2.0)
	@mvn -B --no-transfer-progress -f $(OPERATOR)/pom.xml verify -Dspotless.check.skip=true 2>&1 | $(SURFIRE_LINES)
	@touch $(JAR)

test-java-newest: test-java ## all that touches Flink once more, on the newest one, compiling nothing
	$(call STEP,Java: the same classes on Flink 2.3)
	@mvn -B --no-transfer-progress -f $(OPERATOR)/pom.xml surefire:test -Dflink.version=2.3.0 2>&1 | $(SURFIRE_LINES)

test-jobs: $(SERVER_VENV)/.ready $(JOB_VENV)/.ready $(JAR) ## PyFlink jobs on a MiniCluster and a standalone cluster; the quickstart
	$(call STEP,PyFlink jobs and the quickstart)
	@$(PYTEST) -v --durations=5 tests/e2e tests/chaos

chaos: $(SERVER_VENV)/.ready $(JOB_VENV)/.ready $(JAR) $(if $(filter synchronous,$(LEVEL)),$(TEST_CLASS_PATH)) ## hurt a real job, server and cluster at random; MINUTES=N, SEED=S, LEVEL=synchronous
	@$(SERVER_VENV)/bin/python -m tests.chaos --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED)) $(if $(LEVEL),--level $(LEVEL)) $(CHAOS)

# Maven's own chatter is left out, a failure's text is not; pipefail keeps its exit code.
SURFIRE_LINES := grep --line-buffered -E '^\[(ERROR|WARNING)\]|Tests run:|Running |BUILD|FAIL|^\s+at |Exception|expected|but was'

# ---- checks ----

check: $(SERVER_VENV)/.ready proto-check ## format, lint, types, import direction, generated code, no registry addresses
	$(call STEP,ruff format)
	@$(SERVER_VENV)/bin/ruff format --check .
	$(call STEP,ruff)
	@$(SERVER_VENV)/bin/ruff check .
	$(call STEP,mypy)
	@$(SERVER_VENV)/bin/mypy python_server/flink_actions flink_job/pyflink_actions
	$(call STEP,import direction)
	@$(SERVER_VENV)/bin/lint-imports
	$(call STEP,google-java-format)
	@$(MVN) spotless:check
	$(call STEP,no registry addresses)
	@# 1 is "found nothing"; any other failure is git's own.
	@git grep -nIE 'https?://[^ )"]*(pypi|maven|npm|debian)' -- . ':!$(OPERATOR)/pom.xml' ':!LICENSE' && exit 1 || test $$? -eq 1
	$(call STEP,all checks passed)

format: $(SERVER_VENV)/.ready ## bring Python and Java into form
	@$(SERVER_VENV)/bin/ruff format .
	@$(SERVER_VENV)/bin/ruff check --fix .
	@$(MVN) spotless:apply

bench: $(SERVER_VENV)/.ready $(JOB_VENV)/.ready $(JAR) ## measure: throughput, latency, waits, checkpoints (some 20 minutes)
	@$(SERVER_VENV)/bin/python benchmarks/run.py $(BENCH)

# ---- generated code ----

PROTOC = $(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iproto --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) proto/flink_actions/wire/v1/*.proto

proto: $(PROTO_VENV)/.ready ## generate the Python code of proto/ anew (Java's is made by Maven)
	$(call STEP,generating python_server/flink_actions/wire/v1)
	@$(call PROTOC,python_server)

proto-check: $(PROTO_VENV)/.ready
	$(call STEP,the generated code is that of proto/)
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call PROTOC,$$fresh) && \
	  diff -r --exclude=__init__.py --exclude=__pycache__ "$$fresh/flink_actions/wire/v1" python_server/flink_actions/wire/v1 || \
	  { echo 'proto/ has changed since its Python code was generated: run `make proto` and commit the result'; exit 1; }

# ---- what the others need ----

jar: $(JAR) ## the operator's jar

wheel: $(SERVER_VENV)/.ready $(JAR) ## the release: one wheel with the server, the job API and the jar, in dist/
	$(call STEP,wheel)
	@WHEEL_OPERATOR_JAR=$(JAR) $(SERVER_VENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

docker-check: $(SERVER_VENV)/.ready $(JAR) ## the images' steps in bare directories, and the manifests (no engine needed)
	@docker/check.sh

$(JAR): $(OPERATOR)/pom.xml $(JAVA_SOURCES)
	$(call STEP,building the operator's jar (the first time Maven fetches what it needs: some minutes))
	@$(MVN) package -Dmaven.test.skip=true
	@touch $@

class-path: $(TEST_CLASS_PATH)

$(TEST_CLASS_PATH): $(OPERATOR)/pom.xml
	$(call STEP,writing down where Maven has a Kafka broker)
	@$(MVN) org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -DincludeScope=test -Dmdep.outputFile=$(abspath $@)

$(SERVER_VENV)/.ready: pyproject.toml constraints.txt
	$(call STEP,building $(SERVER_VENV): the server and the tools of its developers)
	@$(PYTHON) -m venv $(SERVER_VENV)
	@$(SERVER_VENV)/$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

# PyFlink pins gRPC and protobuf to versions that the server does not want: an environment of its own.
$(JOB_VENV)/.ready: pyproject.toml constraints.txt
	$(call STEP,building $(JOB_VENV): PyFlink (500 MB; some minutes))
	@$(PYTHON) -m venv $(JOB_VENV)
	@$(JOB_VENV)/$(PIP) $(call PINNED,apache-flink)
	@$(JOB_VENV)/$(PIP) --no-deps -e .
	@touch $@

# An old protoc: what it generates loads with PyFlink's protobuf and with the newest.
$(PROTO_VENV)/.ready: constraints.txt
	$(call STEP,building $(PROTO_VENV): protoc)
	@$(PYTHON) -m venv $(PROTO_VENV)
	@$(PROTO_VENV)/$(PIP) $(call PINNED,grpcio-tools) 'protobuf<6' setuptools
	@touch $@

clean: ## remove all that was built, the environments too
	rm -rf $(SERVER_VENV) $(JOB_VENV) $(PROTO_VENV) $(OPERATOR)/target dist build examples/*/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
