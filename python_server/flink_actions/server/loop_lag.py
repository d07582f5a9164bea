"""How late the event loop is: what a coroutine that computes instead of awaiting does to all others."""

from __future__ import annotations

import asyncio

__all__ = ["LoopLag"]

_INTERVAL_SECONDS = 0.25
_BLOCKED_SECONDS = 0.5


class LoopLag:
    """Measures by a timer on the running loop, which costs four wake-ups a second."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lag_seconds = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._loop.time() + _INTERVAL_SECONDS
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def microseconds(self) -> int:
        """How late the last timer ran, or the one that is overdue now, if that is later."""
        overdue = self._loop.time() - self._due
        return int(max(self._lag_seconds, overdue, 0.0) * 1e6)

    @property
    def is_blocked(self) -> bool:
        """Whether an action holds up all others so long that no more work should come."""
        return self.microseconds > _BLOCKED_SECONDS * 1e6

    def _on_timer(self) -> None:
        self._lag_seconds = self._loop.time() - self._due
        self.start()
