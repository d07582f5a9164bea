"""What holds for every test."""

from __future__ import annotations

import faulthandler
import sys

import pytest

_LEAVE_SECONDS = 60.0


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread that a test left running would keep the interpreter for ever: say which, and end it."""
    if hasattr(config, "workerinput"):
        return  # one of xdist's processes, which stays for the others and is ended by them
    faulthandler.dump_traceback_later(_LEAVE_SECONDS, exit=True, file=sys.__stderr__)
