"""What actions may do inside a real worker."""

from __future__ import annotations

import asyncio
import time

from tests.support.running_server import RunningServer, cpu_seconds
from tests.support.session_client import SessionClient, Start, invoke


def action(session: SessionClient, name: str) -> int:
    return [one.name for one in session.welcome.plan.actions].index(name)


async def test_an_action_uses_asyncio_as_any_program_does(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        number = action(session, "use_asyncio")
        results = await session.run([invoke(start, number, key=key) for key in range(300)])
    assert [result.output for result in results] == [[[0, 4, 8], True, 7]] * 300


async def test_an_action_uses_an_http_client(server: RunningServer) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1]
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
        await writer.drain()
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{web.sockets[0].getsockname()[1]}"
    start = Start("behaviours")
    async with web, await server.session(start) as session:
        number = action(session, "fetch")
        urls = [[f"{base}/{key}/{part}" for part in range(3)] for key in range(10)]
        results = await session.run([invoke(start, number, value, key=key) for key, value in enumerate(urls)])
    assert [result.output for result in results] == [[f"/{key}/{part}" for part in range(3)] for key in range(10)]


async def test_def_actions_run_too(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        number = action(session, "echo_in_thread")
        results = await session.run([invoke(start, number, value, key=value) for value in range(500)])
    assert [result.output for result in results] == list(range(500))


async def test_a_thousand_waiting_actions_burn_no_processor_time(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        number = action(session, "wait")
        (pid,) = server.worker_pids()
        await session.run([invoke(start, action(session, "echo"), key) for key in range(1000)])
        waiting = [invoke(start, number, 3.0, key=key) for key in range(1000)]
        for begin in range(0, 1000, 250):
            await session.send_invokes(waiting[begin : begin + 250])
        await session.until(lambda: session._acked == session._sequence)
        await asyncio.sleep(0.5)
        before, begun = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(1.5)
        used, elapsed = cpu_seconds(pid) - before, time.monotonic() - begun
        await session.until(lambda: all(one.handle in session.results for one in waiting))
    print(f"{used:.3f} s of processor time in {elapsed:.2f} s")
    assert used < 0.05 * elapsed


async def test_ten_thousand_actions_wait_at_the_same_time(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        number = action(session, "wait")
        invokes = [invoke(start, number, 1.0, key=key) for key in range(10_000)]
        begun = time.monotonic()
        results = await session.run(invokes)
        elapsed = time.monotonic() - begun
    assert len(results) == 10_000
    print(f"10,000 actions that wait 1 s each took {elapsed:.2f} s")
    # The aim is 2 s; one after the other they would take three hours, in the peer's pool of 10 threads 17 minutes.
    assert elapsed < 8.0


async def test_a_failure_tells_class_message_and_stack_and_other_invocations_go_on(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        bad = invoke(start, action(session, "fail"), "this")
        good = [invoke(start, action(session, "echo"), number, key=number) for number in range(20)]
        await session.send_invokes([*good[:10], bad, *good[10:]])
        await session.until(lambda: len(session.results) == 20 and bad.handle in session.failures)
        failure = session.failures[bad.handle]
    assert failure.kind == failure.BUG
    assert failure.exception == "ValueError"
    assert failure.message == "cannot do 'this'"
    assert "behaviours.py" in failure.stack
    assert "dispatcher.py" not in failure.stack
