"""Hostile peers on real sockets; tests/unit/server/test_hostile_frames.py has many more of them, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import grpc.aio
from flink_actions.wire.v1 import session_pb2

from tests.support.hostile import hostile_frames
from tests.support.running_server import RunningServer
from tests.support.session_client import SessionClient, Start, invoke

SESSIONS = 40
# What forty sessions of at most some MiB each may leave behind in a process, at the very most.
MOST_GROWTH_BYTES = 200 << 20


def echo_of(session: SessionClient) -> int:
    """The first action; those behind it include some that end their process, which is their right."""
    assert session.welcome.plan.actions[0].name == "echo"
    return 0


async def test_hostile_sessions_leave_the_worker_and_its_other_sessions_as_they_were(server: RunningServer) -> None:
    start = Start("behaviours", namespace="bystander")
    async with await server.session(start) as bystander:
        pids = server.worker_pids()
        before = resident_bytes(pids[0])
        for seed in range(SESSIONS):
            choose = random.Random(seed)
            hostile = await server.session(Start("behaviours", namespace=f"hostile {seed}"))
            await hostile.open()
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                for frame in hostile_frames(choose, hostile.start, 1):
                    await hostile.send_raw(frame)
            (result,) = await bystander.run([invoke(start, echo_of(bystander), seed)])
            assert result.output == seed
            await hostile.abort()
    assert server.worker_pids() == pids
    assert resident_bytes(pids[0]) - before < MOST_GROWTH_BYTES
    assert "Traceback" not in server.log


async def test_a_key_of_ten_megabytes_ends_its_session_with_the_limit_and_the_way_out(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        huge = invoke(start, echo_of(session), 1, key="k" * (10 << 20))
        await session.send_invokes([huge])
        await session.until_end()
        assert session.bye is not None
        assert session.bye.reason == session_pb2.Bye.PROTOCOL_ERROR
        assert "--max-frame-bytes" in session.bye.message
    async with await server.session(Start("behaviours", epoch=start.epoch + 1)) as again:
        (result,) = await again.run([invoke(again.start, echo_of(again), 1)])
        assert result.output == 1


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
