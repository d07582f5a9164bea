"""The quarantine worker: comes when it is asked for, has one subtask's suspects at a time, and goes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc.aio
import pytest
from flink_actions.wire.v1 import directory_pb2, session_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.conftest import BEHAVIOURS
from tests.integration.test_lost_threads import lose_thread
from tests.integration.test_worker_deaths import DEAD, action
from tests.support.running_server import RunningServer
from tests.support.session_client import (
    DirectoryClient,
    Rejected,
    SessionClient,
    Start,
    invoke,
    serving_workers,
    worker_target,
)

QUARANTINE = directory_pb2.WorkerEntry.QUARANTINE


def in_quarantine(state: directory_pb2.DirectoryState) -> list[directory_pb2.WorkerEntry]:
    return [one for one in serving_workers(state) if one.role == QUARANTINE]


def living(state: directory_pb2.DirectoryState) -> list[directory_pb2.WorkerEntry]:
    return [one for one in state.workers if one.state != DEAD]


async def quarantine_worker(directory: DirectoryClient) -> directory_pb2.WorkerEntry:
    await directory.ask_for_quarantine()
    (entry,) = in_quarantine(await directory.until(lambda state: bool(in_quarantine(state))))
    return entry


def subtask(number: int) -> Start:
    """Of two."""
    first = 64 * number
    return Start("behaviours", subtask=number, parallelism=2, key_group_first=first, key_group_last=first + 63)


async def test_a_quarantine_worker_comes_when_asked_for_serves_and_leaves_when_nobody_uses_it() -> None:
    with RunningServer(BEHAVIOURS, flags=["--quarantine-idle-seconds", "3"]) as server:
        async with server.directory() as directory:
            (regular,) = await directory.serving()
            entry = await quarantine_worker(directory)
            assert entry.worker == "q0"
            assert entry.generation == regular.generation
            await directory.ask_for_quarantine()
            start = Start("behaviours")
            async with SessionClient(worker_target(server.address, entry), start) as session:
                (result,) = await session.run([invoke(start, action(session, "wait"), 5.0)])
                assert result.output == 5.0
            state = await directory.until(lambda state: len(living(state)) == 1)
            assert living(state)[0].incarnation == regular.incarnation
            server.until_logged("no suspects for 3 s: worker q0 leaves")
            # And again.
            assert (await quarantine_worker(directory)).incarnation != entry.incarnation
        assert len(server.worker_pids()) == 2


async def test_who_is_alone_in_quarantine_is_alone_for_others_have_to_wait(server: RunningServer) -> None:
    first, second = subtask(0), subtask(1)
    async with server.directory() as directory:
        address = worker_target(server.address, await quarantine_worker(directory))
    async with SessionClient(address, first) as session:
        with pytest.raises(Rejected) as refused:
            await SessionClient(address, second).open()
        assert refused.value.reason == session_pb2.Reject.OVERLOADED
        # Its own subtask may come again, as after a break, and so may a later start of it.
        await session.send_invokes([invoke(first, action(session, "wait"), 60.0)])
        await session.abort()
        with pytest.raises(Rejected):
            await SessionClient(address, second).open()
        async with SessionClient(address, first):
            pass
    async with SessionClient(address, second) as session:
        await session.run([invoke(second, action(session, "echo"))])
        async with SessionClient(address, subtask(1)) as later:
            await later.run([invoke(later.start, action(later, "echo"))])


async def turn(address: str, start: Start) -> SessionClient:
    """A session of this start's, which asks for it as jobs do."""
    session = SessionClient(address, start)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Rejected):
                await session.open()
                return session
            await asyncio.sleep(0.2)


async def test_everybody_has_a_turn_in_the_order_of_asking_however_long_others_suspects_take() -> None:
    with RunningServer(BEHAVIOURS, flags=["--quarantine-turn-seconds", "1"]) as server:
        async with server.directory() as directory:
            address = worker_target(server.address, await quarantine_worker(directory))
        first, second, third = (await turn(address, subtask(0)), Start("behaviours", job_id="2"), Start("behaviours"))
        second.namespace = "second"
        third.namespace = "third"
        endless = invoke(first.start, action(first, "wait"), 600.0)
        await first.send_invokes([endless])
        then = asyncio.create_task(turn(address, second))
        await asyncio.sleep(0.3)
        last = asyncio.create_task(turn(address, third))
        await first.until_end()
        assert first.drain is not None
        # Undone, and to be tried again.
        assert first.bounces[endless.handle].reason == session_pb2.Bounce.DRAINING
        assert first.bye is not None
        assert first.bye.reason == session_pb2.Bye.FINISHED
        again = asyncio.create_task(turn(address, first.start))
        holders = []
        for waiting in (then, last, again):
            session = await waiting
            holders.append(session.start.namespace)
            (result,) = await session.run([invoke(session.start, action(session, "echo"), "alone")])
            assert result.output == "alone"
            await session.close()
        assert holders == ["second", "third", "test-namespace"]


async def test_who_dies_in_its_turn_loses_it() -> None:
    with RunningServer(BEHAVIOURS, flags=["--linger-seconds", "1"]) as server:
        async with server.directory() as directory:
            address = worker_target(server.address, await quarantine_worker(directory))
        dying = await turn(address, subtask(0))
        await dying.send_invokes([invoke(dying.start, action(dying, "wait"), 600.0)])
        waiting = asyncio.create_task(turn(address, subtask(1)))
        await dying.abort()
        session = await waiting
        await session.run([invoke(session.start, action(session, "echo"))])
        await session.close()


async def test_what_swallows_its_cancellation_keeps_no_quarantine_worker_from_others() -> None:
    with RunningServer(BEHAVIOURS, flags=["--quarantine-turn-seconds", "0.5", "--drain-seconds", "1"]) as server:
        async with server.directory() as directory:
            entry = await quarantine_worker(directory)
            session = await turn(worker_target(server.address, entry), subtask(0))
            await session.send_invokes([invoke(session.start, action(session, "swallow_cancellation"))])
            waiting = asyncio.create_task(turn(worker_target(server.address, entry), subtask(1)))
            await session.until_end()
            state = await directory.until(lambda state: len(living(state)) == 1)
            assert not in_quarantine(state)
            waiting.cancel()


async def test_a_quarantine_worker_that_has_lost_a_thread_is_replaced_for_who_comes_next_is_to_be_alone(
    server: RunningServer, tmp_path: Path
) -> None:
    async with server.directory() as directory:
        entry = await quarantine_worker(directory)
        async with SessionClient(worker_target(server.address, entry), subtask(0)) as session:
            await lose_thread(session, tmp_path / "begun")
            await session.until_end()
            assert session.drain is not None
        await directory.until(lambda state: len(living(state)) == 1)
        assert (await quarantine_worker(directory)).incarnation != entry.incarnation
    server.until_logged(r"worker q0 \(pid \d+\) has lost 1 threads of 32")


async def test_deaths_in_quarantine_are_told_and_make_no_server_unhealthy_and_no_worker_unasked(
    server: RunningServer,
) -> None:
    async with server.directory() as directory:
        await directory.serving()
        for _ in range(6):
            entry = await quarantine_worker(directory)
            start = Start("behaviours")
            async with SessionClient(worker_target(server.address, entry), start) as session:
                await session.send_invokes([invoke(start, action(session, "abort"))])
                await session.until_end()
            died = entry.incarnation
            state = await directory.until(
                lambda state, died=died: any(one.state == DEAD and one.incarnation == died for one in state.workers)
            )
            (dead,) = [one for one in state.workers if one.incarnation == died]
            assert dead.role == QUARANTINE
            assert dead.suspects_known
            assert not in_quarantine(state)
        assert await is_healthy(server)


async def is_healthy(server: RunningServer) -> bool:
    async with grpc.aio.insecure_channel(server.address) as channel:
        response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=""))
    return bool(response.status == response.SERVING)
