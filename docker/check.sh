#!/usr/bin/env bash
# Runs what the Dockerfiles say without an engine, in a bare directory, and checks the YAML files beside them.
#   docker/check.sh [--no-flink] [--keep]
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv-server/bin/python}" docker/check.py "$@"
