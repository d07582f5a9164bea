"""How long the code of an attempt that has a time limit runs.

Only its code counts, from its first step, or from the moment a thread takes it, to its end: what waits in this worker
for its turn, a place or a thread uses up nothing (CORRECTNESS.md 19). Most attempts have no limit and none of these.
"""

from __future__ import annotations

from collections.abc import Callable


class RunningTime:
    """Of one attempt. Begun and ended by whoever runs its code: the event loop, or a thread of the pool.

    Args:
        limit_ms: How long it may run.
        clock: Seconds, on the scale of the event loop's time.
    """

    __slots__ = ("_began_at", "_clock", "_ended_at", "_limit_seconds")

    def __init__(self, limit_ms: int, clock: Callable[[], float]) -> None:
        self._limit_seconds = limit_ms / 1000
        self._clock = clock
        self._began_at: float | None = None
        self._ended_at: float | None = None

    @property
    def has_begun(self) -> bool:
        return self._began_at is not None

    def begin(self) -> None:
        """Its code is about to run. The first time counts."""
        if self._began_at is None:
            self._began_at = self._clock()

    def end(self) -> None:
        """Its code has run, or nobody waits for it any more. The first time counts."""
        if self._ended_at is None:
            self._ended_at = self._clock()

    @property
    def due(self) -> float | None:
        """When it will be over its limit; None while it has not begun."""
        return None if self._began_at is None else self._began_at + self._limit_seconds

    @property
    def left_seconds(self) -> float:
        """What is left of the limit: all of it while it has not begun."""
        return self._limit_seconds if self._began_at is None else self._began_at + self._limit_seconds - self._clock()

    @property
    def ran_ms(self) -> int:
        """How long it has run, once it has ended."""
        if self._began_at is None or self._ended_at is None:
            return 0
        return max(0, round((self._ended_at - self._began_at) * 1000))
