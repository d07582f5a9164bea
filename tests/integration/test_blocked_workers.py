"""Workers whose event loop does not move: which of them are ended, and whether anybody is to blame."""

from __future__ import annotations

import os
import signal

from tests.integration.conftest import BEHAVIOURS
from tests.integration.test_worker_deaths import action, dead_worker
from tests.support.running_server import RunningServer
from tests.support.session_client import Start, invoke

IMPATIENT = ["--blocked-limit-seconds", "3"]


async def test_a_worker_that_was_stopped_for_good_is_replaced_and_nobody_is_named() -> None:
    with RunningServer(BEHAVIOURS, flags=IMPATIENT) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            await session.send_invokes([invoke(start, action(session, "wait"), 600.0)])
            await session.until(lambda: session._acked == 1)
            (pid,) = server.worker_pids()
            os.kill(pid, signal.SIGSTOP)
            await session.until_end()
        dead = await dead_worker(server)
        assert dead.exit_reason == "killed by its supervisor: its event loop had not moved for 3 s"
        assert not dead.suspects_known
        async with await server.session(start) as session:
            assert len(await session.run([invoke(start, action(session, "echo"))])) == 1


async def test_a_worker_that_moves_now_and_then_is_left_alone() -> None:
    with RunningServer(BEHAVIOURS, flags=IMPATIENT) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            for _ in range(3):
                assert len(await session.run([invoke(start, action(session, "block"), 1.5)])) == 1
