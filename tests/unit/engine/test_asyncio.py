"""An action is an asyncio program like any other: what works in a task of one's own works here, from the first step."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from flink_actions import Agent, Event, OutputEvent, RunnerContext
from flink_actions.engine.invocation import Failed, FailureKind, Succeeded

from tests.unit.engine.worker import Worker, sent_by, until

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup came with 3.11")

Body = Callable[[Any], Awaitable[Any]]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def agent_of(*bodies: Body) -> Agent:
    """An agent whose actions send what the bodies return, each under its body's name."""
    agent = Agent()
    for body in bodies:

        async def act(event: Event, ctx: RunnerContext, body: Body = body) -> None:
            ctx.send_event(OutputEvent(output=await body(event.attributes["n"])))

        agent.add_action(body.__name__, [body.__name__], act)
    return agent


async def values_of(body: Body, count: int = 1, rounds: int = 1) -> list[Any]:
    """What a body returns for 0, 1, ...; several rounds, so that the engine changes how it begins the action."""
    async with Worker(agent_of(body)) as worker:
        found = []
        for _ in range(rounds):
            found = await worker.sent(*(worker.invocation(body.__name__, {"n": n}) for n in range(count)))
        return found


# Each is run once by the leader, and often enough that it is given a task at once.
many_ways = pytest.mark.parametrize(("count", "rounds"), [(1, 1), (50, 3)], ids=["by-the-leader", "in-tasks"])


@many_ways
async def test_gather_waits_for_all(count: int, rounds: int) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def body(n: int) -> list[int]:
        return list(await asyncio.gather(double(n), double(n + 1)))

    assert await values_of(body, count, rounds) == [[2 * n, 2 * n + 2] for n in range(count)]


@many_ways
async def test_a_timeout_ends_the_wait_and_nothing_else(count: int, rounds: int) -> None:
    async def body(n: int) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
            return f"{n} timed out"
        return "was not timed out"

    assert await values_of(body, count, rounds) == [f"{n} timed out" for n in range(count)]


@many_ways
async def test_a_timeout_that_is_not_reached_does_nothing(count: int, rounds: int) -> None:
    async def body(n: int) -> int:
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        return n

    assert await values_of(body, count, rounds) == list(range(count))


@many_ways
async def test_a_task_group_waits_for_its_tasks(count: int, rounds: int) -> None:
    async def body(n: int) -> int:
        found: list[int] = []

        async def add(value: int) -> None:
            await asyncio.sleep(0)
            found.append(value)

        async with asyncio.TaskGroup() as group:
            group.create_task(add(n))
            group.create_task(add(n))
        return sum(found)

    assert await values_of(body, count, rounds) == [2 * n for n in range(count)]


async def test_a_task_group_whose_task_fails_cancels_the_others_and_raises_in_its_action_only() -> None:
    cancelled: list[int] = []

    async def body(n: int) -> int:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError(f"no {n}")

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(n)
                raise

        if n % 2 == 0:
            return n
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(fail())
        return -1

    async with Worker(agent_of(body)) as worker:
        even, odd, later = await worker.run(*(worker.invocation("body", {"n": n}) for n in range(3)))
    assert sent_by([even, later]) == [0, 2]
    assert isinstance(odd, Failed)
    assert odd.kind is FailureKind.BUG
    assert odd.exception == "ExceptionGroup"
    assert "ValueError: no 1" in odd.stack
    assert cancelled == [1]


@many_ways
async def test_anyio_scopes_and_task_groups_work(count: int, rounds: int) -> None:
    async def body(n: int) -> list[Any]:
        found: list[int] = []

        async def add(value: int) -> None:
            await anyio.lowlevel.checkpoint()
            found.append(value)

        async with anyio.create_task_group() as group:
            group.start_soon(add, n)
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        return [found, scope.cancelled_caught]

    assert await values_of(body, count, rounds) == [[[n], True] for n in range(count)]


async def test_an_anyio_scope_that_never_waits_leaves_nothing_behind() -> None:
    async def body(n: int) -> int:
        with anyio.CancelScope():  # noqa: ASYNC100 - that it never waits is the point
            found = n
        return found

    assert await values_of(body, 20) == list(range(20))


@pytest.fixture
async def local_server() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ")[1]
                if path == b"/slow":
                    await asyncio.sleep(30)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.close()


@many_ways
async def test_an_httpx_client_talks_to_a_server(local_server: str, count: int, rounds: int) -> None:
    async with httpx.AsyncClient(base_url=local_server) as client:

        async def body(n: int) -> str:
            one, two = await asyncio.gather(client.get(f"/{n}"), client.get(f"/again/{n}"))
            return one.text + two.text

        assert await values_of(body, min(count, 20), rounds) == [f"/{n}/again/{n}" for n in range(min(count, 20))]


async def test_httpx_times_out_by_its_own_setting(local_server: str) -> None:
    async def body(n: int) -> str:
        async with httpx.AsyncClient(base_url=local_server, timeout=0.05) as client:
            try:
                await client.get("/slow")
            except httpx.ReadTimeout:
                return "timed out"
            return "answered"

    assert await values_of(body) == ["timed out"]


@many_ways
async def test_each_action_has_context_variables_of_its_own(count: int, rounds: int) -> None:
    async def body(n: int) -> list[str]:
        before = variable.get()
        variable.set(f"of {n}")
        await asyncio.sleep(0)
        between = variable.get()
        in_task = await asyncio.create_task(read())
        return [before, between, in_task]

    async def read() -> str:
        return variable.get()

    assert await values_of(body, count, rounds) == [["unset", f"of {n}", f"of {n}"] for n in range(count)]


async def test_the_current_task_is_the_same_from_the_first_step_to_the_last() -> None:
    async def body(n: int) -> bool:
        first = asyncio.current_task()
        await asyncio.sleep(0)
        second = asyncio.current_task()
        await asyncio.sleep(0.001)
        return first is second is asyncio.current_task()

    assert await values_of(body, 40, 2) == [True] * 40


async def test_two_actions_that_wait_have_two_tasks() -> None:
    tasks = set()

    async def body(n: int) -> int:
        tasks.add(asyncio.current_task())
        await asyncio.sleep(0.01)
        return n

    await values_of(body, 10)
    assert len(tasks) == 10


async def test_an_action_that_cancels_its_own_task_and_returns_harms_no_other() -> None:
    async def body(n: int) -> int:
        if n == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        elif n > 1:
            await asyncio.sleep(0)
        return n

    assert await values_of(body, 4) == [0, 1, 2, 3]


async def test_an_action_that_cancels_its_own_task_and_waits_fails_alone() -> None:
    async def body(n: int) -> int:
        if n == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await asyncio.sleep(0)
        return n

    async with Worker(agent_of(body)) as worker:
        outcomes = await worker.run(*(worker.invocation("body", {"n": n}) for n in range(3)))
    assert [type(outcome) for outcome in outcomes] == [Succeeded, Failed, Succeeded]
    failed = outcomes[1]
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.exception) == (FailureKind.BUG, "asyncio.exceptions.CancelledError")


async def test_queues_and_events_connect_actions_of_one_worker() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def put(n: int) -> int:
        await queue.put(n)
        return n

    async def take(n: int) -> int:
        return await queue.get()

    async with Worker(agent_of(put, take)) as worker:
        taker, putter = worker.invocation("take", {"n": 0}), worker.invocation("put", {"n": 7})
        assert await worker.sent(taker, putter) == [7, 7]


async def test_a_thousand_waiting_actions_wait_together_and_burn_no_cpu() -> None:
    release = asyncio.Event()

    async def body(n: int) -> int:
        await release.wait()
        return n

    async with Worker(agent_of(body)) as worker:
        worker.submit(*(worker.invocation("body", {"n": n}) for n in range(1000)))
        await until(lambda: worker.stepped_frames == 1)
        assert worker.scope.open_count == 1000
        before = time.process_time()
        await asyncio.sleep(0.5)
        burnt = time.process_time() - before
        release.set()
        assert sorted(sent_by(await worker.outcomes(1000))) == list(range(1000))
    # An idle event loop takes well under a millisecond; polling a thousand takes all there is.
    assert burnt < 0.1
