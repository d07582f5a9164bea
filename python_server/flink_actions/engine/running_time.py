"""How long the code of an attempt that has a time limit runs.

Only its code counts, from its first step, or from the moment a thread takes it, to its end: what waits in this worker
for its turn, a place or a thread, or for the permit of a resource, uses up nothing (CORRECTNESS.md 19). Most attempts
have no limit and none of these.
"""

from __future__ import annotations

from collections.abc import Callable


class RunningTime:
    """Of one attempt. Begun and ended by whoever runs its code: the event loop, or a thread of the pool. Its waits are
    noted on the event loop's thread.

    Args:
        limit_ms: How long it may run.
        clock: Seconds, on the scale of the event loop's time.
    """

    __slots__ = ("_began_at", "_clock", "_ended_at", "_limit_seconds", "_still_since", "_stood_still", "_waits")

    def __init__(self, limit_ms: int, clock: Callable[[], float]) -> None:
        self._limit_seconds = limit_ms / 1000
        self._clock = clock
        self._began_at: float | None = None
        self._ended_at: float | None = None
        # Of its tasks, those that wait now.
        self._waits = 0
        self._still_since = 0.0
        self._stood_still = 0.0

    @property
    def stands_still(self) -> bool:
        """Nothing counts: it has not begun, or waits."""
        return self._began_at is None or self._waits > 0

    def begin(self) -> None:
        """Its code is about to run. The first time counts."""
        if self._began_at is None:
            self._began_at = self._clock()

    def end(self) -> None:
        """Its code has run, or nobody waits for it any more. The first time counts."""
        if self._ended_at is None:
            self._ended_at = self._clock()

    def begin_wait(self) -> None:
        """One of its tasks or threads waits for what is no fault of its code."""
        self._waits += 1
        if self._waits == 1:
            self._still_since = self._clock()

    def end_wait(self) -> None:
        """It waits no more."""
        self._waits -= 1
        if not self._waits and self._ended_at is None:
            self._stood_still += self._clock() - self._still_since

    @property
    def due(self) -> float | None:
        """When it will be over its limit, if it does not wait again; None while it has not begun."""
        return None if self._began_at is None else self._due_at(self._clock())

    @property
    def left_seconds(self) -> float:
        """What is left of the limit: all of it while it has not begun."""
        if self._began_at is None:
            return self._limit_seconds
        now = self._clock()
        # In this order: a timer that was set for what is left must find nothing left when it is due.
        return self._due_at(now) - now

    @property
    def ran_ms(self) -> int:
        """How long it has run, once it has ended."""
        if self._began_at is None or self._ended_at is None:
            return 0
        return max(0, round((self._ended_at - self._began_at - self._stood_still_until(self._ended_at)) * 1000))

    def _due_at(self, now: float) -> float:
        assert self._began_at is not None
        return self._began_at + self._limit_seconds + self._stood_still_until(now)

    def _stood_still_until(self, now: float) -> float:
        return self._stood_still + (now - self._still_since if self._waits else 0.0)
