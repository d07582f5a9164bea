"""Durable calls: recorded, replayed, matched, refused."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from flink_actions import (
    Agent,
    ContextEndedError,
    OutputEvent,
    Resource,
    ResourceType,
    RetryableError,
    TerminalError,
    current_call,
)
from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import (
    CallNote,
    CallPlace,
    CallRecord,
    CancelReason,
    Failed,
    FailureKind,
    LocalInvocation,
    Outcome,
    Succeeded,
)
from flink_actions.engine.kept import KeptWork
from flink_actions.wire.codec import encode_notes

from tests.unit.engine.worker import LIMIT_SECONDS, Worker, sent_by, until

ON_INPUT = "_input_event"
ID = b"the invocation's"


class Ledger:
    """What functions were really called with, across attempts."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.keys: list[str] = []

    def note(self, what: Any) -> None:
        self.calls.append(what)
        self.keys.append(current_call().idempotency_key)


class Job:
    """An operator's side for one invocation: acknowledges records and gives them to the next attempt."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.records: dict[CallPlace, CallRecord] = {}
        self.started: list[CallPlace] = []
        self.acknowledges = True
        self.attempt = 0
        self.failures = 0

    async def run(self, name: str, value: Any = None, *, until: Callable[[], bool] | None = None) -> Outcome | None:
        """An attempt: to its outcome, or until something holds; then it is cancelled, as by a dead worker."""
        self.attempt += 1
        worker = self.worker
        invocation = worker.invocation(
            name,
            value,
            invocation_id=ID,
            attempt=self.attempt,
            failures=self.failures,
            calls=list(self.records.values()),
        )
        worker.submit(invocation)
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                worker.woken.clear()
                for note in worker.outbox.drain_notes():
                    if note.handle == invocation.handle:
                        self._on_note(invocation, note.record)
                outcomes = [one for one in worker.outbox.drain() if one.handle == invocation.handle]
                if outcomes:
                    outcome = outcomes[0]
                    if isinstance(outcome, Failed):
                        self.failures += 1
                        for place in outcome.drop_calls:
                            self.records.pop(place, None)
                    return outcome
                if until is not None and until():
                    worker.dispatcher.cancel(worker.scope, [invocation.handle], CancelReason.SUPERSEDED)
                    await asyncio.sleep(0)
                    worker.outbox.drain_notes()
                    worker.outbox.drain()
                    return None
                try:
                    await asyncio.wait_for(worker.woken.wait(), 0.01 if until is not None else LIMIT_SECONDS)
                except asyncio.TimeoutError:
                    continue

    def _on_note(self, invocation: LocalInvocation, record: CallRecord) -> None:
        if not record.is_complete:
            self.started.append(record.place)
        self.records[record.place] = record
        if self.acknowledges:
            self.worker.scope.calls_recorded(invocation.handle, [record.place])


def output(outcome: Outcome | None) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    (value,) = sent_by([outcome])
    return value


def failure(outcome: Outcome | None) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


@dataclass
class Order:
    name: str
    cents: int


class Refused(Exception):
    def __init__(self, why: str, *, code: int) -> None:
        super().__init__(why)
        self.code = code


def agent_of(function: Callable[..., Awaitable[None]], **policies: Any) -> Agent:
    return Agent().add_action("act", [ON_INPUT], function, **policies)


async def test_a_recorded_call_is_answered_without_being_made() -> None:
    ledger, dies = Ledger(), asyncio.Event()

    async def price(name: str) -> int:
        ledger.note(name)
        return len(name)

    async def act(event: Any, ctx: Any) -> None:
        first = await ctx.durable_execute_async(price, "apple")
        second = await ctx.durable_execute_async(price, name="pear")
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=[first, second]))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        assert await job.run("act", until=dies.is_set) is None
        assert ledger.calls == ["apple", "pear"]
        assert output(await job.run("act")) == [5, 4]
        assert ledger.calls == ["apple", "pear"]
        assert list(job.records) == [CallPlace("", 0), CallPlace("", 1)]


async def test_a_call_waits_until_the_record_before_it_is_acknowledged() -> None:
    ledger = Ledger()

    async def step(number: int) -> None:
        ledger.note(number)

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(step, 1)
        await ctx.durable_execute_async(step, 2)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        job.acknowledges = False
        invocation = worker.invocation("act", invocation_id=ID)
        worker.submit(invocation)
        await asyncio.sleep(0.02)
        assert ledger.calls == [1]
        worker.scope.calls_recorded(invocation.handle, [CallPlace("", 0)])
        (outcome,) = await worker.outcomes(1)
        assert isinstance(outcome, Succeeded)
        assert ledger.calls == [1, 2]


async def test_a_repeated_call_has_the_same_idempotency_key_and_others_have_others() -> None:
    ledger, dies = Ledger(), asyncio.Event()

    async def charge(cents: int) -> int:
        ledger.note(cents)
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        return cents

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(charge, 1)
        await ctx.durable_execute_async(charge, 1)
        await ctx.durable_execute_async(charge, 2)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        await job.run("act")
    assert ledger.calls == [1, 1, 1, 2]
    assert ledger.keys[0] == ledger.keys[1]
    assert len(set(ledger.keys)) == 3


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
async def test_gathered_calls_replay_whatever_the_order_they_are_issued_and_end_in(order: list[int]) -> None:
    ledger, dies, is_replay = Ledger(), asyncio.Event(), False

    async def ask(number: int) -> int:
        ledger.note(number)
        await asyncio.sleep(0.001 * number)
        return number * 10

    async def act(event: Any, ctx: Any) -> None:
        async def one(number: int) -> int:
            delay = order.index(number) if is_replay else number
            await asyncio.sleep(0.002 * delay)
            return await ctx.durable_execute_async(ask, number)

        found = await asyncio.gather(*[one(number) for number in range(3)])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(3)]
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=[*found, *[task.result() for task in tasks]]))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        is_replay = True
        assert output(await job.run("act")) == [0, 10, 20, 0, 10, 20]
    assert len(ledger.calls) == 6
    assert sorted(place.task for place in job.records) == ["0", "1", "2", "3", "4", "5"]


async def test_tasks_made_in_the_first_step_are_numbered_under_the_action() -> None:
    places: list[CallPlace] = []

    async def nothing() -> None: ...

    async def act(event: Any, ctx: Any) -> None:
        async def inner() -> None:
            await asyncio.gather(ctx.durable_execute_async(nothing), ctx.durable_execute_async(nothing))

        await asyncio.gather(inner(), ctx.durable_execute_async(nothing))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        assert isinstance(await job.run("act"), Succeeded)
        places = list(job.records)
    assert sorted(place.task for place in places) == ["0.0", "0.1", "1"]


async def test_many_actions_stepped_together_keep_their_tasks_apart() -> None:
    async def nothing() -> None: ...

    async def act(event: Any, ctx: Any) -> None:
        await asyncio.gather(ctx.durable_execute_async(nothing), ctx.durable_execute_async(nothing))

    async with Worker(agent_of(act)) as worker:
        invocations = [worker.invocation("act") for _ in range(50)]
        worker.submit(*invocations)
        outcomes = await worker.outcomes(50)
        notes = worker.outbox.drain_notes()
        assert all(isinstance(one, Succeeded) for one in outcomes)
        assert sorted({note.record.place.task for note in notes}) == ["0", "1"]
        assert len(notes) == 100


async def test_values_come_back_as_the_declared_type_at_once_and_in_replays() -> None:
    dies = asyncio.Event()

    async def load(name: str) -> Order:
        return Order(name, 5)

    def untyped():  # type: ignore[no-untyped-def]
        return (1, 2)

    seen: list[Any] = []

    async def act(event: Any, ctx: Any) -> None:
        seen.append([await ctx.durable_execute_async(load, "x"), await ctx.durable_execute_async(untyped)])
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        await job.run("act")
    assert seen == [[Order("x", 5), [1, 2]]] * 2


async def test_an_exception_that_the_action_caught_is_raised_again_in_the_replay() -> None:
    ledger, dies = Ledger(), asyncio.Event()

    async def ask() -> None:
        ledger.note("ask")
        raise Refused("no", code=7)

    async def act(event: Any, ctx: Any) -> None:
        try:
            await ctx.durable_execute_async(ask)
        except Refused as error:
            caught = str(error)
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=caught))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        # Its class cannot be made of `args` alone, and a local one cannot be found by name: see the next test.
        globals()["Refused"] = Refused
        assert output(await job.run("act")) == "no"
    assert ledger.calls == ["ask"]


@pytest.mark.parametrize("how", ["raised", "cause", "context", "group"])
async def test_the_exception_that_ended_the_attempt_is_not_replayed(how: str) -> None:
    ledger = Ledger()

    async def ask() -> str:
        ledger.note("ask")
        if len(ledger.calls) == 1:
            raise ValueError("rate limit")
        return "answer"

    async def act(event: Any, ctx: Any) -> None:
        try:
            answer = await ctx.durable_execute_async(ask)
        except ValueError as error:
            if how == "raised":
                raise
            if how == "cause":
                raise RetryableError("later", after=2) from error
            if how == "context":
                raise RetryableError("later")  # noqa: B904
            raise ExceptionGroup("several", [error])  # noqa: B904, F821
        ctx.send_event(OutputEvent(output=answer))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        failed = failure(await job.run("act"))
        assert failed.drop_calls == [CallPlace("", 0)]
        assert output(await job.run("act")) == "answer"


async def test_a_terminal_error_of_a_call_stays_recorded() -> None:
    ledger = Ledger()

    async def ask() -> None:
        ledger.note("ask")
        raise TerminalError("account closed")

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(ask)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        for _ in range(2):
            failed = failure(await job.run("act"))
            assert failed.kind is FailureKind.TERMINAL
            assert failed.drop_calls == []
    assert ledger.calls == ["ask"]


async def test_a_retry_may_take_another_path_than_the_attempt_that_failed() -> None:
    """The failed call's record is dropped, the clean-up's behind it is not: it is no mismatch when it is not needed."""
    ledger = Ledger()

    async def ask() -> str:
        ledger.note("ask")
        if ledger.calls.count("ask") == 1:
            raise ValueError("rate limit")
        return "answer"

    async def clean_up() -> None:
        ledger.note("clean up")

    async def use(answer: str) -> None:
        ledger.note("use")

    async def act(event: Any, ctx: Any) -> None:
        try:
            answer = await ctx.durable_execute_async(ask)
        except ValueError:
            await ctx.durable_execute_async(clean_up)
            raise
        await ctx.durable_execute_async(use, answer)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        failure(await job.run("act"))
        assert isinstance(await job.run("act"), Succeeded)
    assert ledger.calls == ["ask", "clean up", "ask", "use"]


async def changed(worker: Worker, catches: bool) -> Outcome | None:
    """An attempt whose records say another call than its code makes."""
    job = Job(worker)
    job.records[CallPlace("", 0)] = CallRecord(CallPlace("", 0), "shop:reserve", b"d" * 16, b"1")
    job.attempt = 1
    return await job.run("act", catches)


async def charge(cents: int) -> int:
    return cents


async def swallowing(event: Any, ctx: Any) -> None:
    try:
        await ctx.durable_execute_async(charge, 3)
    except Exception:
        if not event.input:
            raise


@pytest.mark.parametrize("catches", [False, True])
async def test_another_call_than_the_recorded_one_fails_the_attempt_side_by_side(catches: bool) -> None:
    async with Worker(agent_of(swallowing)) as worker:
        failed = failure(await changed(worker, catches))
        assert failed.kind is FailureKind.REPLAY_MISMATCH
        assert "shop:reserve" in failed.message
        assert "test_durable:charge" in failed.message
        assert '{"args":[3],"kwargs":{}}' in failed.message
        assert "on_mismatch='truncate'" in failed.message


async def test_with_truncate_the_records_from_the_difference_on_are_dropped_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Worker(agent_of(swallowing, on_mismatch="truncate")) as worker:
        assert isinstance(await changed(worker, False), Succeeded)
    assert "shop:reserve" in caplog.text


async def test_records_that_the_code_did_not_ask_for_fail_the_attempt_at_its_end() -> None:
    async def act(event: Any, ctx: Any) -> None: ...

    async with Worker(agent_of(act)) as worker:
        failed = failure(await changed(worker, False))
        assert failed.kind is FailureKind.REPLAY_MISMATCH
        assert "the action has returned" in failed.message


async def test_a_reconciler_decides_a_call_that_started_and_never_ended() -> None:
    ledger, dies = Ledger(), asyncio.Event()

    async def pay(cents: int) -> str:
        ledger.note("pay")
        dies.set()
        await asyncio.sleep(60)
        return "paid now"

    async def look() -> str:
        ledger.note("look")
        return "was paid"

    async def act(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(pay, 5, reconciler=look)))

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        assert job.started == [CallPlace("", 0)]
        assert output(await job.run("act")) == "was paid"
    assert ledger.calls == ["pay", "look"]
    assert len(set(ledger.keys)) == 1


async def test_a_call_with_a_reconciler_does_not_start_before_its_start_is_acknowledged() -> None:
    ledger = Ledger()

    async def pay() -> None:
        ledger.note("pay")

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(pay, reconciler=lambda: None)

    async with Worker(agent_of(act)) as worker:
        invocation = worker.invocation("act", invocation_id=ID)
        worker.submit(invocation)
        await asyncio.sleep(0.02)
        (note,) = worker.outbox.drain_notes()
        assert not note.record.is_complete
        assert ledger.calls == []
        worker.scope.calls_recorded(invocation.handle, [note.record.place])
        await worker.outcomes(1)
        assert ledger.calls == ["pay"]


async def test_an_argument_without_a_form_and_a_value_without_one_are_named() -> None:
    async def give(thing: Any) -> Any:
        return object() if thing == "object" else thing

    errors: list[str] = []

    async def act(event: Any, ctx: Any) -> None:
        for argument in ({"client": object()}, "object"):
            try:
                await ctx.durable_execute_async(give, argument)
            except Exception as error:
                errors.append(str(error))

    async with Worker(agent_of(act)) as worker:
        assert isinstance(await Job(worker).run("act"), Succeeded)
    assert "argument [0]['client'] of the durable call of" in errors[0]
    assert "closure" in errors[0]
    assert errors[1].startswith("value of the durable call of")


async def test_def_actions_call_durably_from_their_threads() -> None:
    ledger, release = Ledger(), threading.Event()

    def fetch(number: int) -> int:
        ledger.note(number)
        return number * 2

    dies = asyncio.Event()

    def act(event: Any, ctx: Any) -> None:
        found = [ctx.durable_execute(fetch, number) for number in range(3)]
        if not dies.is_set():
            dies.set()
            release.wait(LIMIT_SECONDS)
        ctx.send_event(OutputEvent(output=found))

    async with Worker(Agent().add_action("act", [ON_INPUT], act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        release.set()
        assert output(await job.run("act")) == [0, 2, 4]
    assert ledger.calls == [0, 1, 2]
    assert [place.index for place in job.records] == [0, 1, 2]


async def test_a_def_is_called_in_a_thread_and_knows_its_call() -> None:
    threads: list[int] = []

    def fetch() -> str:
        threads.append(threading.get_ident())
        return current_call().idempotency_key

    async def act(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(fetch)))

    async with Worker(agent_of(act)) as worker:
        assert len(output(await Job(worker).run("act"))) == 32
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize("how", ["cancelled", "given up", "failed"])
async def test_a_call_that_waits_for_a_thread_when_it_is_over_is_never_made(how: str) -> None:
    gate, begun, asked = threading.Event(), threading.Event(), asyncio.Event()
    paid: list[int] = []

    def hold_the_thread() -> None:
        begun.set()
        gate.wait(LIMIT_SECONDS)

    async def act(event: Any, ctx: Any) -> None:
        # The step that sets it goes on until the call waits.
        asked.set()
        if how == "cancelled":
            await ctx.durable_execute_async(paid.append, 1)
            return
        if how == "given up":
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ctx.durable_execute_async(paid.append, 1), 0.01)
            # The attempt goes on while the call's turn comes.
            gate.set()
            await worker.scope.run_in_pool(lambda: None, "nothing")
            return
        # Gathered calls go on when another one fails: what they would do then is of an attempt that is over.
        await asyncio.gather(*(ctx.durable_execute_async(paid.append, number) for number in range(2)), refuse())

    async def refuse() -> None:
        await asyncio.sleep(0)
        raise Refused("no", code=1)

    async with Worker(agent_of(act), threads=1) as worker:
        before = asyncio.ensure_future(worker.scope.run_in_pool(hold_the_thread, "hold_the_thread"))
        async with asyncio.timeout(LIMIT_SECONDS):
            while not begun.is_set():  # noqa: ASYNC110 (threads tell nobody)
                await asyncio.sleep(0.002)
        invocation = worker.invocation("act")
        worker.submit(invocation)
        if how == "cancelled":
            await asyncio.wait_for(asked.wait(), LIMIT_SECONDS)
            worker.dispatcher.cancel(worker.scope, [invocation.handle], CancelReason.SUPERSEDED)
        (outcome,) = await worker.outcomes(1)
        assert isinstance(outcome, Succeeded if how == "given up" else Failed), outcome
        gate.set()
        await before
        # The pool takes jobs in their order: this one comes after the calls.
        await worker.scope.run_in_pool(lambda: None, "nothing")
        assert paid == []


async def test_blocking_and_nested_calls_are_refused_with_the_way_out() -> None:
    errors: list[str] = []

    async def inner() -> None: ...

    async def act(event: Any, ctx: Any) -> None:
        async def outer() -> None:
            await ctx.durable_execute_async(inner)

        try:
            ctx.durable_execute(inner)
        except Exception as error:
            errors.append(str(error))
        try:
            await ctx.durable_execute_async(outer)
        except Exception as error:
            errors.append(str(error))

    async with Worker(agent_of(act)) as worker:
        assert isinstance(await Job(worker).run("act"), Succeeded)
    assert "durable_execute_async" in errors[0]
    assert "inside that of" in errors[1]


async def test_level_none_records_nothing() -> None:
    async def give() -> int:
        return 1

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(give)
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(give)))

    async with Worker(agent_of(act, durability="none")) as worker:
        job = Job(worker)
        job.acknowledges = False
        assert output(await job.run("act")) == 1
        assert job.records == {}


async def test_level_synchronous_returns_when_the_record_is_safe() -> None:
    async def give() -> int:
        return 1

    returned: list[int] = []

    async def act(event: Any, ctx: Any) -> None:
        returned.append(await ctx.durable_execute_async(give))

    async with Worker(agent_of(act, durability="synchronous")) as worker:
        invocation = worker.invocation("act")
        worker.submit(invocation)
        await asyncio.sleep(0.02)
        assert returned == []
        worker.scope.calls_recorded(invocation.handle, [CallPlace("", 0)])
        await worker.outcomes(1)
        assert returned == [1]


async def test_what_is_unacknowledged_is_said_again_on_the_next_session() -> None:
    async def give() -> int:
        return 1

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(give)
        await ctx.durable_execute_async(give)

    async with Worker(agent_of(act)) as worker:
        invocation = worker.invocation("act")
        worker.submit(invocation)
        await asyncio.sleep(0.02)
        (first,) = worker.outbox.drain_notes()
        worker.outbox = worker.new_outbox()
        worker.scope.attach(worker.outbox)
        worker.submit(invocation)
        assert worker.outbox.drain_notes() == [first]
        worker.scope.calls_recorded(invocation.handle, [first.record.place])
        assert len(await worker.outcomes(1)) == 1


async def test_calls_that_the_operator_lost_are_answered_by_this_worker_and_told_to_it() -> None:
    """The TaskManager died with the records; the worker lives."""
    ledger, dies = Ledger(), asyncio.Event()

    async def give(number: int) -> int:
        ledger.note(number)
        return number

    async def act(event: Any, ctx: Any) -> None:
        found = [await ctx.durable_execute_async(give, number) for number in range(3)]
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=found))

    async with Worker(agent_of(act)) as worker:
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        await Job(worker).run("act", until=dies.is_set)
        worker.dispatcher.end_scope(worker.scope, CancelReason.SUPERSEDED)
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        restored = Job(worker)
        restored.attempt = 1
        assert output(await restored.run("act")) == [0, 1, 2]
        assert len(restored.records) == 3
    assert ledger.calls == [0, 1, 2]


async def test_at_level_synchronous_what_this_worker_kept_answers_when_the_record_is_safe() -> None:
    """Else the job could go elsewhere without it, and a call be made again whose value the action has had."""
    ledger, dies = Ledger(), asyncio.Event()

    async def give() -> int:
        ledger.note("give")
        return 1

    returned: list[int] = []

    async def act(event: Any, ctx: Any) -> None:
        returned.append(await ctx.durable_execute_async(give))
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)

    async with Worker(agent_of(act, durability="synchronous")) as worker:
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        await Job(worker).run("act", until=dies.is_set)
        assert returned == [1]
        restored = worker.invocation("act", invocation_id=ID, attempt=2)
        worker.submit(restored)
        await asyncio.sleep(0.02)
        (note,) = worker.outbox.drain_notes()
        assert returned == [1]
        worker.scope.calls_recorded(restored.handle, [note.record.place])
        await worker.outcomes(1)
        assert returned == [1, 1]
    assert ledger.calls == ["give"]


async def test_what_was_kept_before_it_went_on_elsewhere_answers_and_does_not_oblige() -> None:
    """Another worker has made the first call anew meanwhile, with another value: the code goes another way then."""
    ledger, dies = Ledger(), asyncio.Event()

    async def draw() -> str:
        ledger.note("draw")
        return "left"

    async def go(way: str) -> str:
        ledger.note(way)
        return way

    async def aside(ctx: Any) -> str:
        return await ctx.durable_execute_async(go, "aside")

    async def act(event: Any, ctx: Any) -> None:
        async with asyncio.TaskGroup() as group:
            other = group.create_task(aside(ctx))
            way = await ctx.durable_execute_async(draw)
            found = [await ctx.durable_execute_async(go, way)]
            if way == "left":
                found.append(await ctx.durable_execute_async(go, "further left"))
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=[other.result(), *found]))

    async with Worker(agent_of(act)) as worker:
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        before = Job(worker)
        await before.run("act", until=dies.is_set)
        assert ledger.calls == ["draw", "aside", "left", "further left"]
        first = CallPlace("", 0)
        elsewhere = before.records[first]._replace(value=b'"right"')
        now = Job(worker)
        now.attempt = 2
        now.records[first] = elsewhere
        assert output(await now.run("act")) == ["aside", "right"]
        assert sorted(record.value or b"" for record in now.records.values()) == [b'"aside"', b'"right"', b'"right"']
        again = Job(worker)
        again.attempt, again.records = 3, {first: elsewhere}
        assert output(await again.run("act")) == ["aside", "right"]
    assert ledger.calls == ["draw", "aside", "left", "further left", "right"]


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_what_an_attempt_did_not_ask_for_outlives_a_cut_over_its_end(how: str) -> None:
    """Of a start that has gone this worker alone has the record, until a call asks for it."""
    ledger, stage = Ledger(), ["first"]

    async def give() -> int:
        ledger.note("give")
        return 1

    async def act(event: Any, ctx: Any) -> None:
        if stage[0] == "second":
            await (asyncio.sleep(60) if how == "is cancelled" else asyncio.sleep(0))
            raise RetryableError("before the call")
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(give)))
        if stage[0] == "first":
            stage[0] = "called"
            await asyncio.sleep(60)

    async with Worker(agent_of(act)) as worker:

        def start() -> Job:
            worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
            worker.scope.attach(worker.outbox)
            return Job(worker)

        await start().run("act", until=lambda: stage[0] == "called")
        worker.dispatcher.end_scope(worker.scope, CancelReason.ORPHANED)
        stage[0], session = "second", object()
        start()
        second = worker.invocation("act", invocation_id=ID)
        worker.submit(second)
        await asyncio.sleep(0.02)
        worker.dispatcher.cancel(worker.scope, [second.handle], CancelReason.SUPERSEDED)
        worker.scope.keep_sent(session, 1, await worker.outcomes(1))
        worker.scope.on_cut(session, 1)
        stage[0], third = "third", Job(worker)
        third.attempt = 1
        assert output(await third.run("act")) == 1
    assert ledger.calls == ["give"]


async def test_what_is_kept_is_looked_at_and_changed_on_the_event_loops_thread_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also for calls from a thread: what else happens there knows no locks."""
    threads = set()

    def act(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=ctx.durable_execute(int, 5)))

    def watched(method: Any) -> Any:
        def watch(*arguments: Any) -> Any:
            threads.add(threading.current_thread())
            return method(*arguments)

        return watch

    for name in ("begin_calls", "add_call", "calls_of", "has_dropped_calls_of"):
        monkeypatch.setattr(KeptWork, name, watched(getattr(KeptWork, name)))
    async with Worker(agent_of(act)) as worker:
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        assert output(await Job(worker).run("act")) == 5
    assert threads == {threading.current_thread()}


async def test_a_thread_whose_attempt_was_given_up_before_its_first_call_keeps_nothing() -> None:
    begun, may_call, refusals = threading.Event(), threading.Event(), list[BaseException]()

    def act(event: Any, ctx: Any) -> None:
        begun.set()
        assert may_call.wait(LIMIT_SECONDS)
        try:
            ctx.durable_execute(int, 5)
        except BaseException as refusal:
            refusals.append(refusal)
            raise

    async with Worker(agent_of(act)) as worker:
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.scope.attach(worker.outbox)
        kept, invocation = worker.scope.kept, worker.invocation("act")
        assert kept is not None
        worker.submit(invocation)
        await until(begun.is_set)
        may_call.set()
        # The event loop does not move: the call waits for it, and is met by the end.
        time.sleep(0.1)  # noqa: ASYNC251
        worker.dispatcher.cancel(worker.scope, [invocation.handle], CancelReason.TIMEOUT)
        await worker.outcomes(1)
        await until(lambda: bool(refusals))
        assert isinstance(refusals[0], ContextEndedError)
        assert kept.is_empty


@pytest.mark.parametrize("policies", [{}, {"concurrency": 4}], ids=["at once", "where it takes a place"])
async def test_what_an_attempt_that_cannot_begin_did_not_ask_for_outlives_a_cut_over_its_end(
    policies: dict[str, Any],
) -> None:
    async def act(event: Any, ctx: Any) -> None:
        pass

    async with Worker(agent_of(act, **policies)) as worker:

        def start() -> None:
            worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
            worker.scope.attach(worker.outbox)

        def refuse(invocation: LocalInvocation) -> Any:
            raise ValueError("not what its class declares")

        start()
        kept = worker.scope.kept
        assert kept is not None
        record = CallRecord(CallPlace("", 0), "give", b"", b"1")
        kept.begin_calls(ID)
        kept.add_call(ID, record)
        worker.dispatcher.end_scope(worker.scope, CancelReason.ORPHANED)
        start()
        worker.scope.actions[0].event_of = refuse  # type: ignore[assignment]
        outcomes = await worker.run(worker.invocation("act", invocation_id=ID))
        assert failure(outcomes[0]).exception == "ValueError"
        session = object()
        worker.scope.keep_sent(session, 1, outcomes)
        worker.scope.on_cut(session, 1)
        assert kept.calls_of(ID) == [record]


async def test_what_was_kept_for_an_attempt_that_is_cancelled_while_it_waits_for_the_earlier_one_outlives_a_cut() -> (
    None
):
    ledger, called, may_end = Ledger(), asyncio.Event(), asyncio.Event()

    async def give() -> int:
        ledger.note("give")
        return 1

    async def act(event: Any, ctx: Any) -> None:
        value = await ctx.durable_execute_async(give)
        if not called.is_set():
            called.set()
            while not may_end.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait_for(may_end.wait(), LIMIT_SECONDS)
        ctx.send_event(OutputEvent(output=value))

    async with Worker(agent_of(act)) as worker:

        def start() -> Job:
            worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
            worker.scope.attach(worker.outbox)
            return Job(worker)

        await start().run("act", until=called.is_set)
        worker.dispatcher.end_scope(worker.scope, CancelReason.ORPHANED)
        start()
        second, session = worker.invocation("act", invocation_id=ID, attempt=2), object()
        worker.submit(second)
        await asyncio.sleep(0.02)
        worker.dispatcher.cancel(worker.scope, [second.handle], CancelReason.TIMEOUT)
        worker.scope.keep_sent(session, 1, await worker.outcomes(1))
        worker.scope.on_cut(session, 1)
        may_end.set()
        third = Job(worker)
        third.attempt = 2
        assert output(await third.run("act")) == 1
    assert ledger.calls == ["give"]


# By this name for linters that think of Python 3.10.
Group: Any = builtins.ExceptionGroup  # type: ignore[attr-defined,unused-ignore]


class Quoted(Exception):
    def __init__(self, code: object) -> None:
        super().__init__(f"the answer was {code}")


class Verdict(pydantic.BaseModel):
    score: int


def _raise_quoted() -> None:
    raise Quoted(7)


def _raise_validation_error() -> None:
    Verdict.model_validate({"score": "high"})


def _raise_group() -> None:
    raise Group("two", [Quoted(7), Group("one", [KeyError("k")])])


@pytest.mark.parametrize("raises", [_raise_quoted, _raise_validation_error, _raise_group])
async def test_an_exception_whose_class_makes_its_own_text_or_has_no_constructor_is_caught_again_in_the_replay(
    raises: Callable[[], None],
) -> None:
    dies, seen = asyncio.Event(), list[Exception]()

    async def act(event: Any, ctx: Any) -> None:
        try:
            await ctx.durable_execute_async(raises)
        except (Quoted, pydantic.ValidationError, Group) as error:
            seen.append(error)
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        await job.run("act")
    first, again = seen
    assert type(again) is type(first)
    assert str(first) in str(again)
    if isinstance(again, Group):
        quoted, rest = again.split(Quoted)
        assert str(quoted.exceptions[0]) == "the answer was 7"
        assert repr(rest.exceptions[0].exceptions) == "(KeyError('k'),)"


@pytest.mark.parametrize("text", ["\ud800", "x" * (5 << 20)])
async def test_whatever_a_durable_call_raises_its_record_can_travel(text: str) -> None:
    async def ask() -> None:
        raise ValueError(text)

    async def act(event: Any, ctx: Any) -> None:
        with contextlib.suppress(ValueError):
            await ctx.durable_execute_async(ask)

    async with Worker(agent_of(act)) as worker:
        job = Job(worker)
        assert isinstance(await job.run("act"), Succeeded)
        (frame,) = encode_notes([CallNote(1, record) for record in job.records.values()], 1 << 16)
    assert frame.ByteSize() < 1 << 16


async def test_what_except_star_has_left_of_a_calls_group_is_called_again_in_the_next_attempt() -> None:
    ledger = Ledger()

    async def ask() -> int:
        ledger.note("ask")
        if len(ledger.calls) == 1:
            raise Group("two", [ValueError("a"), KeyError("k")])
        return 5

    async def act(event: Any, ctx: Any) -> None:
        # As `except* KeyError: pass` does it, which Python 3.10 does not have.
        rest = None
        try:
            ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(ask)))
        except Group as error:
            _, rest = error.split(KeyError)
        if rest is not None:
            raise rest

    async with Worker(agent_of(act, max_attempts=2)) as worker:
        job = Job(worker)
        assert failure(await job.run("act")).exception == "ExceptionGroup"
        assert output(await job.run("act")) == 5


class LooksLikeAGroup(Exception):
    exceptions: Any = None


class OfTexts(LooksLikeAGroup):
    exceptions = ("a", "b")


class OfNothing(LooksLikeAGroup):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("raised", [LooksLikeAGroup, OfTexts, OfNothing])
async def test_an_exception_that_looks_like_a_group_ends_its_attempt_like_any_other(raised: type[Exception]) -> None:
    async def ask() -> int:
        return 1

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(ask)
        raise raised

    async with Worker(agent_of(act)) as worker:
        assert failure(await Job(worker).run("act")).exception.endswith(raised.__qualname__)


class First(pydantic.BaseModel):
    name: str


class Second(First): ...


async def test_the_same_code_may_declare_another_type_each_time() -> None:
    def loader(cls: Any) -> Callable[..., Any]:
        async def load(name: str) -> Any:
            return [cls(name=name)]

        load.__annotations__["return"] = list[cls]
        return load

    seen: list[Any] = []

    async def act(event: Any, ctx: Any) -> None:
        seen.extend([await ctx.durable_execute_async(loader(cls), "x") for cls in (First, Second, First)])

    async with Worker(agent_of(act)) as worker:
        await Job(worker).run("act")
    assert seen == [[First(name="x")], [Second(name="x")], [First(name="x")]]


class SlowToOpen(Resource):
    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.VECTOR_STORE

    async def open(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", ["tasks of a function", "a resource that is opened", "a generator that is left"])
async def test_tasks_that_a_replay_does_not_make_are_not_counted(what: str) -> None:
    """Else the two equal calls would be given each other's values."""
    ledger, dies, asked, ranked = Ledger(), asyncio.Event(), list[int](), list[Any]()

    async def gather() -> None:
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

    async def wait() -> None:
        ledger.note("wait")
        await asyncio.sleep(0.01)

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def sample() -> int:
        asked.append(len(asked))
        number = asked[-1]
        await asyncio.sleep(0 if number % 2 else 0.03)
        return number

    async def rank(samples: list[int]) -> None:
        ranked.append(samples)

    async def act(event: Any, ctx: Any) -> None:
        await asyncio.sleep(0)
        if what == "tasks of a function":
            await ctx.durable_execute_async(gather)
        elif what == "a resource that is opened":
            await ctx.get_resource_async("store", ResourceType.VECTOR_STORE)
        else:
            async for _ in numbers():
                break
            await ctx.durable_execute_async(wait)
        samples = await asyncio.gather(*[ctx.durable_execute_async(sample) for _ in range(2)])
        await ctx.durable_execute_async(rank, samples)
        if not dies.is_set():
            dies.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=samples))

    agent = agent_of(act).add_resource("store", ResourceType.VECTOR_STORE, SlowToOpen())
    async with Worker(agent) as worker:
        job = Job(worker)
        await job.run("act", until=dies.is_set)
        assert output(await job.run("act")) == [0, 1]
    assert ranked == [[0, 1]]


async def test_the_loops_task_factory_is_given_back() -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    dispatcher = Dispatcher()
    await dispatcher.close()
    assert loop.get_task_factory() is before
