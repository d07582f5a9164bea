"""Outcomes that wait for their Invoke to be sent again, and so keep an invocation from running twice.

When a session breaks, the job sends every Invoke that it has open once more, on the next session. Until it has done so
the worker cannot know which outcomes the job has. So an outcome is held, whether it had left with the broken session,
came while there was none, or came on the new session before its Invoke did: an outcome that was let go in that moment
would cross its own Invoke, which would then look new.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace

from flink_actions.engine.invocation import CallNote, Failed, Outcome, Succeeded
from flink_actions.engine.outbox import Outbox

__all__ = ["HeldOutcomes", "HoldingOutbox"]


class HeldOutcomes:
    """By handle, within one start. Bounded by what was open when sessions broke; emptied when the job had its time."""

    def __init__(self) -> None:
        self._outcomes: dict[int, Outcome] = {}
        # Handles of those that had left with a session.
        self._sent: set[int] = set()
        self._is_holding = False

    def __len__(self) -> int:
        return len(self._outcomes)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Hold what an action came to. What undid an Invoke is not worth holding: sent again, it is looked at anew."""
        if self._is_holding:
            self._outcomes.update((one.handle, one) for one in outcomes if isinstance(one, (Succeeded, Failed)))

    def add_sent(self, outcomes: Sequence[Outcome]) -> None:
        """Hold what has left with the session that has broken: it may have arrived."""
        self.add(outcomes)
        self._sent.update(one.handle for one in outcomes if one.handle in self._outcomes)

    @property
    def outcomes(self) -> list[Outcome]:
        """What is held."""
        return list(self._outcomes.values())

    @property
    def sent(self) -> list[Outcome]:
        """What of it had left."""
        return [outcome for handle, outcome in self._outcomes.items() if handle in self._sent]

    @property
    def unsent(self) -> list[Outcome]:
        """What of it never left."""
        return [outcome for handle, outcome in self._outcomes.items() if handle not in self._sent]

    def take(self, handle: int) -> Outcome | None:
        """The outcome of an Invoke that was sent again; it leaves with the session that asked."""
        self._sent.discard(handle)
        outcome = self._outcomes.pop(handle, None)
        if isinstance(outcome, Failed):
            # What its attempt said of its calls may have been lost with an earlier session, and nobody says it again.
            return replace(outcome, invocation_id=b"")
        return outcome

    def begin(self) -> None:
        """A session has broken: from now on outcomes may be asked for again."""
        self._is_holding = True

    def end(self) -> None:
        """Nobody will ask for what is left or is still to come of it: the job had it, or has given up on it."""
        self._is_holding = False
        self._outcomes.clear()
        self._sent.clear()


class HoldingOutbox(Outbox):
    """Lets pass the outcomes of Invokes that came with this session, and holds all others.

    Args:
        wake: See `Outbox`.
        held: Where the others go.
        claimed: Handles of the Invokes that came with this session and have no outcome yet.
    """

    __slots__ = ("_claimed", "_held")

    def __init__(self, wake: Callable[[], None], held: HeldOutcomes, claimed: Container[int]) -> None:
        super().__init__(wake)
        self._held = held
        self._claimed = claimed

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Queue the outcomes whose Invoke came with this session; hold the others."""
        claimed: list[Outcome] = []
        others: list[Outcome] = []
        for outcome in outcomes:
            (claimed if outcome.handle in self._claimed else others).append(outcome)
        self._held.add(others)
        if claimed:
            super().put(claimed)

    def put_note(self, note: CallNote) -> None:
        """Queue what is said of an Invoke that came with this session; of others it is said again when they come."""
        if note.handle in self._claimed:
            super().put_note(note)
