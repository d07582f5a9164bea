SHELL := /bin/bash
PYTHON ?= python3
SERVER_VENV := .venv-server
JOB_VENV := .venv-job

$(SERVER_VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SERVER_VENV)
	$(SERVER_VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(JOB_VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(JOB_VENV)
	$(JOB_VENV)/bin/pip install -q --disable-pip-version-check apache-flink==2.3.0
	touch $@
