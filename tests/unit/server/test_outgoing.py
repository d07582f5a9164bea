from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from flink_actions.engine.invocation import CallNote, CallPlace, CallRecord, LocalInvocation, Outcome, Succeeded
from flink_actions.server.credit import Credit, FrameWindow, Grant
from flink_actions.server.outgoing import Outgoing
from flink_actions.wire.codec import decode_call
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.support.session_client import split_results


class Wire:
    """Takes frames, or breaks."""

    def __init__(self) -> None:
        self.frames: list[session_pb2.WorkerFrame] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.breaks_at: int | None = None

    async def write(self, data: bytes) -> None:
        await self.is_open.wait()
        await asyncio.sleep(0)
        if self.breaks_at is not None and len(self.frames) >= self.breaks_at:
            raise ConnectionError("broken")
        self.frames.append(session_pb2.WorkerFrame.FromString(data))

    @property
    def handles(self) -> list[int]:
        return [result.handle for frame in self.frames for result in split_results(frame.results)]


class Rig:
    def __init__(self, max_frame_bytes: int = 64 * 1024) -> None:
        self.credit = Credit(Grant(100_000, 1 << 30), bytes_slack=0)
        self.window = FrameWindow(2)
        self.is_blocked = False
        self.outgoing = Outgoing(
            self.credit,
            self.window,
            max_frame_bytes=max_frame_bytes,
            undelivered_bytes=1 << 30,
            is_blocked=lambda: self.is_blocked,
        )
        self.wire = Wire()
        self.writer = asyncio.create_task(self.outgoing.write_all(self.wire.write))

    def put(self, *handles: int, size: int = 10) -> None:
        self.credit.charge([LocalInvocation(handle, 0, b"", "x", b"", cost_bytes=7) for handle in handles])
        outcomes: list[Outcome] = [Succeeded(handle, [("x", b"1" * size, False)], None, 7) for handle in handles]
        self.outgoing.outbox.put(outcomes)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to that")


def test_what_is_queued_while_a_write_is_under_way_leaves_together_in_the_next_frame() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.wire.is_open.clear()
        rig.put(1)
        await asyncio.sleep(0)
        for handle in range(2, 200):
            rig.put(handle)
            await asyncio.sleep(0)
        rig.wire.is_open.set()
        await rig.until(lambda: len(rig.wire.handles) == 199)
        assert len(rig.wire.frames) == 2
        assert rig.wire.handles == list(range(1, 200))
        rig.writer.cancel()

    run_with_fake_clock(scenario())


def test_a_single_outcome_leaves_without_waiting_for_more() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.put(1)
        await rig.until(lambda: rig.wire.handles == [1])
        assert asyncio.get_running_loop().time() == 0
        rig.writer.cancel()

    run_with_fake_clock(scenario())


def test_frames_are_numbered_and_acknowledgement_and_credit_ride_along() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.window.receive(1)
        rig.put(1, 2)
        rig.outgoing.acknowledge(1)
        await rig.until(lambda: len(rig.wire.frames) == 1)
        rig.put(3)
        await rig.until(lambda: len(rig.wire.frames) == 2)
        first, second = rig.wire.frames
        assert (first.sequence, first.ack, first.credit.invocations, first.credit.bytes) == (
            1,
            1,
            100_002,
            (1 << 30) + 14,
        )
        assert (second.sequence, second.ack, second.credit.invocations) == (2, 0, 100_003)
        rig.writer.cancel()

    run_with_fake_clock(scenario())


def test_no_frame_exceeds_the_limit_and_the_order_stays() -> None:
    async def scenario() -> None:
        rig = Rig(max_frame_bytes=64 * 1024)
        rig.put(*range(1, 101), size=5000)
        await rig.until(lambda: len(rig.wire.handles) == 100)
        assert rig.wire.handles == list(range(1, 101))
        assert len(rig.wire.frames) > 5
        assert all(frame.ByteSize() <= 64 * 1024 for frame in rig.wire.frames)
        rig.writer.cancel()

    run_with_fake_clock(scenario())


@pytest.mark.parametrize("breaks_at", [0, 1, 3])
def test_when_the_stream_breaks_every_outcome_that_may_not_have_arrived_is_still_there(breaks_at: int) -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.wire.breaks_at = breaks_at
        # More than is encoded at once, in several frames each.
        rig.put(*range(1, 2001), size=1000)
        await asyncio.wait({rig.writer})
        assert isinstance(rig.writer.exception(), ConnectionError)
        rig.put(2001)
        kept = [outcome.handle for outcome in [*rig.outgoing.undelivered, *rig.outgoing.take_unsent()]]
        assert kept == list(range(1, 2002))

    run_with_fake_clock(scenario())


def test_bye_is_the_last_frame_and_comes_after_all_that_was_queued() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.put(*range(1, 3001))
        rig.outgoing.close(session_pb2.Bye.FINISHED, "done")
        rig.outgoing.close(session_pb2.Bye.FENCED, "the first reason stands")
        await asyncio.wait({rig.writer})
        assert len(rig.wire.handles) == 3000
        assert [frame.HasField("bye") for frame in rig.wire.frames].index(True) == len(rig.wire.frames) - 1
        assert rig.wire.frames[-1].bye.message == "done"

    run_with_fake_clock(scenario())


def test_many_pings_are_answered_by_the_youngest_pong() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.wire.is_open.clear()
        for number in range(1, 1000):
            rig.outgoing.pong(session_pb2.Pong(id=number, loop_lag_us=number))
            await asyncio.sleep(0)
        rig.wire.is_open.set()
        await rig.until(lambda: bool(rig.wire.frames) and rig.wire.frames[-1].pong.id == 999)
        assert len(rig.wire.frames) <= 2
        rig.writer.cancel()

    run_with_fake_clock(scenario())


def test_while_the_event_loop_is_blocked_outcomes_leave_without_new_credit_which_follows_when_it_moves() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.is_blocked = True
        rig.put(1, 2)
        await rig.until(lambda: rig.wire.handles == [1, 2])
        await asyncio.sleep(5)
        assert not any(frame.HasField("credit") for frame in rig.wire.frames)
        rig.is_blocked = False
        await asyncio.sleep(1)
        assert rig.wire.frames[-1].credit.invocations == 100_002
        rig.writer.cancel()

    run_with_fake_clock(scenario())


def test_notes_of_calls_leave_in_the_frame_of_the_outcomes_that_come_after_them() -> None:
    async def scenario() -> None:
        rig = Rig()
        record = CallRecord(CallPlace("0.2", 3), "shop:pay", b"d" * 16, b"7")
        rig.outgoing.outbox.put_note(CallNote(1, record))
        rig.outgoing.outbox.put_note(CallNote(2, record._replace(value=None)))
        rig.put(1)
        await rig.until(lambda: rig.wire.handles == [1])
        (frame,) = rig.wire.frames
        assert [decode_call(call) for call in frame.calls_completed] == [record]
        assert [started.handle for started in frame.calls_started] == [2]
        # Large ones travel by themselves, and before.
        rig.outgoing.outbox.put_note(CallNote(3, record._replace(value=b"1" * 60_000)))
        rig.put(3, size=60_000)
        await rig.until(lambda: rig.wire.handles == [1, 3])
        assert [len(frame.calls_completed) for frame in rig.wire.frames] == [1, 1, 0]
        rig.writer.cancel()

    run_with_fake_clock(scenario())
