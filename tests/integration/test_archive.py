"""A worker whose code was reloaded stays, for what it keeps, until a checkpoint covers that or its time is over."""

from __future__ import annotations

from pathlib import Path

from flink_actions.wire.v1 import directory_pb2, session_pb2

from tests.integration.test_reload import ANSWER, WAIT, is_alive, reload, serving, until_gone, until_served, write
from tests.support.running_server import RunningServer
from tests.support.session_client import SessionClient, Start, invoke, worker_target

ARCHIVE = directory_pb2.WorkerEntry.ARCHIVE


async def archive_of(server: RunningServer) -> directory_pb2.WorkerEntry:
    async with server.directory() as directory:
        state = await directory.until(lambda state: any(one.state == ARCHIVE for one in state.workers))
    (entry,) = [one for one in state.workers if one.state == ARCHIVE]
    return entry


async def kept(session: SessionClient, ping: int) -> session_pb2.Pong:
    """What the worker says that it keeps."""
    await session.send(ping={"id": ping})
    await session.until(lambda: ping in session.pongs)
    return session.pongs[ping]


def same_work(of: session_pb2.Invoke, start: Start) -> session_pb2.Invoke:
    """As a later start asks for it."""
    return invoke(start, of.action, invocation_id=of.invocation_id, key="k", run_number=of.run_number)


async def test_after_a_reload_finished_work_is_handed_back_to_a_restarted_job_and_nothing_else_is_done(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, "--archive-seconds", "60") as server:
        first = Start("reloaded")
        (pid,) = server.worker_pids()
        session = await server.session(first)
        async with session:
            done = [invoke(first, ANSWER) for _ in range(4)]
            await session.run(done)
            # What may not have arrived would be no replay.
            await session.send(received=max(frame.sequence for frame in session.frames))
            write(tmp_path, "second")
            reload(server)
            entry = await archive_of(server)
            assert [(one.namespace, one.operator_uid) for one in entry.kept] == [(first.namespace, first.operator_uid)]
            assert entry.incarnation == session.welcome.incarnation
            # The job fails, as far as the worker can see.
            await session.close(session_pb2.Bye.JOB_CANCELLED)
        await until_served(server, "second")

        later = Start("reloaded", epoch=first.epoch + 1)
        async with SessionClient(worker_target(server.address, entry), later) as again:
            # Computed on other memory: no answer.
            missed = same_work(done[3], later)
            missed.memory_version = b"8 bytes."
            await again.send_invokes([missed])
            await again.until(lambda: missed.handle in again.bounces)
            assert (await kept(again, 1)).kept_missed == 1
            asked = [same_work(one, later) for one in done]
            results = await again.run(asked)
            assert {result.output for result in results} == {"first"}
            assert sorted(again.handed_back) == [one.handle for one in asked]
            new = invoke(later, ANSWER)
            await again.send_invokes([new])
            await again.until(lambda: new.handle in again.bounces)
            assert is_alive(pid)
            # A checkpoint covers what was handed back.
            await again.send(
                checkpoint_completed=session_pb2.CheckpointCompleted(
                    checkpoint_id=1, cut=max(frame.sequence for frame in again.frames)
                )
            )
            await again.until_end()
            assert again.bye is not None
        await until_gone([pid])


async def test_an_archive_leaves_when_a_checkpoint_of_the_job_that_goes_on_covers_its_work(tmp_path: Path) -> None:
    with serving(tmp_path, "--archive-seconds", "60") as server:
        start = Start("reloaded")
        (pid,) = server.worker_pids()
        session = await server.session(start)
        async with session:
            await session.run([invoke(start, ANSWER)])
            assert (await kept(session, 1)).kept_bytes > 500
            reload(server)
            await archive_of(server)
            cut = max(frame.sequence for frame in session.frames)
            await session.send(checkpoint_completed=session_pb2.CheckpointCompleted(checkpoint_id=1, cut=cut))
            await session.until_end()
            assert session.bye is not None
        await until_gone([pid])
        assert "given up" not in server.log


async def test_what_no_checkpoint_ever_covers_is_given_up_in_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, "--archive-seconds", "1") as server:
        start = Start("reloaded")
        (pid,) = server.worker_pids()
        async with await server.session(start) as session:
            await session.run([invoke(start, ANSWER)])
            reload(server)
            await session.until_end()
        await until_gone([pid])
        server.until_logged("finished work is given up that no checkpoint covered within 1 s of the reload")


async def test_what_did_not_finish_in_time_goes_elsewhere_and_the_rest_is_archived(tmp_path: Path) -> None:
    with serving(tmp_path, "--archive-seconds", "60", "--drain-seconds", "1") as server:
        start = Start("reloaded")
        async with await server.session(start) as session:
            await session.run([invoke(start, ANSWER)])
            unfinished = invoke(start, WAIT, 60.0)
            await session.send_invokes([unfinished])
            reload(server)
            await session.until(lambda: unfinished.handle in session.failures)
            assert session.failures[unfinished.handle].kind == session_pb2.Failure.CANCELLED
            await archive_of(server)


async def test_archives_keep_no_reload_waiting(tmp_path: Path) -> None:
    with serving(tmp_path, "--archive-seconds", "60") as server:
        for number in range(5):
            start = Start("reloaded", namespace=f"n{number}")
            await until_served(server, "first" if number == 0 else f"version {number}")
            async with server.directory() as directory:
                newest = (await directory.serving())[-1]
            async with SessionClient(worker_target(server.address, newest), start) as session:
                await session.run([invoke(start, ANSWER)])
            write(tmp_path, f"version {number + 1}")
            reload(server)
        await until_served(server, "version 5", seconds=30.0)
        server.until_logged("leaves with work that no checkpoint covers")
