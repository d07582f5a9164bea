"""The end of a session, on a stream that stands still."""

from __future__ import annotations

import asyncio
from typing import Any

from flink_actions.server.credit import Grant
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.session import Ending, Session, SessionLimits
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.unit.server.test_operator_start import LINGER_SECONDS, Rig


class StandingStream:
    """Neither sends nor takes anything, as one whose peer was stopped."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()


def standing_session(rig: Rig) -> Session:
    stream: Any = StandingStream()
    limits = SessionLimits(Grant(100, 1 << 20), 2, max_received_bytes=1 << 20, max_sent_bytes=1 << 20)
    return Session(stream, rig.start, rig.dispatcher, LoopLag(), limits)


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
        for _ in range(10):
            session.check_silence(2.0, 1, 3)
        assert session._silent_checks == 3
        assert await asyncio.wait_for(running, 1) is Ending.LOST
        assert not rig.start.is_live
        # It has been silent for 6 s of the linger time.
        await asyncio.sleep(LINGER_SECONDS - 6.5)
        assert not rig.start.has_ended
        await asyncio.sleep(1)
        assert rig.start.has_ended

    run_with_fake_clock(scenario())
