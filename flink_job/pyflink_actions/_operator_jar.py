"""Finds the operator's jar: nobody has to copy it anywhere."""

import os
from pathlib import Path

from pyflink_actions.errors import OperatorJarError

OVERRIDE = "FLINK_ACTIONS_OPERATOR_JAR"

_PACKAGE = Path(__file__).resolve().parent


def find_operator_jar() -> Path:
    """The jar named by $FLINK_ACTIONS_OPERATOR_JAR, else that of the installed wheel, else the one built in the source
    tree.

    Raises:
        OperatorJarError: It is in none of these places.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        path = Path(override).expanduser().absolute()
        if not path.is_file():
            raise OperatorJarError(f"${OVERRIDE} is {override!r}, and there is no such file; unset it or correct it")
        return path
    in_wheel = _PACKAGE / "lib" / "flink-actions-operator.jar"
    if in_wheel.is_file():
        return in_wheel
    in_source_tree = _PACKAGE.parent / "operator" / "target"
    built = sorted(in_source_tree.glob("flink-actions-operator-*.jar"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1]
    raise OperatorJarError(
        f"the operator's jar is neither in {in_wheel.parent} (as in a released wheel) nor in {in_source_tree} "
        f"(as in a built source tree): run `make jar` there, install a released wheel, or name the jar in ${OVERRIDE}"
    )
