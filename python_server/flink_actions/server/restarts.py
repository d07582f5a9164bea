"""How soon a worker that has died is replaced, and when that is a loop that health checks have to show.

Counted are the deaths in a slot, one after the other, of workers that had not served for long. Which worker is alive at
a moment says nothing: in a loop there is one every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Restarts", "backoff_seconds"]

_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 10.0
# A worker that has served for this long before it died is replaced at once. Of those that die younger the first is too:
# it takes two to make a loop.
_STABLE_SECONDS = 10.0
# So many young deaths, of all slots together, are one.
_LOOP_DEATHS = 5


class Restarts:
    """Of one crew."""

    def __init__(self) -> None:
        # Slot → workers that have died young there since the last one that did not.
        self._young_deaths: dict[str, int] = {}

    def on_death(self, slot: str, served_seconds: float) -> float:
        """A worker has died that had served for so long; says how many seconds its successor has to wait."""
        is_young = served_seconds < _STABLE_SECONDS
        self._young_deaths[slot] = self._young_deaths.get(slot, 0) + 1 if is_young else 0
        return backoff_seconds(self._young_deaths[slot])

    def is_loop(self, served_seconds: Mapping[str, float]) -> bool:
        """Whether workers die young again and again.

        Args:
            served_seconds: Of the workers that live, by slot: a slot whose worker has served for long is over it.
        """
        unstable = [slot for slot in self._young_deaths if served_seconds.get(slot, 0.0) < _STABLE_SECONDS]
        return sum(self._young_deaths[slot] for slot in unstable) >= _LOOP_DEATHS


def backoff_seconds(deaths: int) -> float:
    """How long to wait after so many failures in a row."""
    if deaths <= 1:
        return 0.0
    return float(min(_FIRST_BACKOFF_SECONDS * 2 ** (deaths - 2), _LONGEST_BACKOFF_SECONDS))
