"""Time limits of attempts: from when they count, what ends by them, and what is reported."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from flink_actions import Agent, OutputEvent
from flink_actions.engine import dispatcher
from flink_actions.engine.invocation import CancelReason, Failed, FailureKind, Outcome, Succeeded

from tests.unit.engine.worker import LIMIT_SECONDS, Worker, sent_by, until

ON_INPUT = "_input_event"


class Clinic(Agent):
    """Each action sends what it was given, if it comes to that."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.thread_gate = threading.Event()
        self.began: list[Any] = []
        for function in (self.wait, self.block, self.sleep, self.hang, self.clean_up_badly, self.cling):
            self.add_action(function.__name__, [ON_INPUT], function)

    async def wait(self, event: Any, ctx: Any) -> None:
        self.began.append(event.input)
        await self.gate.wait()
        ctx.send_event(OutputEvent(output=event.input))

    async def block(self, event: Any, ctx: Any) -> None:
        """Holds the event loop for so many seconds."""
        time.sleep(event.input)  # noqa: ASYNC251
        ctx.send_event(OutputEvent(output=event.input))

    def sleep(self, event: Any, ctx: Any) -> None:
        time.sleep(event.input)
        ctx.send_event(OutputEvent(output=event.input))

    def hang(self, event: Any, ctx: Any) -> None:
        assert self.thread_gate.wait(LIMIT_SECONDS)

    async def clean_up_badly(self, event: Any, ctx: Any) -> None:
        try:
            await self.gate.wait()
        finally:
            raise ValueError("the connection is closed already")

    async def cling(self, event: Any, ctx: Any) -> None:
        self.began.append(event.input)
        # Not for good, or a test that fails would never end.
        until = time.monotonic() + LIMIT_SECONDS
        while not self.gate.is_set() and time.monotonic() < until:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


@pytest.mark.parametrize("gets_task", [False, True])
async def test_what_waits_for_its_first_step_behind_one_that_blocks_is_not_over_time(
    clinic: Clinic, gets_task: bool
) -> None:
    async with Worker(clinic) as worker:
        waiting = worker.invocation("wait", "patient", remaining_ms=300)
        worker.scope.actions[waiting.action].gets_task = gets_task
        worker.scope.actions[waiting.action]._count = 0
        worker.submit(worker.invocation("block", 0.4), waiting)
        worker.submit(worker.invocation("wait", "in the next frame", remaining_ms=300))
        await until(lambda: len(clinic.began) == 2)
        clinic.gate.set()
        assert sorted(map(str, sent_by(await worker.outcomes(3)))) == ["0.4", "in the next frame", "patient"]


async def test_what_waits_for_a_thread_is_not_over_time(clinic: Clinic) -> None:
    async with Worker(clinic, threads=1) as worker:
        each = [worker.invocation("sleep", 0.35, remaining_ms=600) for _ in range(3)]
        outcomes = await worker.run(*each)
        assert sent_by(outcomes) == [0.35] * 3
        assert all(isinstance(one, Succeeded) and 300 <= one.ran_ms < 600 for one in outcomes)


async def test_a_thread_s_limit_counts_from_when_it_has_begun(clinic: Clinic) -> None:
    async with Worker(clinic, threads=1) as worker:
        quick, late = worker.invocation("sleep", 0.3), worker.invocation("hang", remaining_ms=200)
        began_at = time.monotonic()
        worker.submit(quick, late)
        assert sent_by(await worker.outcomes(1)) == [0.3]
        (outcome,) = await worker.outcomes(1)
        assert failed(outcome).kind is FailureKind.TIMEOUT
        assert time.monotonic() - began_at >= 0.5
        assert failed(outcome).ran_ms >= 200
        clinic.thread_gate.set()


async def test_only_what_has_a_limit_is_measured(clinic: Clinic) -> None:
    async with Worker(clinic) as worker:
        free, limited = await worker.run(
            worker.invocation("block", 0.05), worker.invocation("block", 0.05, remaining_ms=1)
        )
        # A class of its own, so that the others pay nothing.
        assert type(free) is Succeeded
        assert isinstance(limited, Succeeded)
        assert 50 <= limited.ran_ms < 5000


async def test_what_never_began_has_used_up_nothing(clinic: Clinic) -> None:
    async with Worker(clinic, threads=1) as worker:
        first, second = worker.invocation("hang"), worker.invocation("hang", remaining_ms=60_000)
        worker.submit(first, second)
        await asyncio.sleep(0.05)
        worker.dispatcher.cancel(worker.scope, [second.handle], CancelReason.SUPERSEDED)
        (outcome,) = await worker.outcomes(1)
        assert (outcome.handle, failed(outcome).ran_ms) == (second.handle, 0)
        clinic.thread_gate.set()


async def test_a_time_out_shows_where_the_coroutine_was(clinic: Clinic) -> None:
    async with Worker(clinic) as worker:
        (outcome,) = await worker.run(worker.invocation("wait", remaining_ms=20))
        assert failed(outcome).kind is FailureKind.TIMEOUT
        assert failed(outcome).ran_ms >= 20
        assert "in wait\n    await self.gate.wait()" in failed(outcome).stack


async def test_what_a_cleanup_raises_makes_no_other_failure_of_a_time_out_and_shows_in_its_stack(
    clinic: Clinic,
) -> None:
    async with Worker(clinic) as worker:
        (outcome,) = await worker.run(worker.invocation("clean_up_badly", remaining_ms=20))
        assert (failed(outcome).kind, failed(outcome).exception) == (FailureKind.TIMEOUT, "TimeoutError")
        assert "ran longer than the 20 ms" in failed(outcome).message
        assert "ValueError: the connection is closed already" in failed(outcome).stack
        assert "CancelledError" in failed(outcome).stack


async def test_a_coroutine_that_does_not_end_when_it_is_cancelled_is_given_up_like_a_thread(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_CANCEL_AGAIN_SECONDS", 0.05)
    async with Worker(clinic) as worker:
        first = worker.invocation("cling", 1, invocation_id=b"w" * 16, remaining_ms=20)
        (outcome,) = await worker.run(first)
        assert failed(outcome).kind is FailureKind.TIMEOUT
        worker.submit(worker.invocation("cling", 2, invocation_id=b"w" * 16, attempt=2))
        await until(lambda: clinic.began == [1, 2])
        assert worker.dispatcher.overrun_coroutines == 1
        clinic.gate.set()
        (second,) = await worker.outcomes(1)
        assert isinstance(second, Succeeded)
        await until(lambda: worker.dispatcher.overrun_coroutines == 0)


@pytest.mark.parametrize("reason", [CancelReason.JOB_CANCELLED, CancelReason.ORPHANED, CancelReason.FINISHED])
async def test_what_goes_on_after_its_start_has_ended_does_not_keep_the_next_attempt(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, reason: CancelReason
) -> None:
    monkeypatch.setattr(dispatcher, "_CANCEL_AGAIN_SECONDS", 0.05)
    async with Worker(clinic) as worker:
        worker.submit(worker.invocation("cling", 1, invocation_id=b"w" * 16))
        await until(lambda: clinic.began == [1])
        worker.dispatcher.end_scope(worker.scope, reason)
        await asyncio.sleep(0.2)
        # Nobody waits, so it counts as going on.
        assert worker.dispatcher.overrun_coroutines == 0
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="test", operator_uid="test")
        worker.scope.attach(worker.outbox)
        worker.submit(worker.invocation("cling", 2, invocation_id=b"w" * 16, attempt=2))
        await until(lambda: clinic.began == [1, 2])
        assert worker.dispatcher.overrun_coroutines == 1
        clinic.gate.set()
        (second,) = await worker.outcomes(1)
        assert isinstance(second, Succeeded)
        await until(lambda: worker.dispatcher.overrun_coroutines == 0)


async def test_what_goes_on_although_its_worker_drains_is_given_up(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job waits to be told that it may go elsewhere: nothing else tells it, for an archive lives on."""
    monkeypatch.setattr(dispatcher, "_CANCEL_AGAIN_SECONDS", 0.05)
    async with Worker(clinic) as worker:
        invocation = worker.invocation("cling", 1)
        worker.submit(invocation)
        await until(lambda: clinic.began == [1])
        worker.dispatcher.cancel(worker.scope, [invocation.handle], CancelReason.DRAINED)
        (outcome,) = await worker.outcomes(1)
        assert failed(outcome).kind is FailureKind.CANCELLED
        clinic.gate.set()
