"""A worker whose event loop never moves again: it is ended, and what held it up is named."""

from __future__ import annotations

import os
import signal

from flink_actions.wire.v1 import directory_pb2

from tests.integration.conftest import BEHAVIOURS
from tests.integration.test_worker_deaths import action, has_died
from tests.support.running_server import RunningServer
from tests.support.session_client import Start, invoke

IMPATIENT = ["--blocked-after-seconds", "1", "--blocked-limit-seconds", "3"]


async def dead(server: RunningServer, incarnation: bytes) -> directory_pb2.WorkerEntry:
    async with server.directory() as directory:
        state = await directory.until(has_died(incarnation))
    (entry,) = [one for one in state.workers if one.incarnation == incarnation]
    return entry


async def test_a_worker_that_is_blocked_for_good_is_replaced_and_names_who_blocks_it() -> None:
    with RunningServer(BEHAVIOURS, flags=IMPATIENT) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            waiting = [invoke(start, action(session, "wait"), 600.0) for _ in range(100)]
            await session.send_invokes(waiting)
            await session.until(lambda: session._acked == 1)
            blocking = invoke(start, action(session, "block"), 600.0)
            await session.send_invokes([blocking])
            await session.until_end()
        entry = await dead(server, session.welcome.incarnation)
        assert entry.exit_reason == "killed by its supervisor: its event loop had not moved for 3 s"
        assert entry.suspects_known
        assert list(entry.suspects) == [blocking.invocation_id]
        server.until_logged(r"worker w0 \(pid \d+\): its event loop has not moved for 3 s, .* killed and replaced")
        server.until_logged(r"worker w0 .*died: killed by its supervisor: .*, at .*behaviours\.py:\d+ in block")
        async with await server.session(start) as session:
            (result,) = await session.run([invoke(start, action(session, "echo"), "again")])
            assert result.output == "again"


async def test_a_worker_that_was_stopped_for_good_is_replaced_and_nobody_is_named() -> None:
    with RunningServer(BEHAVIOURS, flags=IMPATIENT) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            await session.send_invokes([invoke(start, action(session, "wait"), 600.0)])
            await session.until(lambda: session._acked == 1)
            (pid,) = server.worker_pids()
            os.kill(pid, signal.SIGSTOP)
            await session.until_end()
        entry = await dead(server, session.welcome.incarnation)
        assert not entry.suspects_known
        async with await server.session(start) as session:
            assert len(await session.run([invoke(start, action(session, "echo"))])) == 1


async def test_a_worker_that_moves_now_and_then_is_left_alone() -> None:
    with RunningServer(BEHAVIOURS, flags=IMPATIENT) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            for _ in range(3):
                assert len(await session.run([invoke(start, action(session, "block"), 1.5)])) == 1
