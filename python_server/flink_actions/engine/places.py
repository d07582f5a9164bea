"""How many attempts at one action may be at work in this worker at a time, and who waits for that: first come, first
served."""

from __future__ import annotations

from collections import OrderedDict

from flink_actions.engine.attempt import Attempt


class Places:
    """The places of an action that has a limit.

    Args:
        count: Most attempts at a time.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        # Bounded by the credit that the worker gives.
        self._waiting: OrderedDict[Attempt, None] = OrderedDict()

    def take(self, attempt: Attempt) -> bool:
        """Give it a place; false if none is free: then it waits until it is what `leave` gives back."""
        if not self._free:
            self._waiting[attempt] = None
            return False
        self._free -= 1
        attempt.has_place = True
        return True

    def leave(self, attempt: Attempt) -> Attempt | None:
        """It is over, or need not wait any more; gives back who has its place now."""
        if not attempt.has_place:
            self._waiting.pop(attempt, None)
            return None
        attempt.has_place = False
        if not self._waiting:
            self._free += 1
            return None
        following, _ = self._waiting.popitem(last=False)
        following.has_place = True
        return following
