"""PyFlink is not among what unit tests have, and the package's front door needs it: modules are reached beside it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[3] / "flink_job" / "pyflink_actions"


@pytest.fixture(autouse=True)
def package_without_its_front_door(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("pyflink_actions")
    package.__path__ = [str(_FOLDER)]
    monkeypatch.setitem(sys.modules, "pyflink_actions", package)
