"""Where a session collects what its invocations came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flink_actions.engine.invocation import CallNote, Outcome


class Outbox:
    """Outcomes on their way to one session. Lives on the event loop's thread; bounded by what is open.

    Args:
        wake: Called when an outcome is put into the empty box, once until it is drained: wake the writer. Must not
            block.
    """

    __slots__ = ("_is_awake", "_notes", "_outcomes", "_wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._outcomes: list[Outcome] = []
        self._notes: list[CallNote] = []
        self._is_awake = False

    def __len__(self) -> int:
        return len(self._outcomes)

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes and wake the writer if it sleeps."""
        self._outcomes.extend(outcomes)
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    def put_note(self, note: CallNote) -> None:
        """Add what an attempt says about a durable call, and wake the writer if it sleeps."""
        self._notes.append(note)
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    def drain_notes(self) -> list[CallNote]:
        """All notes since the last time, oldest first. To be sent before the outcomes drained in the same moment: a
        failure may say what becomes of them."""
        notes, self._notes = self._notes, []
        return notes

    @property
    def waiting(self) -> Sequence[Outcome]:
        """Outcomes that `drain` would give now."""
        return self._outcomes

    def drain(self) -> list[Outcome]:
        """All outcomes since the last time, oldest first. The next one wakes again."""
        outcomes, self._outcomes, self._is_awake = self._outcomes, [], False
        return outcomes
