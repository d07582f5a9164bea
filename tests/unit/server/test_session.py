"""The end of a session, on a stream that stands still."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from flink_actions.server.credit import Grant
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.session import Ending, Session, SessionLimits
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import FakeClockLoop, run_with_fake_clock
from tests.unit.server.test_operator_start import LINGER_SECONDS, Rig


class StandingStream:
    """Neither sends nor takes anything, as one whose peer was stopped."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()


class EndingStream(StandingStream):
    """Takes all, and gives what was put into it and then breaks off."""

    def __init__(self) -> None:
        self.breaks = asyncio.Event()
        self.frames: list[bytes] = []

    async def read(self) -> bytes:
        await self.breaks.wait()
        return self.frames.pop(0) if self.frames else grpc.aio.EOF

    async def write(self, data: bytes) -> None:
        pass


def session_on(stream: Any, rig: Rig) -> Session:
    limits = SessionLimits(Grant(100, 1 << 20), 2, max_received_bytes=1 << 20, max_sent_bytes=1 << 20)
    lag = LoopLag()
    lag.start()
    return Session(stream, rig.start, rig.dispatcher, lag, limits)


def standing_session(rig: Rig) -> Session:
    return session_on(StandingStream(), rig)


@pytest.mark.parametrize("pause_seconds", [3.0, 20.0])
@pytest.mark.parametrize("has_frames_of_before", [True, False])
def test_while_a_worker_is_stopped_the_linger_time_of_its_work_goes_by(
    pause_seconds: float, has_frames_of_before: bool
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeClockLoop)
        rig, stream = Rig(), EndingStream()
        session = session_on(stream, rig)
        running = asyncio.create_task(session.run(session_pb2.Welcome()))
        await asyncio.sleep(0)
        rig.send(session._outgoing, 60)
        await asyncio.sleep(1)
        loop.stand_still(pause_seconds)
        if has_frames_of_before:
            # They were sent while nobody read them, and say nothing of now.
            stream.frames = [session_pb2.OperatorFrame(ping={"id": number}).SerializeToString() for number in (1, 2)]
        stream.breaks.set()
        assert await asyncio.wait_for(running, 1) is Ending.LOST
        heard_at = 1.0 if has_frames_of_before else 0.0
        left_seconds = max(0.0, LINGER_SECONDS - (1.0 + pause_seconds - heard_at))
        await asyncio.sleep(max(0.0, left_seconds - 0.5))
        assert rig.cancelled == ([] if left_seconds else [60])
        await asyncio.sleep(1)
        assert rig.cancelled == [60]

    run_with_fake_clock(scenario())


def test_a_job_that_is_heard_after_a_pause_has_all_of_its_linger_time_again() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeClockLoop)
        rig, stream = Rig(), EndingStream()
        session = session_on(stream, rig)
        running = asyncio.create_task(session.run(session_pb2.Welcome()))
        await asyncio.sleep(0)
        rig.send(session._outgoing, 60)
        loop.stand_still(20.0)
        await asyncio.sleep(2)
        stream.frames = [session_pb2.OperatorFrame(ping={"id": 1}).SerializeToString()]
        stream.breaks.set()
        assert await asyncio.wait_for(running, 1) is Ending.LOST
        await asyncio.sleep(LINGER_SECONDS - 0.5)
        assert rig.cancelled == []
        await asyncio.sleep(1)
        assert rig.cancelled == [60]

    run_with_fake_clock(scenario())


def test_a_session_whose_stream_stands_still_ends_when_it_is_told_to() -> None:
    async def scenario() -> None:
        session = standing_session(Rig())
        running = asyncio.create_task(session.run(session_pb2.Welcome()))
        await asyncio.sleep(1)
        session.close(session_pb2.Bye.FENCED, "another start has come")
        assert await asyncio.wait_for(running, 6) is Ending.BY_US

    run_with_fake_clock(scenario())


def test_a_silent_session_is_given_up_once_and_its_work_lingers() -> None:
    async def scenario() -> None:
        rig = Rig()
        session = standing_session(rig)
        running = asyncio.create_task(session.run(session_pb2.Welcome()))
        await asyncio.sleep(1)
        for _ in range(3):
            await asyncio.sleep(2)
            session.check_silence(1, 3)
        for _ in range(10):
            session.check_silence(1, 3)
        assert session._silent_checks == 3
        assert await asyncio.wait_for(running, 1) is Ending.LOST
        assert not rig.start.is_live
        # It has been silent for 7 s of the linger time.
        await asyncio.sleep(LINGER_SECONDS - 7.5)
        assert not rig.start.has_ended
        await asyncio.sleep(1)
        assert rig.start.has_ended

    run_with_fake_clock(scenario())
