"""Puts the operator's jar into a release: `make wheel` names it in $WHEEL_OPERATOR_JAR. Other builds need no Java."""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OperatorJarHook(BuildHookInterface):
    """Adds the jar to where pyflink_actions looks for it first."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        jar = os.environ.get("WHEEL_OPERATOR_JAR")
        if not jar:
            return
        path = Path(self.root, jar)
        if not path.is_file():
            raise FileNotFoundError(f"$WHEEL_OPERATOR_JAR is {jar!r}, and there is no such file: run `make jar`")
        build_data["force_include"][str(path)] = "pyflink_actions/lib/flink-actions-operator.jar"
