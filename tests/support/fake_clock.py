"""An event loop whose time stands still while there is work and jumps to the next timer when there is none.

An hour passes in no time, and nothing depends on how busy the machine is. For code whose only clock is the loop's:
sockets and threads live in real time and do not belong on such a loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Of the fake clock.
_LEAVE_SECONDS = 60.0

__all__ = ["FakeClockLoop", "run_with_fake_clock"]


class _JumpingSelector(selectors.SelectSelector):
    """Where the loop would sleep, its clock moves on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that no timer will bring: a deadlock")
        # Nobody looks whether a file is ready: none is there, and to ask the system each time is dear.
        self.now += max(timeout, 0.0)
        return []


class FakeClockLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        return self._jumping_selector.now

    def stand_still(self, seconds: float) -> None:
        """As if the process were stopped for so long: time goes on, and nothing else does."""
        self._jumping_selector.now += seconds


def run_with_fake_clock(coroutine: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a `FakeClockLoop`.

    Raises:
        AssertionError: The coroutine has come to its end, and left tasks behind that nobody has told to end.
    """
    loop = FakeClockLoop()
    left: list[str] = []
    try:
        result = loop.run_until_complete(coroutine)
        loop.run_until_complete(_until_the_told_have_ended())
        left = [repr(task) for task in asyncio.all_tasks(loop)]
    finally:
        loop.run_until_complete(_end(asyncio.all_tasks(loop)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert not left, f"nobody has ended {len(left)} tasks: {left[:3]}"
    return result


async def _until_the_told_have_ended() -> None:
    """Who was cancelled may end behind its owner, and those that it owns behind it."""
    while told := [task for task in asyncio.all_tasks() if task.cancelling()]:
        _, late = await asyncio.wait(told, timeout=_LEAVE_SECONDS)
        if late:
            return


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
