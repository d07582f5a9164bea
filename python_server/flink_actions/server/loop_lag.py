"""How late the event loop is: what a coroutine that computes instead of awaiting does to all others, or who stops the
process."""

from __future__ import annotations

import asyncio
import math

__all__ = ["LoopLag"]

_INTERVAL_SECONDS = 0.25
_BLOCKED_SECONDS = 0.5
# After a pause, what has come meanwhile is read within this time.
_CATCH_UP_SECONDS = 1.0


class LoopLag:
    """Measures by a timer on the running loop, which costs four wake-ups a second."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lag_seconds = 0.0
        self._due = math.inf
        # The last pause.
        self._stood_from = self._stood_until = -math.inf
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

    @property
    def last_look(self) -> float:
        """By the loop's time, when it had surely read all that had come: what it reads now has come since then.

        That is now, unless the loop has just stood still: what it finds then may be as old as the pause.
        """
        now = self._loop.time()
        if now - self._due > _BLOCKED_SECONDS:
            # It moves again, and the timer that tells so has not run yet.
            return self._due - _INTERVAL_SECONDS
        return self._stood_from if now - self._stood_until < _CATCH_UP_SECONDS else now

    def _on_timer(self) -> None:
        now = self._loop.time()
        self._lag_seconds = now - self._due
        if self._lag_seconds > _BLOCKED_SECONDS:
            self._stood_from, self._stood_until = self._due - _INTERVAL_SECONDS, now
        self.start()
