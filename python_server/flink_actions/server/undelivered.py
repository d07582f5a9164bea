"""Outcomes that have left the worker and may not have reached the job.

A job says with the frames that it sends anyway which of the worker's have arrived. One that does not say it (the
field is optional) proves it: it can only send as many Invokes as it was granted, and grants ride on the frames that
carry outcomes. So when the C-th Invoke arrives, every frame whose grant was below C has been received. What is left
is bounded by the credit. When the session breaks, these outcomes go back to the start's scope, which answers from
them when the same Invokes come again: nothing is lost and nothing runs twice.

To know it early is worth having: 16,384 outcomes that live a moment too long cost a busy worker with memory a quarter
of its time, in cold caches and the garbage collector's rounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from flink_actions.engine.invocation import Outcome

__all__ = ["UndeliveredOutcomes"]


@dataclass(frozen=True, slots=True)
class _SentFrame:
    sequence: int
    granted_invocations: int
    size: int
    outcomes: Sequence[Outcome]


class UndeliveredOutcomes:
    """What one session has sent and the job is not known to have. Used on the event loop only.

    Args:
        limit_bytes: Most bytes that are remembered; beyond it the oldest go, and only the numbers of their frames stay:
            without kept work they would run again after a broken session.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # Those beyond the bound without their outcomes, and then those with them: oldest first.
        self._emptied: deque[_SentFrame] = deque()
        self._frames: deque[_SentFrame] = deque()
        self._bytes = 0

    def add(self, sequence: int, granted_invocations: int, size: int, outcomes: Sequence[Outcome]) -> None:
        """A frame is about to leave, with this grant on it or on a later one."""
        self._frames.append(_SentFrame(sequence, granted_invocations, size, outcomes))
        self._bytes += size
        while self._bytes > self._limit_bytes and len(self._frames) > 1:
            self._emptied.append(replace(self._frames[0], size=0, outcomes=()))
            self._drop_oldest(self._frames)

    def on_invokes(self, used_invocations: int) -> None:
        """The job has sent this many Invokes since Welcome."""
        for frames in (self._emptied, self._frames):
            while frames and frames[0].granted_invocations < used_invocations:
                self._drop_oldest(frames)

    def on_received(self, sequence: int) -> None:
        """The job has the frames up to this one: it said so, or a completed checkpoint covers them."""
        for frames in (self._emptied, self._frames):
            while frames and frames[0].sequence <= sequence:
                self._drop_oldest(frames)

    @property
    def first_sequence(self) -> int | None:
        """Number of the first frame that the job is not known to have; none: it has all."""
        oldest = self._emptied or self._frames
        return oldest[0].sequence if oldest else None

    def __iter__(self) -> Iterator[Outcome]:
        return chain.from_iterable(frame.outcomes for frame in self._frames)

    def _drop_oldest(self, frames: deque[_SentFrame]) -> None:
        self._bytes -= frames.popleft().size
