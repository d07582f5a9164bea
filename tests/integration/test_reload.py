"""New code beside the old: who serves what when, and what happens when the new code is not fit to serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc.aio
import pytest
from flink_actions.wire.v1 import directory_pb2, session_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.running_server import RunningServer
from tests.support.session_client import SessionClient, Start, invoke, serving_workers, worker_target

DRAINING = directory_pb2.WorkerEntry.DRAINING
ANSWER, WAIT = 0, 1

SOURCE = """\
import asyncio
from flink_actions import Agent, OutputEvent
from words import WORD

async def answer(event, ctx):
    ctx.send_event(OutputEvent(output=WORD))

async def wait(event, ctx):
    await asyncio.sleep(event.input)
    ctx.send_event(OutputEvent(output=WORD))

agent = Agent("reloaded").add_action("answer", ["_input_event"], answer).add_action("wait", ["_input_event"], wait)
"""


def write(folder: Path, word: str) -> None:
    (folder / "words.py").write_text(f"WORD = {word!r}\n")


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[RunningServer]:
    (folder / "agent.py").write_text(SOURCE)
    write(folder, "first")
    # Jobs of these tests complete no checkpoint.
    flags = flags if "--archive-seconds" in flags else ("--archive-seconds", "0", *flags)
    with RunningServer("agent.py:agent", cwd=folder, flags=flags) as server:
        server.until_logged("serving 'reloaded'")
        yield server


def reload(server: RunningServer) -> None:
    server.process.send_signal(signal.SIGHUP)


async def generations(server: RunningServer, count: int) -> Sequence[directory_pb2.Generation]:
    """As the directory lists them, once there are so many."""
    async with server.directory() as directory:
        state = await directory.until(lambda state: len(state.generations) == count)
    return state.generations


async def newest_session(server: RunningServer, start: Start) -> SessionClient:
    async with server.directory() as directory:
        state = await directory.until(lambda state: bool(serving_workers(state)))
    newest = state.generations[-1].id
    entry = next(one for one in serving_workers(state) if one.generation == newest)
    return SessionClient(worker_target(server.address, entry), start)


async def served_word(server: RunningServer) -> str:
    start = Start("reloaded")
    async with await newest_session(server, start) as session:
        (result,) = await session.run([invoke(start, ANSWER)])
    return str(result.output)


async def until_served(server: RunningServer, word: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while await served_word(server) != word:
        assert time.monotonic() < deadline, f"{word!r} is not served"
        await asyncio.sleep(0.05)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until_gone(pids: Sequence[int], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} live on"
        await asyncio.sleep(0.02)


async def test_new_code_takes_over_and_the_old_finishes_what_it_began(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        start = Start("reloaded")
        old_pids = server.worker_pids()
        old = await server.session(start)
        async with old:
            running = [invoke(start, WAIT, 4.0) for _ in range(10)]
            await old.send_invokes(running)
            write(tmp_path, "second")
            reload(server)
            await old.until(lambda: old.drain is not None)
            assert old.drain is not None
            assert old.drain.reason == old.drain.RELOAD
            first, second = await generations(server, 2)
            assert first.id == old.welcome.generation
            assert first.is_draining
            assert not second.is_draining
            assert await served_word(server) == "second"
            # The next action of a run that began here.
            (late,) = await old.run([invoke(start, ANSWER, run_generation=old.welcome.generation)])
            assert late.output == "first"
            await old.until_end()
            assert {result.output for result in old.results.values()} == {"first"}
            assert set(old.results) == {one.handle for one in running} | {late.handle}
            assert not old.failures
            assert not old.bounces
            assert old.bye is not None
            assert old.bye.reason == old.bye.FINISHED
        await until_gone(old_pids)
        (only,) = await generations(server, 1)
        assert only.id == second.id
        assert len(server.worker_pids()) == 2
        async with server.directory() as directory:
            assert {one.worker for one in await directory.serving(2)} == {"w0", "w1"}
        assert "died" not in server.log


async def test_until_all_new_workers_serve_jobs_see_none_of_them(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        async with server.directory() as directory:
            states: list[directory_pb2.DirectoryState] = []

            async def watch() -> None:
                async for state in directory.watch():
                    states.append(state)

            watching = asyncio.create_task(watch())
            reload(server)
            await generations(server, 2)
            await generations(server, 1)
            watching.cancel()
        for state in states:
            newest = [one for one in state.workers if one.generation == state.generations[-1].id]
            assert len(newest) == 2
            assert all(one.state == one.SERVING for one in newest)
        assert any(one.state == DRAINING for state in states for one in state.workers)


async def test_a_restored_job_finds_the_old_code_while_that_drains(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        start = Start("reloaded")
        (address,) = await server.worker_addresses()
        async with await server.session(start) as session:
            endless = invoke(start, WAIT, 3.0)
            await session.send_invokes([endless])
            reload(server)
            await session.until(lambda: session.drain is not None)
            await session.abort()
        async with SessionClient(address, start) as again:
            await again.until(lambda: again.drain is not None)
            await again.send_invokes([endless])
            await again.until(lambda: endless.handle in again.results)


async def test_a_draining_worker_takes_no_run_that_began_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        start = Start("reloaded")
        async with await server.session(start) as session:
            await session.send_invokes([invoke(start, WAIT, 3.0)])
            reload(server)
            await session.until(lambda: session.drain is not None)
            foreign = invoke(start, ANSWER, run_generation=b"f" * 16)
            await session.send_invokes([foreign])
            await session.until(lambda: foreign.handle in session.bounces)
            assert session.bounces[foreign.handle].reason == session_pb2.Bounce.DRAINING


async def test_what_does_not_finish_within_the_limit_is_given_back(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-seconds", "0.5") as server:
        start = Start("reloaded")
        pids = server.worker_pids()
        async with await server.session(start) as session:
            endless = invoke(start, WAIT, 3600)
            await session.send_invokes([endless])
            reload(server)
            await session.until_end()
            assert set(session.bounces) == {endless.handle}
            assert not session.failures
        await until_gone(pids)


@pytest.mark.parametrize(
    ("source", "place"),
    [("WORD =\n", "words.py:1"), ("x = 1\nWORD = x.nothing\n", "words.py:2"), ("import os\nos.abort()\n", "SIGABRT")],
)
async def test_code_that_does_not_load_changes_nothing_and_is_explained(
    tmp_path: Path, source: str, place: str
) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        pids = set(server.worker_pids())
        (tmp_path / "words.py").write_text(source)
        reload(server)
        async with server.directory() as directory:
            state = await directory.until(lambda state: bool(state.reload_error))
            assert place in state.reload_error
            assert len(state.generations) == 1
            line = server.until_logged("reload failed").string
            assert re.search(rf"ERROR\s+supervisor: reload failed.*{re.escape(place)}", line)
            assert server.log.count("reload failed") == 1
            assert "Traceback" not in server.log
            assert await served_word(server) == "first"
            assert set(server.worker_pids()) == pids
            write(tmp_path, "second")
            reload(server)
            await directory.until(lambda state: not state.reload_error and len(state.generations) == 2)
        assert await served_word(server) == "second"


async def test_reloads_asked_for_meanwhile_come_to_one_more(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for _ in range(5):
            reload(server)
            await asyncio.sleep(0.1)
        write(tmp_path, "last")
        reload(server)
        await until_served(server, "last")
        assert server.log.count("SIGHUP: reloading") >= 2
        assert server.log.count("reloaded:") <= 3


async def test_a_saved_file_is_served_without_a_signal_and_a_touched_one_is_not(tmp_path: Path) -> None:
    with serving(tmp_path, "--reload") as server:
        os.utime(tmp_path / "words.py")
        await asyncio.sleep(1.5)
        assert "reloading" not in server.log
        write(tmp_path, "saved")
        await until_served(server, "saved")
        (tmp_path / "words.py").write_text("from more import WORD\n")
        server.until_logged("reload failed")
        # A file that no load has ever reached.
        (tmp_path / "more.py").write_text("WORD = 'from a new file'\n")
        await until_served(server, "from a new file")


async def test_a_worker_that_was_restarted_with_changed_code_takes_all_others_along(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        write(tmp_path, "second")
        pids = server.worker_pids()
        os.kill(pids[0], signal.SIGKILL)
        server.until_logged("reloaded: 'reloaded'")
        await until_gone(pids)
        await generations(server, 1)
        start = Start("reloaded")
        for address in await server.worker_addresses(2):
            async with SessionClient(address, start) as session:
                (result,) = await session.run([invoke(start, ANSWER)])
                assert result.output == "second"


@pytest.mark.parametrize("delay_seconds", [0.05, 0.6, 1.6])
async def test_sigterm_in_the_middle_of_a_reload_drains_and_leaves_nobody(tmp_path: Path, delay_seconds: float) -> None:
    with serving(tmp_path) as server:
        start = Start("reloaded")
        async with await server.session(start) as session:
            running = invoke(start, WAIT, 2.5)
            await session.send_invokes([running])
            reload(server)
            await asyncio.sleep(delay_seconds)
            pids = server.worker_pids()
            server.process.send_signal(signal.SIGTERM)
            await session.until_end()
            assert set(session.results) == {running.handle}
        assert server.wait() == 0
        await until_gone(pids)
        assert "died" not in server.log


async def test_the_server_stays_ready_during_a_reload(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            seen = set()
            reload(server)
            deadline = time.monotonic() + 20
            while "has drained" not in server.log:
                assert time.monotonic() < deadline
                for service in ("", "worker/w0"):
                    seen.add((await health.Check(health_pb2.HealthCheckRequest(service=service))).status)
                await asyncio.sleep(0.02)
        assert seen == {health_pb2.HealthCheckResponse.SERVING}


async def test_sockets_of_old_workers_are_gone_after_a_reload(tmp_path: Path, socket_folder: Path) -> None:
    (tmp_path / "agent.py").write_text(SOURCE)
    write(tmp_path, "first")
    with RunningServer("agent.py:agent", cwd=tmp_path, listen=f"unix:{socket_folder}/s") as server:
        await server.worker_addresses()
        before = set(os.listdir(socket_folder))
        reload(server)
        server.until_logged("has drained")
        after = set(os.listdir(socket_folder))
        assert len(before) == len(after) == 2
        assert before & after == {"s"}
