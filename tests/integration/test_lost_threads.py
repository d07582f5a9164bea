"""`def` actions and durable calls that do not return: their worker is replaced before it has no thread left."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flink_actions.wire.v1 import directory_pb2, session_pb2

from tests.integration.conftest import BEHAVIOURS
from tests.integration.test_spares import until
from tests.integration.test_worker_deaths import DEAD, SERVING, action, session_with_each_worker
from tests.support.running_server import RunningServer
from tests.support.session_client import SessionClient, Start, invoke


async def lose_thread(session: SessionClient, begun: Path, name: str = "say_so_and_hang_in_thread") -> None:
    """An action hangs in a thread, and the job gives it up."""
    hanging = invoke(session.start, action(session, name), str(begun), key=str(begun))
    await session.send_invokes([hanging])
    # Cancelled before it has a thread it would take none.
    await until(begun.exists, "the action does not begin")
    cancel = session_pb2.Cancel(handles=[hanging.handle], reason=session_pb2.Cancel.TIMEOUT)
    await session.send(cancels=[cancel])
    await session.until(lambda: hanging.handle in session.failures)


async def test_a_worker_that_has_lost_half_of_its_threads_finishes_what_runs_and_is_replaced(tmp_path: Path) -> None:
    with RunningServer(BEHAVIOURS, flags=["--threads", "4"]) as server:
        async with await server.session(Start("behaviours")) as session:
            running = invoke(session.start, action(session, "wait"), 3.0)
            await session.send_invokes([running])
            await lose_thread(session, tmp_path / "first")
            await lose_thread(session, tmp_path / "second", "say_so_and_hang_in_durable_call")
            await session.until_end()
            assert session.results[running.handle].output is not None
            assert session.drain is not None
            assert session.bye is not None
            assert session.bye.reason == session_pb2.Bye.FINISHED
            worn_out = session.welcome.incarnation
        server.until_logged(r"worker w0 \(pid \d+\) has lost 2 threads of 4 to .*: it drains within 25 s")
        async with server.directory() as directory:
            state = await directory.until(lambda state: any(one.state == SERVING for one in state.workers))
            (left,) = [one for one in state.workers if one.incarnation == worn_out]
            assert (left.state, left.exit_reason) == (DEAD, "left as it was told")
            assert left.suspects_known, "no job is to look for a culprit"
            assert not left.suspects
        async with await server.session(Start("behaviours")) as session:
            # Four at once: all threads are there.
            blocking = [invoke(session.start, action(session, "block_in_thread"), 0.2) for _ in range(4)]
            assert [result.output for result in await session.run(blocking)] == ["blocked"] * 4


async def test_of_two_workers_one_serves_while_the_other_is_replaced(tmp_path: Path) -> None:
    with RunningServer(BEHAVIOURS, flags=["--threads", "2", "--workers", "2"]) as server:
        async with server.directory() as directory:
            before = {one.incarnation for one in await directory.serving(2)}

            def is_replaced(state: directory_pb2.DirectoryState) -> bool:
                serving = {one.incarnation for one in state.workers if one.state == SERVING}
                assert serving, "nobody takes sessions"
                return len(serving) == 2 and not serving & before

            replaced = asyncio.create_task(directory.until(is_replaced))
            async with session_with_each_worker(server, 2) as sessions:
                await asyncio.gather(*(lose_thread(one, tmp_path / one.welcome.worker) for one in sessions))
                await replaced
            assert server.log.count("has lost 1 threads of 2") == 2
