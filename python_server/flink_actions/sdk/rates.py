"""Rates: how often a worker may use a resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one worker may use a resource: `limit` times every `per` seconds, evenly spaced. N workers use it N
    times as often.

    A rate counts permits, and who uses the resource has to ask for one each time: `await self.permit_async()` in the
    methods of the resource that do something, or `self.permit()` in those that run in threads. A tool asks by itself
    whenever it is called. Who asks for more than there are waits, first come, first served.

    Args:
        limit: Uses in `per` seconds, from one a day to a million a second.
        per: Seconds.
        burst: How many uses at once after a pause. What is unused is kept up to here, and in no span of `per` seconds
            are there more than `limit` + `burst`. None: 1, or what 10 ms bring if that is more, because timers are no
            finer.

    Example:
        >>> Rate(600, per=60, burst=20)
        Rate(limit=600, per=60, burst=20)
    """

    limit: float
    per: float = 1.0
    burst: int | None = None


class Permits(Protocol):
    """Whoever gives a resource's permits."""

    def take(self) -> None: ...

    async def take_async(self) -> None: ...
