"""Results that have left and that the job has not applied: no cut covers them, and the next attempt is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from flink_actions.engine.invocation import (
    CancelReason,
    Failed,
    FailureKind,
    HandedBack,
    LocalInvocation,
    Measured,
    Succeeded,
)
from flink_actions.server.credit import Credit, FrameWindow, Grant
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.outgoing import Outgoing
from flink_actions.server.session import Session, SessionLimits
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.unit.server.test_operator_start import LINGER_SECONDS, Rig


class KeepingRig(Rig):
    """Its job takes checkpoints, and its sessions number what they write."""

    def __init__(self) -> None:
        super().__init__()
        self.start.scope = self.dispatcher.open_scope(
            self.plan, namespace="namespace", operator_uid="operator", keeps_work=True
        )
        self.frames: list[session_pb2.WorkerFrame] = []
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writer: asyncio.Task[None] | None = None
        self.undelivered_bytes = 1 << 20

    async def _write(self, data: bytes) -> None:
        await self.may_write.wait()
        self.frames.append(session_pb2.WorkerFrame.FromString(data))

    def session(self, *, says_all_resumed: bool = True) -> Outgoing:
        def keep(sequence: int, outcomes: Any) -> None:
            self.start.on_sent(outgoing, sequence, outcomes)

        credit = Credit(Grant(1000, 1 << 20), bytes_slack=0)
        outgoing = Outgoing(
            credit,
            FrameWindow(2),
            max_frame_bytes=1 << 20,
            undelivered_bytes=self.undelivered_bytes,
            on_sent=keep,
        )
        self.start.attach(outgoing, says_all_resumed=says_all_resumed)
        self.writer = asyncio.create_task(outgoing.write_all(self._write))
        return outgoing

    async def breaks(self, outgoing: Outgoing) -> None:
        self.start.detach(outgoing)
        assert self.writer is not None
        self.writer.cancel()
        await asyncio.sleep(0)

    def send_again(self, outgoing: Outgoing, seconds: int, *, handle: int) -> None:
        """Another attempt at work that was sent before."""
        name = str(seconds).encode()
        one = LocalInvocation(handle, 0, bytes([seconds]) * 16, "_input_event", name, key=name, attempt=2)
        outgoing.credit.charge([one])
        self.dispatcher.submit([one], self.start.scope, lambda: None)

    def asked_by_the_next_start(self, seconds: int) -> Measured | None:
        """What answers it."""
        kept = self.start.scope.kept
        assert kept is not None
        name = str(seconds).encode()
        return kept.hand_back(LocalInvocation(500, 0, bytes([seconds]) * 16, "_input_event", name, key=name))

    @property
    def keeps_nothing(self) -> bool:
        kept = self.start.scope.kept
        assert kept is not None
        return kept.is_empty and kept.size == 0

    @property
    def answered(self) -> list[int]:
        return [handle for frame in self.frames for handle in frame.results.handle]


def run(scenario: Callable[[KeepingRig], Coroutine[Any, Any, None]]) -> None:
    async def in_rig() -> None:
        rig = KeepingRig()
        try:
            await scenario(rig)
        finally:
            if rig.writer is not None:
                rig.writer.cancel()

    run_with_fake_clock(in_rig())


async def sent(rig: KeepingRig, outgoing: Outgoing) -> int:
    """The Result of 1 has left; number of its frame."""
    rig.send(outgoing, 1)
    await asyncio.sleep(2)
    assert rig.answered == [1]
    return rig.frames[-1].sequence


def test_a_cut_of_the_next_session_does_not_cover_what_may_never_have_arrived() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await sent(rig, first)
        await rig.breaks(first)
        second = rig.session()
        rig.start.on_cut(second, 1)
        rig.send(second, 1)
        rig.start.on_all_resumed(second)
        await asyncio.sleep(2)
        assert rig.answered == [1, 1]
        assert rig.begun == [1]

    run(scenario)


def test_nor_does_it_cover_what_was_too_much_to_be_remembered_by_the_session_that_broke() -> None:
    async def scenario(rig: KeepingRig) -> None:
        rig.undelivered_bytes = 1
        first = rig.session()
        for seconds in (1, 2):
            rig.send(first, seconds)
            await asyncio.sleep(3)
        assert [outcome.handle for outcome in first.undelivered] == [2]
        await rig.breaks(first)
        second = rig.session()
        rig.start.on_cut(second, 1)
        rig.send(second, 1, 2)
        await asyncio.sleep(3)
        assert rig.answered == [1, 2, 1, 2]
        assert rig.begun == [1, 2]

    run(scenario)


def test_what_had_left_and_is_not_asked_for_was_applied_and_goes_with_the_next_cut() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await sent(rig, first)
        await rig.breaks(first)
        second = rig.session()
        rig.start.on_all_resumed(second)
        assert not rig.keeps_nothing
        rig.send(second, 2)
        await asyncio.sleep(3)
        rig.start.on_cut(second, 1)
        assert rig.keeps_nothing

    run(scenario)


def test_until_it_has_gone_it_answers_the_next_start_and_was_counted() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await sent(rig, first)
        await rig.breaks(first)
        rig.start.on_all_resumed(rig.session())
        rig.start.end(CancelReason.SUPERSEDED)
        assert isinstance(rig.asked_by_the_next_start(1), HandedBack)

    run(scenario)


def test_of_who_does_not_say_when_all_is_resumed_nothing_is_taken_for_applied() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await sent(rig, first)
        await rig.breaks(first)
        second = rig.session(says_all_resumed=False)
        await asyncio.sleep(LINGER_SECONDS + 1)
        rig.start.on_cut(second, 1)
        rig.send_again(second, 1, handle=101)
        await asyncio.sleep(2)
        assert rig.answered == [1, 101]
        assert rig.begun == [1]

    run(scenario)


def test_what_the_next_start_asks_for_was_counted_if_it_is_known_to_have_arrived() -> None:
    async def scenario(rig: KeepingRig) -> None:
        outgoing = rig.session()
        outgoing.on_received(await sent(rig, outgoing))
        rig.send(outgoing, 2)
        await asyncio.sleep(3)
        rig.start.end(CancelReason.SUPERSEDED)
        assert isinstance(rig.asked_by_the_next_start(1), HandedBack)
        assert not isinstance(rig.asked_by_the_next_start(2), HandedBack)
        assert rig.begun == [1, 2]

    run(scenario)


def test_a_failure_that_is_said_again_does_not_vouch_for_calls_that_were_said_before() -> None:
    """Their records may have been lost with the session that broke."""

    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await rig.breaks(first)
        rig.start.held.add([Failed(1, FailureKind.BUG, "", "", invocation_id=b"1" * 16, attempt=1)])
        outcome = rig.start.held.take(1)
        assert isinstance(outcome, Failed)
        assert not outcome.invocation_id

    run(scenario)


def test_a_cut_of_the_next_session_covers_what_the_job_said_it_has() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        first.on_received(await sent(rig, first))
        await rig.breaks(first)
        second = rig.session()
        rig.start.on_all_resumed(second)
        rig.start.on_cut(second, 1)
        assert rig.keeps_nothing

    run(scenario)


def test_what_is_asked_for_again_is_covered_when_it_has_left_again() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        await sent(rig, first)
        await rig.breaks(first)
        second = rig.session()
        rig.send(second, 1)
        rig.start.on_all_resumed(second)
        await asyncio.sleep(1)
        assert rig.answered == [1, 1]
        rig.start.on_cut(second, rig.frames[-1].sequence)
        assert rig.keeps_nothing

    run(scenario)


def test_what_came_while_there_was_no_session_and_is_not_asked_for_answers_the_next_attempt() -> None:
    async def scenario(rig: KeepingRig) -> None:
        first = rig.session()
        rig.send(first, 2)
        await asyncio.sleep(1)
        await rig.breaks(first)
        await asyncio.sleep(2)
        second = rig.session()
        rig.start.on_all_resumed(second)
        rig.send_again(second, 2, handle=102)
        await asyncio.sleep(3)
        assert rig.answered == [102]
        assert rig.begun == [2]

    run(scenario)


def test_a_result_that_crosses_the_cancellation_of_its_attempt_answers_the_next_one() -> None:
    async def scenario(rig: KeepingRig) -> None:
        outgoing = rig.session()
        sequence = await sent(rig, outgoing)
        outgoing.on_received(sequence)
        rig.start.on_cancelled(outgoing, [1])
        rig.start.on_cut(outgoing, sequence)
        rig.send_again(outgoing, 1, handle=101)
        await asyncio.sleep(2)
        assert rig.begun == [1]
        assert rig.answered == [1, 101]
        # The job did not count what came with the first: this is no replay.
        assert not rig.frames[-1].results.handed_back
        rig.start.on_cut(outgoing, rig.frames[-1].sequence)
        assert rig.keeps_nothing

    run(scenario)


def test_so_does_one_that_waits_to_be_written_when_it_is_cancelled() -> None:
    async def scenario(rig: KeepingRig) -> None:
        outgoing = rig.session()
        rig.may_write.clear()
        rig.send(outgoing, 1, 3)
        # The first is being written, the second waits behind it.
        await asyncio.sleep(4)
        rig.start.on_cancelled(outgoing, [1, 3])
        rig.may_write.set()
        await asyncio.sleep(1)
        assert rig.answered == [1, 3]
        rig.start.on_cut(outgoing, rig.frames[-1].sequence)
        rig.send_again(outgoing, 1, handle=101)
        rig.send_again(outgoing, 3, handle=103)
        await asyncio.sleep(4)
        assert rig.begun == [1, 3]
        assert sorted(rig.answered) == [1, 3, 101, 103]

    run(scenario)


async def stuck(rig: KeepingRig, outgoing: Outgoing) -> None:
    """The Result of 1 has left, that of 3 waits behind a frame that the stream does not take."""
    rig.may_write.clear()
    rig.send(outgoing, 1)
    await asyncio.sleep(2)
    # More than one frame takes.
    outgoing.outbox.put([Succeeded(1000 + number, [], None, 0) for number in range(2000)])
    rig.send(outgoing, 3)
    await asyncio.sleep(4)
    rig.may_write.set()
    rig.may_write.clear()
    await asyncio.sleep(1)
    assert rig.answered == [1]
    assert 3 in [outcome.handle for outcome in outgoing.unsent]
    assert not outgoing.outbox.waiting


def test_what_waits_to_be_written_when_a_start_ends_answers_the_next_one() -> None:
    async def scenario(rig: KeepingRig) -> None:
        await stuck(rig, rig.session())
        rig.start.end(CancelReason.SUPERSEDED)
        kept = rig.start.scope.kept
        assert kept is not None
        assert sorted(name for name, _ in kept.holdings()) == [bytes([1]) * 16, bytes([3]) * 16]

    run(scenario)


def test_what_the_writer_of_a_replaced_session_still_writes_is_not_covered_by_the_cuts_of_the_next_one() -> None:
    async def scenario(rig: KeepingRig) -> None:
        await stuck(rig, rig.session())
        writer = rig.writer
        assert writer is not None
        second = rig.session()
        rig.start.on_all_resumed(second)
        rig.may_write.set()
        await asyncio.sleep(1)
        assert 3 in rig.answered
        writer.cancel()
        rig.start.on_cut(second, 1)
        rig.send_again(second, 3, handle=103)
        await asyncio.sleep(4)
        assert rig.begun == [1, 3]

    run(scenario)


class FedStream:
    """Gives the frames that a test puts in."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.written: list[session_pb2.WorkerFrame] = []

    async def read(self) -> bytes:
        return await self.frames.get()

    async def write(self, data: bytes) -> None:
        self.written.append(session_pb2.WorkerFrame.FromString(data))


def test_the_next_attempt_may_come_in_the_frame_that_cancels_the_one_before() -> None:
    async def scenario(rig: KeepingRig) -> None:
        stream: Any = FedStream()
        limits = SessionLimits(Grant(100, 1 << 20), 2, max_received_bytes=1 << 20, max_sent_bytes=1 << 20)
        session = Session(stream, rig.start, rig.dispatcher, LoopLag(), limits)
        running = asyncio.create_task(session.run(session_pb2.Welcome()))
        invoke = session_pb2.Invoke(
            handle=1, invocation_id=b"1" * 16, key=b'"k"', attempt=1, event_type="_input_event", payload=b"1"
        )
        again = session_pb2.Invoke()
        again.CopyFrom(invoke)
        again.handle, again.attempt = 2, 2
        cancel = session_pb2.Cancel(handles=[1], reason=session_pb2.Cancel.TIMEOUT)
        stream.frames.put_nowait(session_pb2.OperatorFrame(sequence=1, invokes=[invoke]).SerializeToString())
        await asyncio.sleep(2)
        stream.frames.put_nowait(
            session_pb2.OperatorFrame(sequence=2, invokes=[again], cancels=[cancel]).SerializeToString()
        )
        await asyncio.sleep(2)
        assert [handle for frame in stream.written for handle in frame.results.handle] == [1, 2]
        assert rig.begun == [1]
        session.close(session_pb2.Bye.FINISHED)
        await running

    run(scenario)
