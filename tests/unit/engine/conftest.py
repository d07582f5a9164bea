"""Every asynchronous test of the engine runs on asyncio's own event loop and on uvloop, which workers use.

What goes wrong behind a test's back (an exception that nobody catches, a defect that the dispatcher reports) fails it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop

_unhandled: list[dict[str, Any]] = []


def _note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # What asyncio's own streams say of a cancelled handler; see test_httpx_times_out_by_its_own_setting.
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        _unhandled.append(context)


def _watched(make: Callable[[], asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
    def watched() -> asyncio.AbstractEventLoop:
        loop = make()
        loop.set_exception_handler(_note)
        return loop

    return watched


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": _watched(asyncio.SelectorEventLoop), "uvloop": _watched(uvloop.new_event_loop)}


@pytest.fixture(autouse=True)
def nothing_goes_wrong_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    _unhandled.clear()
    yield
    assert not _unhandled
    defects = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.CRITICAL]
    assert not defects


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    """So that one of them comes between any two steps of another."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
