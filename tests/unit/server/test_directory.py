from __future__ import annotations

import asyncio

from flink_actions.server.control import AgentOffer
from flink_actions.server.directory import Directory, Generation, WorkerStatus
from flink_actions.wire.v1 import directory_pb2

SERVING, DEAD = directory_pb2.WorkerEntry.SERVING, directory_pb2.WorkerEntry.DEAD
OFFER = AgentOffer("agent", b"\x01" * 32, b"")


async def test_a_watcher_gets_the_state_and_then_every_change_until_the_end() -> None:
    directory = Directory()
    seen: list[int] = []

    async def watch() -> None:
        async for state in directory.watch():
            seen.append(state.revision)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for _ in range(3):
        directory.publish((), [])
        await asyncio.sleep(0.001)
    directory.close()
    await asyncio.wait_for(watcher, 5)
    assert seen == [0, 1, 2, 3]


async def test_a_slow_watcher_skips_to_the_latest_state_and_misses_no_death() -> None:
    directory = Directory()
    states = directory.watch()
    await states.__anext__()
    dead = WorkerStatus("w0", b"a", DEAD, exit_reason="signal 9 (SIGKILL)")
    directory.publish((), [WorkerStatus("w0", b"a", SERVING)])
    directory.publish((), [dead])
    directory.publish((), [WorkerStatus("w0", b"b", SERVING), dead])
    state = await asyncio.wait_for(states.__anext__(), 5)
    assert state.revision == 3
    assert [worker.state for worker in state.workers] == [SERVING, DEAD]


def test_a_generation_is_its_code_and_its_plans() -> None:
    generation = Generation(b"id", b"code", (OFFER,))
    assert generation.is_of(b"code", [OFFER])
    assert not generation.is_of(b"other code", [OFFER])
    assert not generation.is_of(b"code", [AgentOffer("agent", b"\x02" * 32, b"")])
    assert not generation.is_of(b"code", [])


def test_whatever_the_authors_code_says_when_it_does_not_load_can_be_told() -> None:
    directory = Directory()
    for message in ("no file 'caf\udce9'", "x" * (5 << 20)):
        directory.publish((), [], load_error=message)
        assert directory.state.ByteSize() < 64 << 10
        assert directory.state.reload_error.startswith(message[:5])
