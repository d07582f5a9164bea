"""Whose turn it is at the quarantine worker: one start of a subtask at a time, first come, first served.

Who is refused stands in line for as long as it asks again. While somebody stands there, a turn is over after a while:
the session drains, what runs has some time to end, is cancelled if it does not, and its job may ask for another turn.
An action that takes long would never end that way, so who was cut short has twice as much time in the next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import Enum

__all__ = ["TurnStep", "Turns"]

# Times the length of a turn: how long what runs at its end may go on, at first.
_PATIENCE_TURNS = 2
_LONGEST_PATIENCE_SECONDS = 3600.0
# What is cancelled may still take, and goes on doing so if it swallows that.
_LAST_PATIENCE_SECONDS = 5.0
# Jobs ask several times a second.
_FORGOTTEN_AFTER_SECONDS = 5.0
_MOST_REMEMBERED = 64


class TurnStep(Enum):
    """What is to be done about the turn that is under way."""

    GO_ON = "go on"
    DRAIN = "take nothing new"
    CUT_SHORT = "cancel what runs"
    END = "say goodbye"


class Turns:
    """The line, and the turn that is under way.

    Args:
        clock: Seconds.
        turn_seconds: What a turn may take while others wait.
    """

    def __init__(self, clock: Callable[[], float], turn_seconds: float) -> None:
        self._clock = clock
        self._turn_seconds = turn_seconds
        # Who waits, in order → when it asked last.
        self._line: dict[Hashable, float] = {}
        self.holder: Hashable = None
        self._began = 0.0
        self._drains_until: float | None = None
        self._is_cut_short = False
        # Of those that were cut short and have not finished a turn since.
        self._patience_seconds: dict[Hashable, float] = {}
        # Code of an earlier turn goes on although it was cancelled: whoever came next would not be alone.
        self.is_overrun = False

    def is_next(self, who: Hashable) -> bool:
        """Whether nobody else who still asks came before."""
        self._forget_silent()
        return next(iter(self._line), who) == who

    def wait(self, who: Hashable) -> None:
        """It was refused: it keeps its place, or gets the last one."""
        self._line[who] = self._clock()

    def begin(self, who: Hashable) -> None:
        """It has the place now. One that comes back after a lost connection goes on with its turn."""
        self._line.pop(who, None)
        if who != self.holder or self._is_cut_short:
            self.holder = who
            self._began = self._clock()
        self._drains_until = None
        self._is_cut_short = False

    @property
    def patience_seconds(self) -> float:
        """How long what runs may go on when the turn is over."""
        return self._patience_seconds.get(self.holder, _PATIENCE_TURNS * self._turn_seconds)

    def look(self, open_count: int) -> TurnStep:
        """Called regularly while the holder has a session; each step but GO_ON is said once a session.

        Args:
            open_count: Invocations whose code has not ended.
        """
        now = self._clock()
        self._forget_silent()
        if self._drains_until is None:
            if not self._line or now - self._began < self._turn_seconds:
                return TurnStep.GO_ON
            self._drains_until = now + self.patience_seconds
            return TurnStep.DRAIN
        if open_count == 0:
            if not self._is_cut_short:
                self._patience_seconds.pop(self.holder, None)
            self.holder = None
            return TurnStep.END
        if now < self._drains_until + (_LAST_PATIENCE_SECONDS if self._is_cut_short else 0.0):
            return TurnStep.GO_ON
        if self._is_cut_short:
            self.is_overrun = True
            self.holder = None
            return TurnStep.END
        self._is_cut_short = True
        longer = min(2 * self.patience_seconds, _LONGEST_PATIENCE_SECONDS)
        self._patience_seconds.pop(self.holder, None)
        self._patience_seconds[self.holder] = longer
        if len(self._patience_seconds) > _MOST_REMEMBERED:
            del self._patience_seconds[next(iter(self._patience_seconds))]
        return TurnStep.CUT_SHORT

    def _forget_silent(self) -> None:
        horizon = self._clock() - _FORGOTTEN_AFTER_SECONDS
        self._line = {who: asked for who, asked in self._line.items() if asked >= horizon}
