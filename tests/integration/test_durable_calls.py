"""Durable calls in real workers that are really killed, with a ledger outside of both processes."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from flink_actions.wire.v1 import session_pb2

from tests.integration.conftest import BEHAVIOURS
from tests.support.running_server import RunningServer
from tests.support.session_client import Rejected, SessionClient, Start, identity, invoke, worker_target

STEPS = 5


def action(session: SessionClient, name: str) -> int:
    return [one.name for one in session.welcome.plan.actions].index(name)


def lines(path: Path) -> list[list[str]]:
    """Name of the invocation, step, idempotency key."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def work(
    session: SessionClient, name: str, ledger: Path, count: int, *, attempt: int = 1, calls: SessionClient | None = None
) -> list[session_pb2.Invoke]:
    """The same invocations every time, with what `calls` has recorded of them."""
    invokes = []
    for number in range(count):
        value = {"ledger": str(ledger), "name": f"i{number}", "steps": STEPS}
        message = invoke(
            session.start,
            action(session, name),
            value,
            key=number,
            run_number=1,
            attempt=attempt,
            invocation_id=identity("invocation", name, number),
        )
        if calls is not None:
            message.calls.extend(calls.calls.get(number + 1, {}).values())
        invokes.append(message)
    return invokes


async def until_paid(ledger: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(lines(ledger)) < count:
        assert time.monotonic() < deadline, f"{len(lines(ledger))} of {count} lines"
        await asyncio.sleep(0.005)


def check_ledger(ledger: Path, recorded: Sequence[tuple[str, int]], tasks: int, deaths: int) -> int:
    """The promise of rule 12; gives back how many calls were made again."""
    paid = Counter((name, int(step)) for name, step, _ in lines(ledger))
    keys = {(name, step, key) for name, step, key in lines(ledger)}
    assert len(keys) == len(paid), "a call that is repeated has the key of its first time"
    assert len({key for _, _, key in keys}) == len(paid), "no two calls share a key"
    for call in recorded:
        assert paid[call] == 1, f"recorded call {call} was made {paid[call]} times"
    again = Counter(name for (name, _), times in paid.items() for _ in range(times - 1))
    assert all(times <= tasks * deaths for times in again.values()), again
    return sum(again.values())


@pytest.mark.parametrize(("name", "tasks"), [("pay_in_steps", 1), ("pay_at_once", STEPS), ("pay_in_thread", 1)])
async def test_after_kill_9_no_recorded_call_is_made_again_and_at_most_the_last_of_each_task(
    tmp_path: Path, name: str, tasks: int
) -> None:
    ledger, count = tmp_path / "ledger", 40
    with RunningServer(BEHAVIOURS) as server:
        first = await server.session(Start("behaviours"))
        await first.open()
        await first.send_invokes(work(first, name, ledger, count))
        await until_paid(ledger, count * STEPS // 3)
        (pid,) = server.worker_pids()
        os.kill(pid, signal.SIGKILL)
        await first.until_end()
        recorded = [
            (f"i{handle - 1}", int(record.value))
            for handle, records in first.calls.items()
            for record in records.values()
        ]
        await first.abort()
        assert len(first.results) < count
        start = Start("behaviours", start_id=first.start.start_id, epoch=first.start.epoch, was_welcomed=True)
        server.until_logged("died: signal 9")
        async with await server.session(start) as second:
            results = await second.run(work(second, name, ledger, count, attempt=2, calls=first))
        assert [result.output for result in results] == [list(range(STEPS))] * count
    again = check_ledger(ledger, recorded, tasks, deaths=1)
    print(f"{name}: {len(recorded)} recorded before the death, {again} of {count * STEPS} calls made again")


async def test_a_restored_job_finds_results_and_records_where_the_worker_lives(tmp_path: Path) -> None:
    ledger, count = tmp_path / "ledger", 20
    with RunningServer(BEHAVIOURS) as server:
        first = await server.session(Start("behaviours"))
        await first.open()
        invokes = work(first, "pay_in_steps", ledger, count)
        await first.run(invokes[:10])
        # What may not have arrived would be no replay.
        await first.send(received=max(frame.sequence for frame in first.frames))
        await first.send_invokes(invokes[10:])
        await until_paid(ledger, 10 * STEPS + 10 * 2)
        # The TaskManager dies with all that it had been told: nothing was in a checkpoint.
        await first.abort()
        restored = Start("behaviours", epoch=first.start.epoch + 1)
        async with await server.session(restored) as second:
            again = work(second, "pay_in_steps", ledger, count, attempt=2)
            results = await second.run(again)
            assert [result.output for result in results] == [list(range(STEPS))] * count
            assert set(second.handed_back) >= {one.handle for one in again[:10]}
            # What was recorded before reaches the restored operator too.
            assert len(second.calls[again[-1].handle]) == STEPS
    paid = Counter((name, step) for name, step, _ in lines(ledger))
    assert all(times == 1 for (name, _), times in paid.items() if int(name[1:]) < 10)
    assert check_ledger(ledger, [], tasks=1, deaths=1) <= 10


async def test_no_other_input_and_no_other_memory_is_answered_from_kept_work(
    tmp_path: Path, server: RunningServer
) -> None:
    ledger = tmp_path / "ledger"
    first = await server.session(Start("behaviours"))
    await first.open()
    await first.run(work(first, "pay_in_steps", ledger, 2))
    await first.abort()
    async with await server.session(Start("behaviours", epoch=first.start.epoch + 1)) as second:
        one, other = work(second, "pay_in_steps", ledger, 2, attempt=2)
        one.invocation_id = identity("invocation", "another input")
        other.memory_version = b"otherone"
        await second.run([one, other])
        assert second.handed_back == []
    paid = Counter((name, step) for name, step, _ in lines(ledger))
    # The records of the second one's calls need no memory: they answer.
    assert {times for (name, _), times in paid.items() if name == "i0"} == {2}
    assert {times for (name, _), times in paid.items() if name == "i1"} == {1}


async def test_a_completed_checkpoint_lets_kept_work_go(tmp_path: Path, server: RunningServer) -> None:
    ledger = tmp_path / "ledger"
    first = await server.session(Start("behaviours"))
    await first.open()
    await first.run(work(first, "pay_in_steps", ledger, 2))
    cut = first.frames[-1].sequence
    await first.send(checkpoint_completed=session_pb2.CheckpointCompleted(checkpoint_id=1, cut=cut))
    await first.send(ping=session_pb2.Ping(id=1))
    await first.until(lambda: 1 in first.pongs)
    await first.abort()
    async with await server.session(Start("behaviours", epoch=first.start.epoch + 1)) as second:
        await second.run(work(second, "pay_in_steps", ledger, 2, attempt=2))
        assert second.handed_back == []
    assert len(lines(ledger)) == 2 * 2 * STEPS


async def test_a_job_without_checkpoints_is_not_handed_back_anything(tmp_path: Path, server: RunningServer) -> None:
    ledger = tmp_path / "ledger"
    first = await server.session(Start("behaviours"), has_checkpoints=False)
    await first.open()
    await first.run(work(first, "pay_in_steps", ledger, 2))
    await first.abort()
    async with await server.session(Start("behaviours", epoch=first.start.epoch + 1), has_checkpoints=False) as second:
        await second.run(work(second, "pay_in_steps", ledger, 2, attempt=2))
        assert second.handed_back == []
    assert len(lines(ledger)) == 2 * 2 * STEPS


async def test_an_attempt_that_waits_for_an_acknowledgement_gets_it_on_the_next_session(
    tmp_path: Path, server: RunningServer
) -> None:
    ledger, start = tmp_path / "ledger", Start("behaviours")
    first = await server.session(start)
    first.acknowledges_calls = False
    await first.open()
    (one,) = work(first, "pay_in_steps", ledger, 1)
    await first.send_invokes([one])
    await first.until(lambda: one.handle in first.calls)
    await asyncio.sleep(0.1)
    assert len(lines(ledger)) == 1
    await first.abort()
    async with await server.session(start) as second:
        (result,) = await second.run([one])
        assert result.output == list(range(STEPS))
        assert len(second.calls[one.handle]) == STEPS
    assert len(lines(ledger)) == STEPS


async def test_records_that_do_not_fit_into_the_invokes_frame_follow_it(tmp_path: Path, server: RunningServer) -> None:
    ledger, start = tmp_path / "ledger", Start("behaviours")
    async with await server.session(start) as first:
        (one,) = work(first, "pay_in_steps", ledger, 1)
        await first.run([one])
        records = list(first.calls[one.handle].values())
    async with await server.session(Start("behaviours", epoch=start.epoch + 1), has_checkpoints=False) as second:
        (again,) = work(second, "pay_in_steps", ledger, 1, attempt=2)
        again.more_calls = True
        again.calls.extend(records[:1])
        await second.send_invokes([again])
        await second.send(call_records=_of(again.handle, records[1:3], ends=False))
        await asyncio.sleep(0.05)
        assert again.handle not in second.results
        await second.send(call_records=_of(again.handle, records[3:], ends=True))
        await second.until(lambda: again.handle in second.results)
    assert len(lines(ledger)) == STEPS


def _of(handle: int, records: list[session_pb2.CallRecord], *, ends: bool) -> list[session_pb2.CallRecord]:
    copies = []
    for number, record in enumerate(records):
        copy = session_pb2.CallRecord()
        copy.CopyFrom(record)
        copy.handle = handle
        copy.is_last = ends and number == len(records) - 1
        copies.append(copy)
    return copies


async def test_each_worker_tells_a_restored_job_what_it_holds_and_an_earlier_one_nothing(tmp_path: Path) -> None:
    """The calls of one that died are gone; those of the one that stood in for it are found there."""
    ledger, count = tmp_path / "ledger", 10
    with RunningServer(BEHAVIOURS, flags=["--workers", "2"]) as server:
        async with server.directory() as directory:
            entries = await directory.serving(2)
        targets = [worker_target(server.address, entry) for entry in entries]
        first = Start("behaviours")
        async with SessionClient(targets[0], first, asks_for_holdings=True) as one:
            assert not one.welcome.tells_holdings
            done = work(one, "pay_in_steps", ledger, count)
            await one.run(done)
            unfinished = invoke(first, action(one, "pay_in_steps"), {"ledger": str(ledger), "name": "x", "steps": 1000})
            await one.send_invokes([unfinished])
            await one.until(lambda: len(one.calls.get(unfinished.handle, ())) > 3)
            await one.abort()

        later = Start("behaviours", epoch=first.epoch + 1)
        async with SessionClient(targets[1], later, asks_for_holdings=True) as other:
            assert not other.welcome.tells_holdings
        async with SessionClient(targets[0], later) as silent:
            assert not silent.welcome.tells_holdings, "it did not ask"
            await silent.abort()
        async with SessionClient(targets[0], later, asks_for_holdings=True) as again:
            assert again.welcome.tells_holdings
            await again.until(lambda: any(frame.holdings.is_last for frame in again.frames))
            pages = [frame.holdings for frame in again.frames if frame.HasField("holdings")]
            told = b"".join(page.invocations for page in pages)
            assert {told[at : at + 8] for at in range(0, len(told), 8)} == {
                one.invocation_id[:8] for one in [*done, unfinished]
            }
            assert {epoch for page in pages for epoch in page.epoch} == {first.epoch}
            assert {attempt for page in pages for attempt in page.attempt} == {1}


# values that have no JSON form

PICKLES: dict[str, Any] = {"accepted_content_types": [session_pb2.PICKLE]}


class Bomb:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def ticket(
    session: SessionClient, ledger: Path, *, records: Sequence[session_pb2.CallRecord] = (), key: int = 0
) -> session_pb2.Invoke:
    """The same invocation every time, with these records of earlier attempts."""
    return invoke(
        session.start,
        action(session, "issue_ticket"),
        {"ledger": str(ledger), "seat": "7a"},
        key=key,
        attempt=2 if records else 1,
        invocation_id=identity("invocation", "issue_ticket", key),
        calls=records,
    )


async def failure_of(session: SessionClient, message: session_pb2.Invoke) -> session_pb2.Failure:
    await session.send_invokes([message])
    await session.until(lambda: message.handle in session.failures)
    return session.failures[message.handle]


async def test_a_pickled_value_is_replayed_where_both_sides_allow_it_and_refused_by_name_elsewhere(
    tmp_path: Path,
) -> None:
    ledger, went_off = tmp_path / "ledger", tmp_path / "went off"
    epoch = int(time.time() * 1000)

    def another_start() -> Start:
        nonlocal epoch
        epoch += 1
        return Start("behaviours", epoch=epoch)

    with RunningServer(BEHAVIOURS, flags=["--allow-pickle"]) as server:
        async with await server.session(another_start(), has_checkpoints=False, **PICKLES) as first:
            message = ticket(first, ledger)
            (result,) = await first.run([message])
            assert result.output == ["Ticket", True]
            (record,) = first.calls[message.handle].values()
            assert record.content_type == session_pb2.PICKLE
        bomb = session_pb2.CallRecord()
        bomb.CopyFrom(record)
        bomb.value = pickle.dumps(Bomb(went_off))

        async with await server.session(another_start(), has_checkpoints=False, **PICKLES) as second:
            (result,) = await second.run([ticket(second, ledger, records=[record])])
            assert result.output == ["Ticket", True]

        async with await server.session(another_start(), has_checkpoints=False) as unwilling:
            failure = await failure_of(unwilling, ticket(unwilling, ledger, records=[bomb], key=1))
            assert failure.exception.endswith("NotDecodableError")
            for text in ("_issue", "recorded as a pickle", "the job does not", "allow_pickle=True"):
                assert text in failure.message
            assert not failure.drop_calls
            # Likewise if it does not come in the frame of its Invoke.
            message = ticket(unwilling, ledger, key=2)
            message.more_calls = True
            await unwilling.send_invokes([message])
            await unwilling.send(call_records=_of(message.handle, [bomb], ends=True))
            await unwilling.until(lambda: message.handle in unwilling.failures)
            assert "recorded as a pickle" in unwilling.failures[message.handle].message
        assert ledger.read_text() == "7a\n", "it was made once, and no refusal has made it again"

        async with await server.session(another_start(), has_checkpoints=False) as unwilling:
            failure = await failure_of(unwilling, ticket(unwilling, ledger))
            assert failure.kind == session_pb2.Failure.NOT_ENCODABLE
            assert "the job does not" in failure.message

    with RunningServer(BEHAVIOURS) as server:
        with pytest.raises(Rejected, match="--allow-pickle"):
            await (await server.session(another_start(), **PICKLES)).open()
        async with await server.session(another_start(), has_checkpoints=False) as neither:
            for message in (ticket(neither, ledger, records=[bomb]), ticket(neither, ledger, key=1)):
                failure = await failure_of(neither, message)
                for text in ("_issue", "neither server nor job", "--allow-pickle", "allow_pickle=True"):
                    assert text in failure.message
    assert not went_off.exists()
