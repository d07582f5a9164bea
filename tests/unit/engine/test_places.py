"""Actions of which only so many run at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from flink_actions import Agent, Event, OutputEvent
from flink_actions.engine.invocation import CancelReason, Failed, FailureKind, Outcome, Succeeded
from flink_actions.engine.plan import compile_plan
from flink_actions.sdk.errors import AgentLoadError

from tests.unit.engine.worker import LIMIT_SECONDS, Worker, sent_by, until

ON_INPUT = "_input_event"


class Gauge:
    """How many are at work, and the most there were; they go on when the gate opens."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.now = self.most = 0
        self._lock = threading.Lock()
        self.gate = asyncio.Event()
        self.thread_gate = threading.Event()

    def enter(self, what: Any) -> None:
        with self._lock:
            self.began.append(what)
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self._lock:
            self.now -= 1

    async def act(self, event: Any, ctx: Any) -> None:
        self.enter(event.input)
        await self.gate.wait()
        await asyncio.sleep(0)
        self.leave()
        ctx.send_event(OutputEvent(output=event.input))

    def act_in_thread(self, event: Any, ctx: Any) -> None:
        self.enter(event.input)
        assert self.thread_gate.wait(LIMIT_SECONDS)
        self.leave()
        ctx.send_event(OutputEvent(output=event.input))

    def open(self) -> None:
        self.gate.set()
        self.thread_gate.set()


def kind_of(outcome: Outcome) -> FailureKind:
    assert isinstance(outcome, Failed), outcome
    return outcome.kind


def agent_of(function: Any, **options: Any) -> Agent:
    return Agent().add_action("act", [ON_INPUT], function, **options)


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_no_more_than_so_many_run_at_a_time_and_they_begin_in_order(is_coroutine: bool) -> None:
    gauge = Gauge()
    async with Worker(agent_of(gauge.act if is_coroutine else gauge.act_in_thread, concurrency=3)) as worker:
        invocations = [worker.invocation("act", number) for number in range(20)]
        worker.submit(*invocations[:10])
        worker.submit(*invocations[10:])
        await until(lambda: gauge.now == 3 and worker.stepped_frames == 2)
        assert sorted(gauge.began) == [0, 1, 2]
        gauge.open()
        assert sorted(sent_by(await worker.outcomes(20))) == list(range(20))
    assert gauge.most == 3
    if is_coroutine:
        assert gauge.began == list(range(20))


async def test_an_action_that_never_waits_and_others_beside_it_are_all_answered() -> None:
    gauge = Gauge()

    async def at_once(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=event.input))

    agent = agent_of(gauge.act, concurrency=1).add_action("quick", [ON_INPUT], at_once, concurrency=2)
    agent.add_action("free", [ON_INPUT], at_once)
    async with Worker(agent) as worker:
        worker.submit(*[worker.invocation(name, name) for name in ("act", "act", *["quick"] * 50, *["free"] * 50)])
        assert sorted(sent_by(await worker.outcomes(100))) == ["free"] * 50 + ["quick"] * 50
        gauge.open()
        assert sent_by(await worker.outcomes(2)) == ["act", "act"]


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_what_waits_and_is_cancelled_never_begins_and_keeps_nobody_waiting(is_coroutine: bool) -> None:
    gauge = Gauge()
    async with Worker(agent_of(gauge.act if is_coroutine else gauge.act_in_thread, concurrency=1)) as worker:
        first, cancelled, last = [worker.invocation("act", number) for number in range(3)]
        worker.submit(first, cancelled, last)
        await until(lambda: gauge.now == 1)
        worker.dispatcher.cancel(worker.scope, [cancelled.handle], CancelReason.SUPERSEDED)
        (failed,) = await worker.outcomes(1)
        assert failed.handle == cancelled.handle
        assert kind_of(failed) is FailureKind.CANCELLED
        gauge.open()
        assert sent_by(await worker.outcomes(2)) == [0, 2]
    assert gauge.began == [0, 2]


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_a_later_attempt_at_what_waits_takes_its_turn_anew(is_coroutine: bool) -> None:
    gauge = Gauge()
    async with Worker(agent_of(gauge.act if is_coroutine else gauge.act_in_thread, concurrency=1)) as worker:
        first = worker.invocation("act", "first")
        waiting = worker.invocation("act", "again", invocation_id=b"the same work...")
        worker.submit(first, waiting)
        await until(lambda: gauge.now == 1)
        worker.submit(worker.invocation("act", "again", invocation_id=b"the same work...", attempt=2))
        (superseded,) = await worker.outcomes(1)
        assert superseded.handle == waiting.handle
        gauge.open()
        assert sent_by(await worker.outcomes(2)) == ["first", "again"]
    assert gauge.began == ["first", "again"]


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_an_attempt_that_fails_or_is_cancelled_gives_its_place_to_the_next(is_coroutine: bool) -> None:
    never, never_in_thread = asyncio.Event(), threading.Event()

    async def act(event: Any, ctx: Any) -> None:
        if event.input == "waits":
            await never.wait()
        act_at_once(event, ctx)

    def act_in_thread(event: Any, ctx: Any) -> None:
        if event.input == "waits":
            # It cannot be stopped, and keeps its thread but not its place.
            assert never_in_thread.wait(LIMIT_SECONDS)
        act_at_once(event, ctx)

    def act_at_once(event: Any, ctx: Any) -> None:
        if event.input == "raises":
            raise ValueError("no")
        ctx.send_event(OutputEvent(output=event.input))

    async with Worker(agent_of(act if is_coroutine else act_in_thread, concurrency=1)) as worker:
        waits = worker.invocation("act", "waits")
        worker.submit(waits, worker.invocation("act", "raises"), worker.invocation("act", "ends"))
        await until(lambda: worker.stepped_frames == 1)
        worker.dispatcher.cancel(worker.scope, [waits.handle], CancelReason.SUPERSEDED)
        cancelled, raised, ended = await worker.outcomes(3)
        assert kind_of(cancelled) is FailureKind.CANCELLED
        assert kind_of(raised) is FailureKind.BUG
        assert sent_by([ended]) == ["ends"]
        never_in_thread.set()


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_the_time_limit_counts_from_the_begin_and_not_from_the_arrival(is_coroutine: bool) -> None:
    gauge = Gauge()
    function = gauge.act if is_coroutine else gauge.act_in_thread
    async with Worker(agent_of(function, concurrency=1, timeout_seconds=30)) as worker:
        worker.submit(worker.invocation("act", "first"), worker.invocation("act", "second", remaining_ms=200))
        await until(lambda: gauge.now == 1)
        # Longer than the second one may take.
        await asyncio.sleep(0.3)
        gauge.open()
        assert sent_by(await worker.outcomes(2)) == ["first", "second"]
        gauge.gate.clear()
        gauge.thread_gate.clear()
        (late,) = await worker.run(worker.invocation("act", "late", remaining_ms=50))
        assert kind_of(late) is FailureKind.TIMEOUT
        gauge.open()


async def test_an_event_that_is_not_what_the_action_declares_takes_no_place() -> None:
    class Rated(Event):
        EVENT_TYPE = "rated"
        stars: int

    async def act(event: Rated, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=event.stars))

    async with Worker(Agent().add_action("act", [Rated], act, concurrency=1)) as worker:
        bad = [worker.invocation("act", {"stars": "many"}) for _ in range(3)]
        assert all(isinstance(outcome, Failed) for outcome in await worker.run(*bad))
        (good,) = await worker.run(worker.invocation("act", {"stars": 3}))
        assert isinstance(good, Succeeded)


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_the_end_of_a_scope_ends_what_waits_and_lets_others_have_its_place(is_coroutine: bool) -> None:
    gauge = Gauge()
    async with Worker(agent_of(gauge.act if is_coroutine else gauge.act_in_thread, concurrency=1)) as worker:
        # So many that a thread would have the time to begin one of them between the ends of two.
        worker.submit(*[worker.invocation("act", number) for number in range(5000)])
        await until(lambda: gauge.now == 1)
        ended = worker.scope
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="test", operator_uid="test")
        worker.scope.attach(worker.new_outbox())
        worker.submit(worker.invocation("act", "of another start"))
        await until(lambda: worker.stepped_frames == 2)
        worker.dispatcher.end_scope(ended, CancelReason.SUPERSEDED)
        await until(lambda: gauge.began == [0, "of another start"])
        gauge.open()
        await until(lambda: worker.dispatcher.open_count == 0)
    assert gauge.began == [0, "of another start"]


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2", 1_000_001])
def test_a_limit_that_is_none_is_refused_where_the_agent_is_loaded(concurrency: Any) -> None:
    async def act(event: Any, ctx: Any) -> None: ...

    with pytest.raises(AgentLoadError, match="concurrency"):
        compile_plan(agent_of(act, concurrency=concurrency), "agent")
