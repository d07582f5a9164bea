"""Credit and window: what a session may have open, and proof that it keeps to it.

Grants are totals since Welcome, so that saying one twice does no harm, and a lost one is made good by the next. An
invocation gives back what it took when its outcome leaves, with whatever frame leaves then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flink_actions.engine.invocation import Invocation, Outcome
from flink_actions.server.errors import ProtocolError

__all__ = ["Credit", "FrameWindow", "Grant"]

# Cancelled and not ended yet, of one session: beyond it (or the grant, if that is more) no Invoke may be sent for them.
_MOST_ABANDONED = 1024


@dataclass(frozen=True)
class Grant:
    """Totals since Welcome."""

    invocations: int
    bytes: int


class Credit:
    """What one session was granted and what it used. Used on the event loop only.

    Args:
        limit: Granted with Welcome.
        bytes_slack: One Invoke may be sent when none is open, however large: so much may be used beyond the grant.
    """

    __slots__ = (
        "_abandoned",
        "_bytes_slack",
        "_most_abandoned",
        "charged",
        "granted_bytes",
        "granted_invocations",
        "used_bytes",
        "used_invocations",
    )

    def __init__(self, limit: Grant, bytes_slack: int) -> None:
        self._bytes_slack = bytes_slack
        # Handles of `charged` that the job has cancelled: for it they are over, whatever their code does.
        self._abandoned: set[int] = set()
        self._most_abandoned = max(limit.invocations, _MOST_ABANDONED)
        self.granted_invocations = limit.invocations
        self.granted_bytes = limit.bytes
        self.used_invocations = 0
        self.used_bytes = 0
        # Handle → bytes, of the Invokes that came with this session and have no outcome yet. An invocation that began
        # in an earlier session costs what it was charged in this one, and nothing before it has been sent again.
        self.charged: dict[int, int] = {}

    def charge(self, batch: Sequence[Invocation]) -> None:
        """Take the credit of a frame that has arrived; raise `ProtocolError` if it was never granted."""
        charged = self.charged
        before = len(charged)
        size = 0
        for invocation in batch:
            handle, cost = invocation.handle, invocation.cost_bytes
            charged[handle] = charged.get(handle, 0) + cost
            size += cost
        # A handle that is open and comes again has one outcome, which gives back the bytes of both.
        self.granted_invocations += before + len(batch) - len(charged)
        self.used_invocations += len(batch)
        self.used_bytes += size
        if self.used_invocations > self.granted_invocations and not self._is_only_one_open(batch):
            raise ProtocolError(
                f"{self.used_invocations} Invokes were sent, {self.granted_invocations} were granted: wait for Credit"
            )
        if self.used_bytes > self.granted_bytes + self._bytes_slack and not self._is_only_one_open(batch):
            raise ProtocolError(
                f"{self.used_bytes} bytes of Invokes were sent, {self.granted_bytes} were granted: wait for Credit"
            )

    def abandon(self, handles: Iterable[int]) -> None:
        """The job has cancelled these: for it they are not open any more, and it may go on with one that is none."""
        self._abandoned = {handle for handle in (*self._abandoned, *handles) if handle in self.charged}

    def _is_only_one_open(self, batch: Sequence[Invocation]) -> bool:
        """Whether the job had nothing open when it sent this: then one Invoke may be sent, credit or none."""
        abandoned = self._abandoned & self.charged.keys()
        is_alone = len(batch) == 1 and len(self.charged) == len(abandoned) + 1
        return is_alone and len(abandoned) <= self._most_abandoned

    def give_back(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes are about to leave: what their Invokes took may be taken again."""
        pop = self.charged.pop
        returned = [pop(outcome.handle, None) for outcome in outcomes]
        sizes = [size for size in returned if size is not None]
        self.granted_invocations += len(sizes)
        self.granted_bytes += sum(sizes)


class FrameWindow:
    """Which frames with Invokes have arrived, and up to which one all have been stepped."""

    __slots__ = ("_limit", "_received", "_stepped_ahead", "acknowledged")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._stepped_ahead: set[int] = set()
        self.acknowledged = 0

    def receive(self, sequence: int) -> None:
        """A frame with Invokes has arrived; raise `ProtocolError` if it is not the next one or exceeds the window."""
        if sequence != self._received + 1:
            raise ProtocolError(
                f"a frame with Invokes has sequence {sequence}, the last one had {self._received}: they are numbered "
                "from 1 without gaps"
            )
        if sequence - self.acknowledged > self._limit:
            raise ProtocolError(
                f"frame {sequence} was sent while {self.acknowledged} was the last one acknowledged: at most "
                f"{self._limit} may be under way"
            )
        self._received = sequence

    def step(self, sequence: int) -> None:
        """Each action of the frame has been stepped once; frames may get there in another order."""
        self._stepped_ahead.add(sequence)
        while self.acknowledged + 1 in self._stepped_ahead:
            self.acknowledged += 1
            self._stepped_ahead.remove(self.acknowledged)
