"""The worker's half of a stream: collects what is to be said and says it.

One task writes. It sends what is queued the moment it can, as one frame if it fits, and never waits for more: frames
grow by themselves while the stream is busy with the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from flink_actions.engine.invocation import CallNote, Outcome
from flink_actions.engine.outbox import Outbox
from flink_actions.server.credit import Credit, FrameWindow
from flink_actions.server.undelivered import UndeliveredOutcomes
from flink_actions.wire.codec import encode_notes, encode_outcomes
from flink_actions.wire.v1 import session_pb2

__all__ = ["Outgoing", "Write"]

Write: TypeAlias = Callable[[bytes], Awaitable[None]]

# Encoding this many outcomes takes the event loop for about a millisecond; more would be felt by running actions.
_OUTCOMES_AT_ONCE = 1024
_LOOK_AGAIN_SECONDS = 0.3
# Notes of durable calls up to this size ride in the frame of the outcomes that come after them: a frame costs as much
# as some fifty of either.
_NOTES_WITH_OUTCOMES_BYTES = 16 * 1024


class Outgoing:
    """What is queued for one session, and the task that writes it. Used on the event loop only.

    Args:
        credit: What the job may have open.
        window: Which of its frames have arrived.
        max_frame_bytes: Largest frame that it takes.
        undelivered_bytes: Most bytes of outcomes remembered while it may not have them.
        on_sent: Called when outcomes leave, with the number of the last frame.
        is_blocked: Tells whether the event loop is held up: then no credit is given, until it moves again.
    """

    def __init__(
        self,
        credit: Credit,
        window: FrameWindow,
        *,
        max_frame_bytes: int,
        undelivered_bytes: int,
        on_sent: Callable[[int, Sequence[Outcome]], None] | None = None,
        is_blocked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_blocked = is_blocked
        self._looks_again: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._on_sent = on_sent
        self.credit = credit
        self._window = window
        self._max_frame_bytes = max_frame_bytes
        self._sequence = 0
        self._said_acknowledged = 0
        self._said_invocations = credit.granted_invocations
        self._ping: session_pb2.Ping | None = None
        self._pong: session_pb2.Pong | None = None
        self._drain: session_pb2.Drain | None = None
        self._bye: session_pb2.Bye | None = None
        self._is_stopped = False
        self.outbox = Outbox(self.wake)
        self._undelivered = UndeliveredOutcomes(undelivered_bytes)
        self._being_written: list[Outcome] = []
        # Handles of outcomes that are still to leave, and that the job will not apply.
        self._renounced: set[int] = set()
        self._notes_frame: session_pb2.WorkerFrame | None = None

    def wake(self) -> None:
        """There is something to write."""
        self._wake.set()

    def acknowledge(self, sequence: int) -> None:
        """Each action of the job's frame `sequence` has been stepped once."""
        self._window.step(sequence)
        self._wake.set()

    def ping(self, number: int) -> None:
        """Ask whether the job is still there."""
        self._ping = session_pb2.Ping(id=number)
        self._wake.set()

    def pong(self, pong: session_pb2.Pong) -> None:
        """Answer a Ping; a younger one replaces an answer that has not left yet."""
        self._pong = pong
        self._wake.set()

    def drain(self, reason: session_pb2.Drain.Reason, limit_seconds: float) -> None:
        """Ask the job for no more work."""
        self._drain = session_pb2.Drain(reason=reason, limit_ms=int(limit_seconds * 1000))
        self._wake.set()

    def close(self, reason: session_pb2.Bye.Reason, message: str = "") -> None:
        """Say what is queued, then Bye; `write_all` returns after that. The first reason given stands."""
        if self._bye is None:
            self._bye = session_pb2.Bye(reason=reason, message=message)
            self._wake.set()

    def stop(self) -> None:
        """Say nothing more, Bye neither; `write_all` returns when the write that is under way has ended."""
        self._is_stopped = True
        self._wake.set()

    @property
    def is_closing(self) -> bool:
        """Whether Bye is on its way."""
        return self._bye is not None

    @property
    def undelivered(self) -> UndeliveredOutcomes:
        """Outcomes that have left and that the job is not known to have."""
        return self._undelivered

    @property
    def unsent(self) -> Iterator[Outcome]:
        """Outcomes that wait to leave."""
        return chain(self._being_written, self.outbox.waiting)

    def take_unsent(self) -> list[Outcome]:
        """The same. Empties the outbox."""
        return [*self._being_written, *self.outbox.drain()]

    def renounce(self, handles: Iterable[int]) -> list[Outcome]:
        """The job will not apply these: gives back what is still to leave under them, which `on_sent` is not told."""
        wanted = set(handles)
        waiting = [outcome for outcome in self.unsent if outcome.handle in wanted]
        self._renounced.update(one.handle for one in waiting)
        return waiting

    def on_invokes(self, used_invocations: int) -> None:
        """The job has sent this many Invokes: that tells which frames it has."""
        self._undelivered.on_invokes(used_invocations)

    def on_received(self, sequence: int) -> None:
        """The job has the worker's frames up to this one."""
        self._undelivered.on_received(sequence)

    async def write_first(self, write: Write, frame: session_pb2.WorkerFrame) -> None:
        """Write a frame of the session's beginning, before anything that is queued."""
        await write(self._finish(frame))

    async def write_all(self, write: Write) -> None:
        """Write frames until Bye has left, or `stop`. The one task of a session that writes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._is_stopped:
                return
            # Notes before the outcomes of the same moment: a failure may drop what a note has recorded.
            notes = self.outbox.drain_notes()
            self._being_written = self.outbox.drain()
            if notes:
                await self._write_notes(write, notes)
            while self._being_written and not self._is_stopped:
                await self._write_outcomes(write)
            if self._is_stopped:
                return
            is_last = self._bye is not None and len(self.outbox) == 0
            if is_last or self._has_more_to_say():
                await write(self._finish(session_pb2.WorkerFrame(bye=self._bye if is_last else None)))
            if is_last:
                return

    async def _write_notes(self, write: Write, notes: list[CallNote]) -> None:
        # What is lost here with the stream is said again on the next one: the attempt knows what is unacknowledged.
        frames = encode_notes(notes, self._max_frame_bytes)
        if self._being_written:
            # The last of them rides with the first outcomes if both fit.
            self._notes_frame = frames.pop() if frames[-1].ByteSize() < _NOTES_WITH_OUTCOMES_BYTES else None
        for frame in frames:
            await write(self._finish(frame))

    async def _write_outcomes(self, write: Write) -> None:
        outcomes = self._being_written[:_OUTCOMES_AT_ONCE]
        self.credit.give_back(outcomes)
        frames = encode_outcomes(outcomes, self._max_frame_bytes)
        notes, self._notes_frame = self._notes_frame, None
        if notes is not None:
            if frames[0].ByteSize() + _NOTES_WITH_OUTCOMES_BYTES < self._max_frame_bytes:
                frames[0].MergeFrom(notes)
            else:
                frames.insert(0, notes)
        serialized = [self._finish(frame) for frame in frames]
        # Before the first write: a stream that breaks in the middle of it has delivered nothing for sure.
        size = sum([len(data) for data in serialized])
        self._undelivered.add(self._sequence, self._said_invocations, size, outcomes)
        if self._on_sent is not None:
            self._on_sent(self._sequence, self._without_renounced(outcomes))
        self._being_written = self._being_written[_OUTCOMES_AT_ONCE:]
        for data in serialized:
            await write(data)

    def _without_renounced(self, outcomes: list[Outcome]) -> list[Outcome]:
        if not self._renounced:
            return outcomes
        rest = [outcome for outcome in outcomes if outcome.handle not in self._renounced]
        self._renounced.difference_update([outcome.handle for outcome in outcomes])
        return rest

    def _has_more_to_say(self) -> bool:
        return (
            self._window.acknowledged != self._said_acknowledged
            or self._has_credit_to_give()
            or self._ping is not None
            or self._pong is not None
            or self._drain is not None
        )

    def _has_credit_to_give(self) -> bool:
        if self.credit.granted_invocations == self._said_invocations:
            return False
        if not self._is_blocked():
            return True
        # Whatever blocked the loop would meet more of its kind. Looked at again when the lag was measured anew.
        if self._looks_again is None or self._looks_again.when() <= asyncio.get_running_loop().time():
            self._looks_again = asyncio.get_running_loop().call_later(_LOOK_AGAIN_SECONDS, self.wake)
        return False

    def _finish(self, frame: session_pb2.WorkerFrame) -> bytes:
        """Number the frame and let ride along whatever else there is to say."""
        self._sequence += 1
        frame.sequence = self._sequence
        if self._window.acknowledged != self._said_acknowledged:
            frame.ack = self._said_acknowledged = self._window.acknowledged
        if self._has_credit_to_give():
            frame.credit.invocations = self._said_invocations = self.credit.granted_invocations
            frame.credit.bytes = self.credit.granted_bytes
        if self._ping or self._pong or self._drain:
            frame.MergeFrom(session_pb2.WorkerFrame(ping=self._ping, pong=self._pong, drain=self._drain))
            self._ping = self._pong = self._drain = None
        return frame.SerializeToString()
