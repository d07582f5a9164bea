"""A worker that dies: who notices, how soon, and who does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import grpc.aio
import pytest
from flink_actions.wire.v1 import directory_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.conftest import BEHAVIOURS
from tests.support.running_server import RunningServer
from tests.support.session_client import DEADLINE_SECONDS, SessionClient, Start, invoke, worker_target

DEAD, SERVING = directory_pb2.WorkerEntry.DEAD, directory_pb2.WorkerEntry.SERVING
STARTING = directory_pb2.WorkerEntry.STARTING


def action(session: SessionClient, name: str) -> int:
    return [one.name for one in session.welcome.plan.actions].index(name)


def has_died(incarnation: bytes) -> Callable[[directory_pb2.DirectoryState], bool]:
    return lambda state: any(one.state == DEAD and one.incarnation == incarnation for one in state.workers)


@contextlib.asynccontextmanager
async def session_with_each_worker(server: RunningServer, count: int) -> AsyncIterator[list[SessionClient]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(SessionClient(address, Start("behaviours", namespace=f"n{number}")))
            for number, address in enumerate(await server.worker_addresses(count))
        ]


async def test_an_action_that_aborts_takes_its_worker_and_nobody_else() -> None:
    with RunningServer(BEHAVIOURS, flags=["--workers", "2"]) as server:
        async with session_with_each_worker(server, 2) as (victim, neighbour), server.directory() as directory:
            waiting = invoke(neighbour.start, action(neighbour, "wait"), 1.0)
            await neighbour.send_invokes([waiting])
            await victim.send_invokes([invoke(victim.start, action(victim, "abort"))])
            await victim.until_end()
            assert victim.bye is None
            state = await directory.until(lambda state: any(worker.state == DEAD for worker in state.workers))
            (dead,) = [worker for worker in state.workers if worker.state == DEAD]
            assert dead.exit_reason == "signal 6 (SIGABRT)"
            assert dead.incarnation == victim.welcome.incarnation
            assert dead.suspects_known
            assert len(dead.suspects) == 1
            await neighbour.until(lambda: waiting.handle in neighbour.results)
            entries = await directory.serving(2)
            restarted = next(entry for entry in entries if entry.worker == victim.welcome.worker)
            assert restarted.incarnation != victim.welcome.incarnation
            assert restarted.generation == victim.welcome.generation
            async with SessionClient(worker_target(server.address, restarted), victim.start) as again:
                (result,) = await again.run([invoke(victim.start, action(again, "echo"), "again")])
                assert result.output == "again"


async def dead_worker(server: RunningServer) -> directory_pb2.WorkerEntry:
    async with server.directory() as directory:
        state = await directory.until(lambda state: any(worker.state == DEAD for worker in state.workers))
    (dead,) = [worker for worker in state.workers if worker.state == DEAD]
    return dead


@pytest.mark.parametrize("name", ["abort", "exit_quietly", "abort_after_a_wait", "abort_in_thread"])
async def test_the_invocation_that_killed_its_worker_is_told_from_a_thousand_others(
    server: RunningServer, name: str
) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        others = [invoke(start, action(session, "wait"), 60.0) for _ in range(1000)]
        threads = [invoke(start, action(session, "block_in_thread"), 5.0) for _ in range(10)]
        culprit = invoke(start, action(session, name))
        for begin in range(0, 1000, 200):
            await session.send_invokes(others[begin : begin + 200])
        await session.send_invokes(threads)
        await session.until(lambda: session._acked == 6)
        await session.send_invokes([*(invoke(start, action(session, "echo")) for _ in range(50)), culprit])
        await session.until_end()
    dead = await dead_worker(server)
    assert dead.suspects_known
    assert culprit.invocation_id in dead.suspects
    # Nothing tells which thread ended the process, unless it is a crash.
    assert set(dead.suspects) <= {one.invocation_id for one in [culprit, *threads]}
    if name != "exit_quietly":
        assert len(dead.suspects) == 1
        place = r"behaviours\.py:\d+ in abort" if name != "exit_quietly" else ""
        server.until_logged(rf"died: signal 6 \(SIGABRT\), at .*{place}")


@pytest.mark.parametrize("name", ["abort_in_child_task", "abort_in_foreign_thread", "wait"])
async def test_where_nobody_can_tell_who_killed_a_worker_nobody_is_named(server: RunningServer, name: str) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        innocent = invoke(start, action(session, "block_in_thread"), 5.0)
        await session.send_invokes([innocent, invoke(start, action(session, name), 60.0)])
        if name == "wait":
            await session.until(lambda: session._acked == 1)
            (pid,) = server.worker_pids()
            # As the kernel does when memory runs out.
            os.kill(pid, signal.SIGKILL)
        await session.until_end()
    dead = await dead_worker(server)
    assert not dead.suspects_known
    assert not dead.suspects


async def test_an_event_loop_that_an_action_ends_takes_the_process_along_whatever_others_do(
    server: RunningServer,
) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session, server.directory() as directory:
        stubborn = invoke(start, action(session, "swallow_cancellation"))
        await session.send_invokes([stubborn, invoke(start, action(session, "exit_in_child_task"))])
        state = await directory.until(has_died(session.welcome.incarnation))
    (dead,) = [worker for worker in state.workers if worker.state == DEAD]
    assert dead.exit_reason == "exit code 3"
    server.until_logged(r"an action, or a signal, has ended the event loop with SystemExit: 3")
    server.until_logged(r"behaviours\.py.* in child")


async def test_an_id_of_any_length_does_no_harm(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        odd = [invoke(start, action(session, "echo"), 1, invocation_id=bytes(n)) for n in (0, 3, 15, 17, 400)]
        await session.run(odd)


async def test_a_death_is_announced_within_milliseconds_to_whoever_watches(server: RunningServer) -> None:
    await server.worker_addresses()
    (pid,) = server.worker_pids()
    async with server.directory() as directory:
        states = directory.watch().__aiter__()
        await states.__anext__()
        killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while not any(worker.state == DEAD for worker in (await asyncio.wait_for(states.__anext__(), 5)).workers):
            pass
        elapsed = time.monotonic() - killed_at
    print(f"announced after {elapsed * 1000:.1f} ms")
    # Milliseconds where nobody else computes; a poll of the usual second would still be caught.
    assert elapsed < 0.5


async def test_a_job_that_was_not_watching_still_learns_which_incarnation_died(server: RunningServer) -> None:
    await server.worker_addresses()
    (pid,) = server.worker_pids()
    os.kill(pid, signal.SIGKILL)
    server.until_logged("died: signal 9")
    async with server.directory() as directory:
        await directory.serving()
        state = await directory.until(lambda state: True)
    assert [worker.state for worker in state.workers] == [SERVING, DEAD]
    assert len({worker.incarnation for worker in state.workers}) == 2


@pytest.mark.parametrize("name", ["abort", "exit_quietly"])
async def test_a_crash_loop_makes_the_server_unhealthy_and_backs_off(server: RunningServer, name: str) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel, server.directory() as directory:
        health = health_pb2_grpc.HealthStub(channel)

        async def is_serving(service: str) -> bool:
            response = await health.Check(health_pb2.HealthCheckRequest(service=service))
            return bool(response.status == response.SERVING)

        async def until_serving(service: str) -> None:
            async for response in health.Watch(health_pb2.HealthCheckRequest(service=service)):
                if response.status == response.SERVING:
                    return

        for deaths in range(1, 6):
            # Four deaths are no loop yet.
            await asyncio.wait_for(until_serving(""), DEADLINE_SECONDS)
            start = Start("behaviours")
            async with await server.session(start) as session:
                killed_at = time.monotonic()
                await session.send_invokes([invoke(start, action(session, name))])
                await session.until_end()
            dead = session.welcome.incarnation
            await directory.until(has_died(dead))
            await directory.until(lambda state: any(one.state in (STARTING, SERVING) for one in state.workers))
            assert time.monotonic() - killed_at >= (0.1 * 2 ** (deaths - 2) if deaths > 1 else 0.0)
        await asyncio.wait_for(until_serving("worker/w0"), DEADLINE_SECONDS)
        with pytest.raises(asyncio.TimeoutError):
            # One that serves between two deaths makes no server healthy, not when it is next looked at either.
            await asyncio.wait_for(until_serving(""), 1.5)
        assert await is_serving("liveness")


async def test_a_worker_whose_event_loop_is_blocked_is_not_ready_until_it_moves_again() -> None:
    with RunningServer(BEHAVIOURS, flags=["--blocked-after-seconds", "1.5"]) as server:
        start = Start("behaviours")
        async with await server.session(start) as session, grpc.aio.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            blocking = invoke(start, action(session, "block"), 4.0)
            await session.send_invokes([blocking])

            async def until(status: int) -> None:
                while True:
                    response = await health.Check(health_pb2.HealthCheckRequest(service="worker/w0"))
                    if response.status == status:
                        return
                    await asyncio.sleep(0.05)

            await asyncio.wait_for(until(health_pb2.HealthCheckResponse.NOT_SERVING), 4.0)
            assert blocking.handle not in session.results
            await asyncio.wait_for(until(health_pb2.HealthCheckResponse.SERVING), 10.0)
            await session.until(lambda: blocking.handle in session.results)


async def test_a_worker_whose_event_loop_is_blocked_for_good_is_replaced_and_the_culprit_is_named() -> None:
    with RunningServer(BEHAVIOURS, flags=["--blocked-limit-seconds", "3"]) as server:
        start = Start("behaviours")
        async with await server.session(start) as session:
            waiting = [invoke(start, action(session, "wait"), 60.0) for _ in range(20)]
            await session.send_invokes(waiting)
            await session.until(lambda: session._acked == 1)
            culprit = invoke(start, action(session, "block"), 600.0)
            behind = [invoke(start, action(session, "echo"), number) for number in range(20)]
            await session.send_invokes([culprit, *behind])
            await session.until_end()
        dead = await dead_worker(server)
        assert dead.suspects_known
        assert list(dead.suspects) == [culprit.invocation_id]
        assert dead.exit_reason == "killed by its supervisor: its event loop had not moved for 3 s"
        server.until_logged(r"died: killed by its supervisor: .*, at .*behaviours\.py:\d+ in block")
        async with await server.session(start) as again:
            (result,) = await again.run([invoke(start, action(again, "echo"), "again")])
            assert result.output == "again"


async def test_the_lag_of_a_blocked_event_loop_is_in_the_next_pong(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        await session.send(ping={"id": 1})
        await session.until(lambda: 1 in session.pongs)
        assert session.pongs[1].loop_lag_us < 300_000
        await session.send_invokes([invoke(start, action(session, "block"), 1.0)])
        await session.send(ping={"id": 2})
        await session.until(lambda: 2 in session.pongs)
        assert session.pongs[2].loop_lag_us > 500_000
