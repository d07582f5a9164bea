from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.running_server import AGENTS, RunningServer

BEHAVIOURS = f"{AGENTS / 'behaviours.py'}:agent"


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
