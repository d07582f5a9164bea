"""The worker's half of a stream: collects what is to be said and says it.

One task writes. It sends what is queued the moment it can, as one frame if it fits, and never waits for more: frames
grow by themselves while the stream is busy with the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import TypeAlias

from flink_actions.engine.invocation import Outcome
from flink_actions.engine.outbox import Outbox
from flink_actions.server.credit import Credit, FrameWindow
from flink_actions.server.undelivered import UndeliveredOutcomes
from flink_actions.wire.codec import encode_outcomes
from flink_actions.wire.v1 import session_pb2

__all__ = ["Outgoing", "Write"]

Write: TypeAlias = Callable[[bytes], Awaitable[None]]

# Encoding this many outcomes takes the event loop for about a millisecond; more would be felt by running actions.
_OUTCOMES_AT_ONCE = 1024


class Outgoing:
    """What is queued for one session, and the task that writes it. Used on the event loop only."""

    def __init__(self, credit: Credit, window: FrameWindow, *, max_frame_bytes: int, undelivered_bytes: int) -> None:
        self._wake = asyncio.Event()
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
        self.outbox = Outbox(self.wake)
        self._undelivered = UndeliveredOutcomes(undelivered_bytes)
        self._being_written: list[Outcome] = []

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

    def pong(self, number: int, loop_lag_us: int) -> None:
        """Answer a Ping; a younger one replaces an answer that has not left yet."""
        self._pong = session_pb2.Pong(id=number, loop_lag_us=loop_lag_us)
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

    @property
    def is_closing(self) -> bool:
        """Whether Bye is on its way."""
        return self._bye is not None

    def not_known_to_be_delivered(self) -> Iterator[Outcome]:
        """Outcomes that the job may not have: sent without proof of arrival, or not sent at all. Empties the outbox."""
        return chain(self._undelivered, self._being_written, self.outbox.drain())

    def on_invokes(self, used_invocations: int) -> None:
        """The job has sent this many Invokes: that tells which frames it has."""
        self._undelivered.on_invokes(used_invocations)

    def on_received(self, sequence: int) -> None:
        """The job has the worker's frames up to this one."""
        self._undelivered.on_received(sequence)

    async def write_all(self, write: Write) -> None:
        """Write frames until Bye has left. The one task of a session that writes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._being_written = self.outbox.drain()
            while self._being_written:
                await self._write_outcomes(write)
            is_last = self._bye is not None and len(self.outbox) == 0
            if is_last or self._has_more_to_say():
                await write(self._finish(session_pb2.WorkerFrame(bye=self._bye if is_last else None)))
            if is_last:
                return

    async def _write_outcomes(self, write: Write) -> None:
        outcomes = self._being_written[:_OUTCOMES_AT_ONCE]
        self.credit.give_back(outcomes)
        serialized = [self._finish(frame) for frame in encode_outcomes(outcomes, self._max_frame_bytes)]
        # Before the first write: a stream that breaks in the middle of it has delivered nothing for sure.
        size = sum([len(data) for data in serialized])
        self._undelivered.add(self._sequence, self._said_invocations, size, outcomes)
        self._being_written = self._being_written[_OUTCOMES_AT_ONCE:]
        for data in serialized:
            await write(data)

    def _has_more_to_say(self) -> bool:
        return (
            self._window.acknowledged != self._said_acknowledged
            or self.credit.granted_invocations != self._said_invocations
            or self._ping is not None
            or self._pong is not None
            or self._drain is not None
        )

    def _finish(self, frame: session_pb2.WorkerFrame) -> bytes:
        """Number the frame and let ride along whatever else there is to say."""
        self._sequence += 1
        frame.sequence = self._sequence
        if self._window.acknowledged != self._said_acknowledged:
            frame.ack = self._said_acknowledged = self._window.acknowledged
        if self.credit.granted_invocations != self._said_invocations:
            frame.credit.invocations = self._said_invocations = self.credit.granted_invocations
            frame.credit.bytes = self.credit.granted_bytes
        if self._ping or self._pong or self._drain:
            frame.MergeFrom(session_pb2.WorkerFrame(ping=self._ping, pong=self._pong, drain=self._drain))
            self._ping = self._pong = self._drain = None
        return frame.SerializeToString()
