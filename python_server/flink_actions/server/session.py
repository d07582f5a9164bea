"""One stream between a start of an operator subtask and this worker, after the handshake.

The loop is: decode, dispatch; the answers leave by `Outgoing`, which encodes. Rules:

- Nothing here runs an action: the dispatcher does, in tasks of its own. An action that ran in the task that reads the
  stream would make `asyncio.timeout` and task groups cancel the reading.
- A frame that breaks a rule ends this session with PROTOCOL_ERROR and a log line; the worker and other sessions go on.
- The end of a session is not the end of its work: see `operator_start`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import grpc.aio

from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import Bounced, BounceReason, CallRecord, CancelReason, Invocation, Outcome
from flink_actions.engine.pickled import NO_PICKLES, PickleConsent
from flink_actions.server.credit import Credit, FrameWindow, Grant
from flink_actions.server.errors import ProtocolError
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.operator_start import OperatorStart
from flink_actions.server.outgoing import Outgoing
from flink_actions.server.pickles import open_pickles
from flink_actions.wire.codec import decode_call, decode_invocations, decode_places
from flink_actions.wire.invocations import WireInvocation
from flink_actions.wire.v1 import session_pb2

__all__ = ["Ending", "Session", "SessionLimits"]

_log = logging.getLogger(__name__)

# Longest wait for a peer that does not read what is still to be said when a session ends.
_LAST_WORDS_SECONDS = 5.0
# Outcomes may be larger than the Invokes that the byte credit counts: so much of them is remembered in any case.
_LEAST_UNDELIVERED_BYTES = 1 << 20
# Call records that wait for the rest of their invocation's, of one session; the operator's own limit is far below.
_MOST_CALL_BYTES = 256 << 20
# What one of them takes in this process beside its text, about: many small ones are much, too.
_CALL_BYTES = 400

_CANCEL_REASONS = {
    session_pb2.Cancel.REASON_UNSPECIFIED: CancelReason.SUPERSEDED,
    session_pb2.Cancel.SUPERSEDED: CancelReason.SUPERSEDED,
    # Another's clock has ended it: only this worker's own limit may say that it ran longer than it might.
    session_pb2.Cancel.TIMEOUT: CancelReason.SUPERSEDED,
    session_pb2.Cancel.JOB_CANCELLED: CancelReason.JOB_CANCELLED,
}
_LAST_WORDS = {
    session_pb2.Bye.FINISHED: CancelReason.FINISHED,
    session_pb2.Bye.JOB_CANCELLED: CancelReason.JOB_CANCELLED,
}


class Ending(Enum):
    """How a session came to its end, in the words of the log line."""

    FINISHED = "finished"
    LOST = "connection lost"
    BY_US = "ended by this worker"


@dataclass(frozen=True)
class SessionLimits:
    """What Welcome promised.

    Args:
        grant: Credit from the start.
        frame_window: Frames with Invokes that may be unacknowledged.
        max_received_bytes: Largest frame that the job may send.
        max_sent_bytes: Largest frame that the job takes.
        pickles: Which of job and server allow pickles.
        says_all_resumed: The job says when it has sent all again that an earlier session left open.
    """

    grant: Grant
    frame_window: int
    max_received_bytes: int
    max_sent_bytes: int
    pickles: PickleConsent = NO_PICKLES
    says_all_resumed: bool = False


@dataclass(slots=True)
class _Incomplete:
    """An invocation whose call records are still on their way."""

    invocation: Invocation
    calls: list[CallRecord] = field(default_factory=list)
    size: int = 0


class Session:
    """One stream. `run` returns when it is over; everything happens on the event loop.

    Args:
        stream: The rpc, with frames as bytes.
        start: Whose session it is; attached here, and detached or ended here.
        dispatcher: Runs the invocations.
        lag: What Pong tells.
        limits: See `SessionLimits`.
    """

    def __init__(
        self,
        stream: grpc.aio.ServicerContext,
        start: OperatorStart,
        dispatcher: Dispatcher,
        lag: LoopLag,
        limits: SessionLimits,
    ) -> None:
        self.start = start
        self._stream = stream
        self._dispatcher = dispatcher
        self._lag = lag
        self._limits = limits
        self._credit = Credit(limits.grant, limits.max_received_bytes)
        self._window = FrameWindow(limits.frame_window)
        self._outgoing = Outgoing(
            self._credit,
            self._window,
            max_frame_bytes=limits.max_sent_bytes,
            undelivered_bytes=max(limits.grant.bytes, _LEAST_UNDELIVERED_BYTES),
            on_sent=self._on_sent,
            is_blocked=lambda: lag.is_blocked,
        )
        start.scope.max_frame_bytes = limits.max_sent_bytes
        start.scope.pickles = limits.pickles
        # Invocations whose call records are still on their way.
        self._incomplete: dict[int, _Incomplete] = {}
        self._incomplete_bytes = 0
        self._ending = Ending.LOST
        self._is_draining = False
        self._own_generation: bytes | None = None
        self._is_archive = False
        self._has_got_work = False
        self._silent_checks = 0
        self._loop = asyncio.get_running_loop()
        # The last frame, at the earliest: one that came while this worker stood still was read later.
        self._heard_at = self._loop.time()
        self._has_ended = False
        self._reader: asyncio.Task[None] | None = None
        self._closing: asyncio.Future[None] = self._loop.create_future()

    async def run(self, welcome: session_pb2.Welcome, holdings: Iterable[session_pb2.Holdings] = ()) -> Ending:
        """Say Welcome and what the worker holds for this start, then read and write until either side ends it; the work
        lingers, unless the job said Bye."""
        self.start.attach(self._outgoing, says_all_resumed=self._limits.says_all_resumed)
        reader = self._reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write(welcome, holdings))
        try:
            try:
                await asyncio.wait({reader, writer, self._closing}, return_when=asyncio.FIRST_COMPLETED)
                if self._outgoing.is_closing:
                    await asyncio.wait({writer}, timeout=_LAST_WORDS_SECONDS)
            finally:
                reader.cancel()
                # Here and not later: this also runs when gRPC cancels the rpc because the connection broke.
                self.start.detach(self._outgoing, self._loop.time() - self._heard_at)
            if not self._outgoing.is_closing and not reader.cancelled():
                # The job has ended it and is there. No cancellation in the middle of a write: gRPC ends no rpc while a
                # message of it is under way, and the job would wait for the end.
                self._outgoing.stop()
                await asyncio.wait({writer}, timeout=_LAST_WORDS_SECONDS)
        finally:
            writer.cancel()
        for ended in await asyncio.gather(reader, writer, return_exceptions=True):
            if isinstance(ended, Exception) and not _is_of_broken_stream(ended):
                _log.error("a defect ended the session of %s", self.start.operator, exc_info=ended)
        return self._ending

    async def _read(self) -> None:
        try:
            while (data := await self._stream.read()) is not grpc.aio.EOF and not self._has_ended:
                self._silent_checks = 0
                self._heard_at = max(self._heard_at, self._lag.last_look)
                frame = self._decode(data)
                if frame.received:
                    self._outgoing.on_received(frame.received)
                if frame.cancels:
                    # Before its Invokes: the next attempts at the same work may be among them.
                    cancelled = [handle for cancel in frame.cancels for handle in cancel.handles]
                    self.start.on_cancelled(self._outgoing, cancelled)
                self._dispatch(frame)
                self._obey(frame)
                if self._has_ended:
                    return
        except ProtocolError as error:
            _log.error("the session of %s broke the protocol: %s", self.start.operator, error)
            self.close(session_pb2.Bye.PROTOCOL_ERROR, str(error))

    async def _write(self, welcome: session_pb2.Welcome, holdings: Iterable[session_pb2.Holdings]) -> None:
        await self._stream.write(session_pb2.WorkerFrame(welcome=welcome).SerializeToString())
        for page in holdings:
            await self._outgoing.write_first(self._stream.write, session_pb2.WorkerFrame(holdings=page))
        await self._outgoing.write_all(self._stream.write)

    def _decode(self, data: bytes) -> session_pb2.OperatorFrame:
        if len(data) > self._limits.max_received_bytes:
            raise ProtocolError(
                f"a frame has {len(data)} bytes, max_frame_bytes is {self._limits.max_received_bytes}: send smaller "
                "frames, or start the server with a larger --max-frame-bytes"
            )
        try:
            return session_pb2.OperatorFrame.FromString(data)
        except Exception as error:  # protobuf's DecodeError, whose home differs between its releases
            raise ProtocolError(f"{len(data)} bytes are no OperatorFrame: {error}") from error

    def _dispatch(self, frame: session_pb2.OperatorFrame) -> None:
        if not frame.invokes:
            return
        self._has_got_work = True
        self._window.receive(frame.sequence)
        batch = self._read_invocations(frame)
        for cancel in frame.cancels:
            # They were over for the job before it sent these.
            self._credit.abandon(cancel.handles)
        self._credit.charge(batch)
        self._outgoing.on_invokes(self._credit.used_invocations)
        on_stepped = functools.partial(self._outgoing.acknowledge, frame.sequence)
        if self._limits.pickles.is_given:
            batch, failed = open_pickles(batch, frame.invokes)
            if failed:
                self._outgoing.outbox.put(failed)
        if self.start.held:
            batch = [invocation for invocation in batch if not self._answer_from_held(invocation)]
        if self._is_draining:
            # What runs here already is answered here: elsewhere it must not begin before it has ended.
            running = self.start.scope.open
            self.give_back([invocation.handle for invocation in batch if invocation.handle not in running])
            batch = [] if self.start.has_ended else [one for one in batch if one.handle in running]
        elif self._is_archive:
            self.give_back([invocation.handle for invocation in self.start.scope.answer_from_kept(batch)])
            batch = []
        elif self._own_generation is not None:
            batch = self._give_back_others(batch, frame.invokes)
        if any(message.more_calls for message in frame.invokes):
            # One that is at work here is attached at once: it may end before its records are here, and must not begin
            # anew with them.
            running = self.start.scope.open
            batch = self._set_aside(batch, {one.handle for one in frame.invokes if one.more_calls} - running.keys())
        if batch:
            self._dispatcher.submit(batch, self.start.scope, on_stepped)
        else:
            on_stepped()

    def _read_invocations(self, frame: session_pb2.OperatorFrame) -> list[Invocation]:
        try:
            return decode_invocations(frame)
        except Exception as error:  # whatever it is that a frame can be made to trip over
            raise ProtocolError(f"the Invokes of frame {frame.sequence} cannot be read: {error!r}") from error

    def _set_aside(self, batch: list[Invocation], incomplete: set[int]) -> list[Invocation]:
        """Keep back the invocations whose records follow; give back the others."""
        for invocation in batch:
            if invocation.handle in incomplete:
                # One that comes again brings its records again.
                self._drop_incomplete(invocation.handle)
                self._incomplete[invocation.handle] = _Incomplete(invocation)
        return [invocation for invocation in batch if invocation.handle not in incomplete]

    def _drop_incomplete(self, handle: int) -> bool:
        """Forget one that was set aside; false if it was not."""
        waiting = self._incomplete.pop(handle, None)
        if waiting is not None:
            self._incomplete_bytes -= waiting.size
        return waiting is not None

    def _take_incomplete(self) -> list[Invocation]:
        """All that were set aside: what still comes of their records is dropped from now on."""
        waiting, self._incomplete, self._incomplete_bytes = self._incomplete, {}, 0
        return [one.invocation for one in waiting.values()]

    def _take_calls(self, messages: Iterable[session_pb2.CallRecord]) -> None:
        """Records of invocations that were set aside."""
        for message in messages:
            waiting = self._incomplete.get(message.handle)
            if waiting is None:
                continue  # cancelled or given back meanwhile
            waiting.calls.append(decode_call(message))
            size = _CALL_BYTES + message.ByteSize()
            waiting.size += size
            self._incomplete_bytes += size
            if self._incomplete_bytes > _MOST_CALL_BYTES:
                raise ProtocolError(
                    f"call records that wait for others of their invocation exceed {_MOST_CALL_BYTES >> 20} MiB: an "
                    "action makes too many calls, or their values are too large"
                )
            if message.is_last:
                self._drop_incomplete(message.handle)
                invocation = waiting.invocation
                assert isinstance(invocation, WireInvocation)
                invocation.add_calls(waiting.calls)
                self._dispatcher.submit([invocation], self.start.scope, _nobody_waits)

    def _on_sent(self, sequence: int, outcomes: Sequence[Outcome]) -> None:
        self.start.on_sent(self._outgoing, sequence, outcomes)

    def _answer_from_held(self, invocation: Invocation) -> bool:
        outcome = self.start.held.take(invocation.handle)
        if outcome is not None:
            self._outgoing.outbox.put((outcome,))
        return outcome is not None

    def _obey(self, frame: session_pb2.OperatorFrame) -> None:
        """What frames say besides Invokes; none of it needs credit or window."""
        for cancel in frame.cancels:
            reason = _CANCEL_REASONS.get(cancel.reason, CancelReason.SUPERSEDED)
            for handle in cancel.handles:
                if self._drop_incomplete(handle):
                    self.give_back([handle])
            self._credit.abandon(cancel.handles)
            self._dispatcher.cancel(self.start.scope, cancel.handles, reason)
        for recorded in frame.calls_recorded:
            self.start.scope.calls_recorded(recorded.handle, decode_places(recorded))
        if frame.call_records:
            self._take_calls(frame.call_records)
        if frame.forget_keys:
            self.start.scope.forget_keys(frame.forget_keys)
        if frame.HasField("ping"):
            self._outgoing.pong(self._pong(frame.ping))
        if frame.HasField("checkpoint_completed"):
            self._outgoing.on_received(frame.checkpoint_completed.cut)
            self.start.on_cut(self._outgoing, frame.checkpoint_completed.cut)
        if frame.all_resumed:
            self.start.on_all_resumed(self._outgoing)
        if frame.HasField("hello"):
            raise ProtocolError("Hello came a second time: it opens a session and is never repeated")
        if frame.HasField("bye"):
            self._on_bye(frame.bye)

    def _pong(self, ping: session_pb2.Ping) -> session_pb2.Pong:
        pong = session_pb2.Pong(id=ping.id, loop_lag_us=self._lag.microseconds)
        kept = self.start.scope.kept
        if kept is not None:
            pong.kept_bytes, pong.kept_dropped, pong.kept_missed = kept.size, kept.dropped, kept.missed
        return pong

    def _on_bye(self, bye: session_pb2.Bye) -> None:
        """The job ends the session on purpose: nobody will ask for what is left of it."""
        self._has_ended = True
        self._ending = Ending.FINISHED
        self.start.end(_LAST_WORDS.get(bye.reason, CancelReason.ORPHANED))

    # ---- what the worker decides about it ----

    def drain(self, limit_seconds: float) -> None:
        """Take no Invoke any more and tell the job so; what runs goes on."""
        self._is_draining = True
        # What waits for its records has not begun.
        self.give_back([invocation.handle for invocation in self._take_incomplete()])
        self._outgoing.drain(session_pb2.Drain.SHUTDOWN, limit_seconds)

    def retire(self, own_generation: bytes, limit_seconds: float) -> None:
        """Take only Invokes of runs that began in the worker's generation from now on, and tell the job so."""
        self._own_generation = own_generation
        self._outgoing.drain(session_pb2.Drain.RELOAD, limit_seconds)

    def archive(self) -> None:
        """Answer from kept work alone; give back what is not there, with what is known of its calls."""
        self._is_archive = True
        rest = self.start.scope.answer_from_kept(self._take_incomplete())
        self.give_back([invocation.handle for invocation in rest])

    def has_got_work(self) -> bool:
        """Whether an Invoke has come since this was asked last."""
        has_got_work, self._has_got_work = self._has_got_work, False
        return has_got_work

    def _give_back_others(self, batch: list[Invocation], invokes: Iterable[session_pb2.Invoke]) -> list[Invocation]:
        others = {one.handle for one in invokes if one.run_generation not in (b"", self._own_generation)}
        if not others:
            return batch
        self.give_back([invocation.handle for invocation in batch if invocation.handle in others])
        return [invocation for invocation in batch if invocation.handle not in others]

    def give_back(self, handles: Iterable[int]) -> None:
        """These were not begun, or did not finish in time and have been cancelled: the job may run them elsewhere."""
        self._outgoing.outbox.put([Bounced(handle, BounceReason.DRAINING) for handle in handles])

    def close(self, reason: session_pb2.Bye.Reason, message: str = "") -> None:
        """Say what is queued, then Bye, and end."""
        self._ending = Ending.BY_US
        self._has_ended = True
        self._outgoing.close(reason, message)
        if not self._closing.done():
            # Also while both the reader and the writer wait for a job that neither sends nor reads.
            self._closing.set_result(None)

    def check_silence(self, checks_before_ping: int, checks_before_end: int) -> None:
        """Called regularly: ask a silent job whether it is there, and give up one that does not answer.

        Counts calls instead of seconds, so that a worker whose own event loop stood still does not blame the job.
        """
        if self._has_ended:
            return
        self._silent_checks += 1
        if self._silent_checks % checks_before_ping == 0:
            self._outgoing.ping(self._silent_checks)
        if self._silent_checks >= checks_before_end and self._reader is not None:
            # As if the connection had broken, which it may have: no Bye, and what runs lingers. A job that was only
            # paused comes back and attaches.
            _log.warning("nothing was heard from %s, not even an answer to Ping", self.start.operator)
            self._has_ended = True
            self._reader.cancel()


def _nobody_waits() -> None:
    """The frame of an invocation that waited for its records was acknowledged with the others of its frame."""


def _is_of_broken_stream(error: BaseException) -> bool:
    """gRPC says it in several ways, depending on what was under way when the connection broke."""
    return isinstance(error, (asyncio.CancelledError, grpc.aio.UsageError, grpc.RpcError, grpc.aio.BaseError))
