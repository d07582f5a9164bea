"""The protocol's rules, over real gRPC against a real worker."""

from __future__ import annotations

import asyncio
import datetime
import os
import pickle
import signal
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from flink_actions.wire.v1 import session_pb2

from tests.integration.conftest import BEHAVIOURS
from tests.support.running_server import RunningServer
from tests.support.session_client import DEADLINE_SECONDS, Rejected, SessionClient, Start, invoke

Reject, Bye = session_pb2.Reject, session_pb2.Bye


def action(session: SessionClient, name: str) -> int:
    return [one.name for one in session.welcome.plan.actions].index(name)


async def rejected(server: RunningServer, start: Start, **hello: Any) -> Rejected:
    with pytest.raises(Rejected) as raised:
        await (await server.session(start, **hello)).open()
    return raised.value


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def until_written(path: Path, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(lines(path)) < count:
        assert time.monotonic() < deadline, f"{path} has {lines(path)}"
        await asyncio.sleep(0.01)


# handshake


async def test_welcome_brings_the_plan_once_and_then_only_its_digest(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        welcome = session.welcome
        assert welcome.protocol == 1
        assert welcome.worker == "w0"
        assert welcome.plan.agent == "behaviours"
        assert welcome.plan.digest == welcome.plan_digest
        assert (welcome.frame_window, welcome.credit.invocations, welcome.credit.bytes) == (2, 16_384, 64 << 20)
        assert welcome.linger_ms == 10_000
    async with await server.session(start, known_plan_digest=welcome.plan_digest) as session:
        assert not session.welcome.HasField("plan")
        assert session.welcome.plan_digest == welcome.plan_digest


@pytest.mark.parametrize(
    ("changes", "reason", "part"),
    [
        ({"protocol_min": 7, "protocol_max": 9}, Reject.PROTOCOL_VERSION, "7 to 9"),
        ({"agent": "behavours"}, Reject.UNKNOWN_AGENT, "'behaviours'"),
        ({"pinned_plan_digest": b"\x01" * 32}, Reject.PLAN_MISMATCH, "0101"),
        ({"accepted_content_types": [session_pb2.PICKLE]}, Reject.CONTENT_TYPE, "--allow-pickle"),
        ({"start_id": b""}, Reject.MALFORMED, "start_id"),
    ],
)
async def test_a_refused_hello_is_told_why_and_the_next_one_is_served(
    server: RunningServer, changes: dict[str, Any], reason: int, part: str
) -> None:
    error = await rejected(server, Start("behaviours"), **changes)
    assert error.reason == reason
    assert part in error.message
    async with await server.session(Start("behaviours")):
        pass


async def test_a_job_that_says_bye_before_it_has_read_anything_hears_the_end_of_the_stream(
    server: RunningServer,
) -> None:
    (address,) = await server.worker_addresses()

    async def come_and_go(number: int) -> object:
        start = Start("behaviours", namespace=f"namespace {number}")
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.stream_stream("/flink_actions.wire.v1.Worker/Session")()
            # Bye arrives while Welcome is being written.
            await call.write(session_pb2.OperatorFrame(hello=start.hello()).SerializeToString())
            await call.write(session_pb2.OperatorFrame(bye=Bye(reason=Bye.FINISHED)).SerializeToString())
            await call.done_writing()
            while await asyncio.wait_for(call.read(), DEADLINE_SECONDS) is not grpc.aio.EOF:
                pass
            return await call.code()

    for first in range(0, 200, 20):
        codes = await asyncio.gather(*map(come_and_go, range(first, first + 20)))
        assert codes == [grpc.StatusCode.OK] * 20


async def test_a_later_start_of_the_same_key_groups_fences_the_earlier_one(
    server: RunningServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    zombie = Start("behaviours", epoch=100, key_group_first=64)
    async with await server.session(zombie) as old:
        work = {"ledger": str(ledger), "name": "orphan", "seconds": 60}
        await old.send_invokes([invoke(zombie, action(old, "write_down_and_wait"), work)])
        await until_written(ledger, 1)
        async with await server.session(Start("behaviours", epoch=101, key_group_first=32, key_group_last=95)):
            await old.until_end()
            assert old.bye is not None
            assert old.bye.reason == Bye.FENCED
            await until_written(ledger, 2)
            assert lines(ledger) == ["orphan", "cancelled orphan"]
    error = await rejected(server, zombie)
    assert (error.reason, error.known_epoch) == (Reject.STALE_EPOCH, 101)


async def test_subtasks_and_operators_beside_each_other_do_not_fence(server: RunningServer) -> None:
    starts = [
        Start("behaviours", epoch=1, key_group_last=63),
        Start("behaviours", epoch=2, key_group_first=64),
        Start("behaviours", epoch=3, operator_uid="other"),
        Start("behaviours", epoch=4, namespace="other"),
    ]
    sessions = [await server.session(start) for start in starts]
    for session in sessions:
        await session.open()
    for session, start in zip(sessions, starts, strict=True):
        (result,) = await session.run([invoke(start, action(session, "echo"), start.epoch)])
        assert result.output == start.epoch
        await session.close()


async def test_another_job_under_a_live_namespace_is_refused_and_served_once_the_first_has_left(
    server: RunningServer,
) -> None:
    second = Start("behaviours", job_id="2" * 32)
    async with await server.session(Start("behaviours", job_id="1" * 32)):
        error = await rejected(server, second)
        assert error.reason == Reject.NAMESPACE_IN_USE
        assert "job-identifier" in error.message
    async with await server.session(second):
        pass


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff", os.urandom(1000)])
async def test_a_first_frame_that_is_no_hello_is_rejected_as_malformed(server: RunningServer, data: bytes) -> None:
    session = await server.session(Start("behaviours"))
    answer = await session.open_raw(data)
    assert answer.reject.reason == Reject.MALFORMED
    await session.abort()
    async with await server.session(Start("behaviours")):
        pass


# work


async def test_ten_thousand_invocations_come_back_each_with_its_own_answer(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        echo = action(session, "echo")
        results = await session.run([invoke(start, echo, {"n": number}, key=number) for number in range(10_000)])
        assert [result.output for result in results] == [{"n": number} for number in range(10_000)]
        assert session.duplicates == []
        numbers = [frame.sequence for frame in session.frames]
        assert numbers == list(range(1, len(numbers) + 1))
        await session.until(lambda: session.credit.invocations == 16_384 + 10_000)
        sizes = sum(invoke(Start("behaviours"), echo, {"n": number}, key=number).ByteSize() for number in range(3))
        assert session.credit.bytes > (64 << 20) + sizes


async def test_a_frame_is_acknowledged_while_its_actions_still_wait(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        wait = action(session, "wait")
        for number in range(10):
            await session.send_invokes([invoke(start, wait, 30, key=number)])
        await session.until(lambda: session._acked == 10)
        assert not session.results
        assert session.credit.invocations == 16_384


async def test_credit_comes_back_with_the_results_as_totals(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        invokes = [invoke(start, action(session, "echo"), number, key=number) for number in range(300)]
        await session.run(invokes)
        await session.until(lambda: session.credit.invocations == 16_384 + 300)
        assert session.credit.bytes == (64 << 20) + sum(one.ByteSize() for one in invokes)
        totals = [frame.credit.invocations for frame in session.frames if frame.HasField("credit")]
        assert totals == sorted(totals)


async def test_memory_that_the_worker_lacks_is_asked_for_and_then_mirrored(server: RunningServer) -> None:
    start = Start("behaviours")
    version = os.urandom(8)
    async with await server.session(start) as session:
        remember = action(session, "remember")
        claimed = invoke(start, remember, memory_version=version, memory_form=session_pb2.AS_YOU_HAVE_IT)
        await session.send_invokes([claimed])
        await session.until(lambda: session.need_memory == [claimed.handle])
        claimed.memory_form = session_pb2.FULL
        claimed.memory_path.append("seen")
        claimed.memory_value.append(b"41")
        (first,) = await session.run([claimed])
        assert first.output == 42
        assert first.base == version
        assert first.short_term == (("seen", b"42"),)
        (second,) = await session.run(
            [invoke(start, remember, memory_version=first.version, memory_form=session_pb2.AS_YOU_HAVE_IT)]
        )
        assert second.output == 43
        assert second.base == first.version
        assert session.need_memory == [claimed.handle]
        assert session.credit.invocations == 16_384 + 3


async def test_a_result_over_the_limit_is_a_named_failure_and_the_session_lives(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        big = invoke(start, action(session, "grow"), 5 * 1024 * 1024)
        await session.send_invokes([big])
        await session.until(lambda: big.handle in session.failures)
        failure = session.failures[big.handle]
        assert failure.kind == failure.TOO_LARGE
        assert str(4 * 1024 * 1024) in failure.message
        results = await session.run([invoke(start, action(session, "grow"), 1_000_000, key=key) for key in range(20)])
        assert [len(result.output) for result in results] == [1_000_000] * 20


async def test_a_cancelled_invocation_stops_and_says_so(server: RunningServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    async with await server.session(start) as session:
        work = {"ledger": str(ledger), "name": "a", "seconds": 60}
        one = invoke(start, action(session, "write_down_and_wait"), work)
        await session.send_invokes([one])
        await until_written(ledger, 1)
        await session.send(cancels=[{"handles": [one.handle, 999], "reason": session_pb2.Cancel.SUPERSEDED}])
        await session.until(lambda: one.handle in session.failures)
        assert session.failures[one.handle].kind == session_pb2.Failure.CANCELLED
        assert lines(ledger) == ["a", "cancelled a"]


async def test_an_action_the_plan_does_not_have_is_a_failure_of_its_own(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        unknown, known = invoke(start, 999), invoke(start, action(session, "echo"), 1, key="other")
        await session.send_invokes([unknown, known])
        await session.until(lambda: unknown.handle in session.failures and known.handle in session.results)
        assert session.failures[unknown.handle].kind == session_pb2.Failure.UNKNOWN_ACTION


async def test_pickled_inputs_are_opened_where_both_sides_allow_it() -> None:
    with RunningServer(BEHAVIOURS, flags=["--allow-pickle"]) as server:
        start = Start("behaviours")
        value = {"text": "a", "pair": (1, 2), "when": datetime.date(2026, 1, 2)}
        pickled: dict[str, Any] = {"payload": pickle.dumps(value), "content_type": session_pb2.PICKLE}
        async with await server.session(start, accepted_content_types=[session_pb2.PICKLE]) as session:
            echo = action(session, "echo")
            good = invoke(start, echo, key=1, **pickled)
            missing = invoke(start, echo, key=2, payload=b"cno_such_module\nThing\n.", content_type=session_pb2.PICKLE)
            unknown = invoke(start, echo, key=3, payload=pickle.dumps(object()), content_type=session_pb2.PICKLE)
            await session.send_invokes([missing, unknown, good])
            await session.until(lambda: good.handle in session.results and len(session.failures) == 2)
            assert session.results[good.handle].output == {"text": "a", "pair": [1, 2], "when": "2026-01-02"}
            assert "no_such_module" in session.failures[missing.handle].message
            sizes = sum(one.ByteSize() for one in (good, missing, unknown))
            await session.until(lambda: session.credit.bytes == (64 << 20) + sizes)
        async with await server.session(Start("behaviours", namespace="other")) as unasked:
            one = invoke(unasked.start, echo, **pickled)
            await unasked.send_invokes([one])
            await unasked.until(lambda: one.handle in unasked.failures)
            assert "PICKLE" in unasked.failures[one.handle].message


# broken connections


async def test_a_lost_session_finds_its_work_again_and_nothing_runs_twice(
    server: RunningServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await server.session(start)
    await session.open()
    number = action(session, "write_down_and_wait")

    def work(name: str, seconds: float) -> session_pb2.Invoke:
        return invoke(start, number, {"ledger": str(ledger), "name": name, "seconds": seconds}, key=name)

    done_before, done_between, done_after = work("before", 0), work("between", 0.4), work("after", 1.5)
    await session.send_invokes([done_before, done_between, done_after])
    await session.until(lambda: done_before.handle in session.results)
    await until_written(ledger, 3)
    await session.abort()
    server.until_logged(r"connection lost; 2 running invocations are kept")
    await asyncio.sleep(0.6)
    async with await server.session(start) as again:
        # The first Result may never have arrived, for all that the worker knows.
        results = await again.run([done_before, done_between, done_after])
        assert [result.output for result in results] == ["before", "between", "after"]
        assert again.duplicates == []
        assert again.credit.invocations == 16_384 + 3
        sizes = sum(one.ByteSize() for one in (done_before, done_between, done_after))
        assert again.credit.bytes == (64 << 20) + sizes
    assert sorted(lines(ledger)) == ["after", "before", "between"]


async def test_a_result_that_comes_before_its_invoke_is_sent_again_waits_for_it(
    server: RunningServer, tmp_path: Path
) -> None:
    """Let go at once, it would cross its own Invoke, which would then run a second time."""
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await server.session(start)
    await session.open()
    work = {"ledger": str(ledger), "name": "once", "seconds": 0.5}
    one = invoke(start, action(session, "write_down_and_wait"), work)
    await session.send_invokes([one])
    await until_written(ledger, 1)
    await session.abort()
    async with await server.session(start) as again:
        await asyncio.sleep(1.0)
        assert not again.results
        (result,) = await again.run([one])
        assert result.output == "once"
    assert lines(ledger) == ["once"]


async def test_results_that_were_written_into_a_dead_connection_are_written_again(
    server: RunningServer, tmp_path: Path
) -> None:
    """The client stops reading, so that its results are on the way for ever, and then breaks the connection."""
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await server.session(start)
    await session.open()
    assert session._reader is not None
    session._reader.cancel()
    work = [
        invoke(
            start,
            action(session, "write_down_and_wait"),
            {"ledger": str(ledger), "name": str(number), "seconds": 0},
            key=number,
        )
        for number in range(200)
    ]
    await session.send_invokes(work)
    await until_written(ledger, 200)
    await asyncio.sleep(0.2)
    await session.abort()
    async with await server.session(start) as again:
        results = await again.run(work)
    assert [result.output for result in results] == [str(number) for number in range(200)]
    assert len(lines(ledger)) == 200


async def test_a_second_session_of_the_same_start_takes_over_from_one_that_seems_alive(
    server: RunningServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    async with await server.session(start) as first:
        work = {"ledger": str(ledger), "name": "once", "seconds": 0.5}
        one = invoke(start, action(first, "write_down_and_wait"), work)
        await first.send_invokes([one])
        await until_written(ledger, 1)
        async with await server.session(start) as second:
            await first.until_end()
            (result,) = await second.run([one])
            assert result.output == "once"
    assert not first.results
    assert lines(ledger) == ["once"]


async def test_orphans_are_cancelled_when_their_start_does_not_come_back(
    impatient_server: RunningServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await impatient_server.session(start)
    await session.open()
    work = {"ledger": str(ledger), "name": "orphan", "seconds": 60}
    await session.send_invokes([invoke(start, action(session, "write_down_and_wait"), work)])
    await until_written(ledger, 1)
    await session.abort()
    await until_written(ledger, 2)
    assert lines(ledger) == ["orphan", "cancelled orphan"]


async def test_what_a_returned_start_does_not_ask_for_is_cancelled_in_the_end(
    impatient_server: RunningServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await impatient_server.session(start)
    await session.open()
    number = action(session, "write_down_and_wait")
    wanted, unwanted = [
        invoke(start, number, {"ledger": str(ledger), "name": name, "seconds": seconds}, key=name)
        for name, seconds in (("wanted", 2), ("unwanted", 60))
    ]
    await session.send_invokes([wanted, unwanted])
    await until_written(ledger, 2)
    await session.abort()
    async with await impatient_server.session(start) as again:
        (result,) = await again.run([wanted])
        assert result.output == "wanted"
    assert lines(ledger) == ["wanted", "unwanted", "cancelled unwanted"]


async def test_bye_ends_what_runs_at_once(server: RunningServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    start = Start("behaviours")
    session = await server.session(start)
    await session.open()
    work = {"ledger": str(ledger), "name": "a", "seconds": 60}
    await session.send_invokes([invoke(start, action(session, "write_down_and_wait"), work)])
    await until_written(ledger, 1)
    await session.close(Bye.JOB_CANCELLED)
    await until_written(ledger, 2)
    server.until_logged("disconnected: finished")


async def test_what_goes_on_after_bye_does_not_keep_the_next_attempt_of_a_restored_job(server: RunningServer) -> None:
    first = Start("behaviours")
    restored = Start("behaviours", epoch=first.epoch + 1)
    session = await server.session(first)
    await session.open()
    work = invoke(first, action(session, "swallow_cancellation_at_first"))
    await session.send_invokes([work])
    await session.until(lambda: session._acked == 1)
    await session.close(Bye.JOB_CANCELLED)
    async with await server.session(restored) as again:
        (result,) = await again.run([invoke(restored, work.action, invocation_id=work.invocation_id, attempt=2)])
        assert result.output == 2


async def test_a_silent_job_is_pinged_and_given_up_when_it_does_not_answer(impatient_server: RunningServer) -> None:
    async with await impatient_server.session(Start("behaviours")) as session:
        session.answers_pings = False
        await session.until(lambda: any(frame.HasField("ping") for frame in session.frames))
        await session.until_end()
        impatient_server.until_logged("nothing was heard")
        # A broken connection and not a verdict: a job that was only paused is to come back.
        assert session.bye is None


async def test_a_worker_that_was_stopped_for_its_linger_time_goes_on_with_nothing_that_is_elsewhere_by_then(
    tmp_path: Path,
) -> None:
    with RunningServer(BEHAVIOURS, flags=["--linger-seconds", "5"]) as server:
        ledger = tmp_path / "ledger"
        start = Start("behaviours")
        session = await server.session(start)
        await session.open()
        work = {"ledger": str(ledger), "name": "a", "seconds": 600}
        await session.send_invokes([invoke(start, action(session, "write_down_and_wait"), work)])
        await until_written(ledger, 1)
        (pid,) = server.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        await session.send(ping={"id": 1})
        await session.abort()
        await asyncio.sleep(5.5)
        os.kill(pid, signal.SIGCONT)
        goes_on_at = time.monotonic()
        await until_written(ledger, 2)
        assert time.monotonic() - goes_on_at < 3.0, "it has lingered once more"
        server.until_logged("1 running invocations are cancelled: nothing was heard of the job for 5 s")


# hostile frames


def numbered(sequence: int, *invokes: session_pb2.Invoke) -> bytes:
    return session_pb2.OperatorFrame(sequence=sequence, invokes=invokes).SerializeToString()


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        ([b"\xff\xff\xff\xff"], "no OperatorFrame"),
        ([numbered(7, session_pb2.Invoke(handle=1))], "sequence 7"),
        ([numbered(0, session_pb2.Invoke(handle=1))], "sequence 0"),
        ([numbered(number, session_pb2.Invoke(handle=number)) for number in (1, 1)], "sequence 1"),
        ([session_pb2.OperatorFrame(hello=Start("behaviours").hello()).SerializeToString()], "Hello"),
        ([session_pb2.OperatorFrame(forget_keys=[b"x" * (5 << 20)]).SerializeToString()], "max_frame_bytes"),
        ([numbered(1, *[session_pb2.Invoke(handle=number) for number in range(1, 16_500)])], "16384 were granted"),
    ],
)
async def test_a_frame_that_breaks_the_protocol_ends_its_session_and_nothing_else(
    server: RunningServer, frames: list[bytes], part: str
) -> None:
    bystander_start = Start("behaviours", namespace="bystander")
    async with await server.session(bystander_start) as bystander:
        session = await server.session(Start("behaviours"))
        await session.open()
        for frame in frames:
            await session.send_raw(frame)
        await session.until_end()
        assert session.bye is not None
        assert session.bye.reason == Bye.PROTOCOL_ERROR
        assert part in session.bye.message
        server.until_logged("broke the protocol")
        await session.abort()
        (result,) = await bystander.run([invoke(bystander_start, action(bystander, "echo"), "alive")])
        assert result.output == "alive"
    assert len(server.worker_pids()) == 1
    assert "Traceback" not in server.log


async def test_invokes_with_absurd_fields_fail_alone(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        echo = action(session, "echo")
        absurd = [
            invoke(start, echo, payload=b"\xff{", key=1),
            invoke(start, echo, 1, key=2, content_type=session_pb2.PICKLE),
            invoke(start, (1 << 32) - 1, 1, key=3),
            invoke(
                start,
                action(session, "remember"),
                1,
                key=4,
                memory_version=b"x",
                memory_path=["seen"],
                memory_value=[b"{"],
            ),
        ]
        fine = [invoke(start, echo, number, key=f"fine {number}") for number in range(10)]
        await session.send_invokes([*absurd, *fine])
        await session.until(lambda: all(one.handle in session.results for one in fine))
        await session.until(lambda: all(one.handle in session.failures for one in absurd))


async def test_an_enum_from_the_future_ends_the_session_with_a_name_and_not_with_a_defect(
    server: RunningServer,
) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        # memory_form = 19, varint, value 99.
        data = invoke(start, action(session, "echo"), 1).SerializeToString() + bytes([0x98, 0x01, 99])
        header = b"\x08\x01\x1a" + _varint(len(data))
        await session.send_raw(header + data)
        await session.until(lambda: session.bye is not None)
        assert session.bye is not None
        assert session.bye.reason == Bye.PROTOCOL_ERROR
    assert "Traceback" not in server.log


def _varint(number: int) -> bytes:
    encoded = b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


async def test_two_workers_of_one_server_both_work() -> None:
    with RunningServer(BEHAVIOURS, flags=["--workers", "2"]) as server:
        start = Start("behaviours")
        pids = set()
        for address in await server.worker_addresses(2):
            async with SessionClient(address, start) as session:
                (result,) = await session.run([invoke(start, action(session, "tell_process"))])
                pids.add(result.output)
        assert pids == set(server.worker_pids())


async def test_a_job_that_stops_reading_is_let_go(impatient_server: RunningServer) -> None:
    start = Start("behaviours")
    session = await impatient_server.session(start)
    await session.open()
    # As a stopped process does: the connection stands, and what is written to it waits.
    assert session._reader is not None
    session._reader.cancel()
    grow = action(session, "grow")
    await session.send_invokes([invoke(start, grow, 1_000_000) for _ in range(40)])
    impatient_server.until_logged("disconnected: connection lost")
    async with await impatient_server.session(Start("behaviours", job_id="1" * 32)) as other:
        assert other.welcome.worker
    await session.abort()


async def test_a_result_that_cannot_travel_fails_alone_and_the_session_lives_on(server: RunningServer) -> None:
    start = Start("behaviours")
    async with await server.session(start) as session:
        bad = invoke(start, action(session, "send_unsendable"), 5)
        sound = invoke(start, action(session, "echo"), "sound")
        await session.send_invokes([bad, sound])
        await session.until(lambda: bad.handle in session.failures and sound.handle in session.results)
        assert session.failures[bad.handle].kind == session_pb2.Failure.NOT_ENCODABLE
