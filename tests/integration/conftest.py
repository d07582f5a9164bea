from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_server import AGENTS, RunningServer

BEHAVIOURS = f"{AGENTS / 'behaviours.py'}:agent"


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder for Unix sockets, whose paths have to be short: pytest's own lie deep."""
    with tempfile.TemporaryDirectory(prefix="sockets-") as folder:
        yield Path(folder)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A server with one worker, of the agent in tests/support/agents/behaviours.py."""
    with RunningServer(BEHAVIOURS) as running:
        yield running


@pytest.fixture
def impatient_server() -> Iterator[RunningServer]:
    """One that gives up on lost sessions after half a second."""
    with RunningServer(BEHAVIOURS, flags=["--linger-seconds", "0.5"]) as running:
        yield running
