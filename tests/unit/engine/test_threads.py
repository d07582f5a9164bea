"""`def` actions: in threads, together while they are quick, apart when they block."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from flink_actions import Agent, ContextEndedError, Event, OutputEvent, RunnerContext, action
from flink_actions.engine.invocation import CancelReason, Failed, FailureKind, Outcome, Succeeded
from flink_actions.engine.threads import ThreadPool
from flink_actions.wire.codec import encode_outcomes

from tests.unit.engine.worker import Worker, sent_by

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Threaded(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.began: list[int] = []
        self.refused: list[BaseException] = []
        self.together = threading.Barrier(8)
        self.now = 0.0

    @action("quick")
    def quick(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent([event.attributes["n"], threading.current_thread() is threading.main_thread()]))

    @action("variable")
    def variable(self, event: Event, ctx: RunnerContext) -> None:
        before = variable.get()
        variable.set("changed")
        ctx.send_event(OutputEvent(before))

    @action("remember")
    def remember(self, event: Event, ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        memory.set("count", memory.get("count", default=0) + 1)
        ctx.send_event(OutputEvent([memory.get("count"), ctx.key, ctx.run_number]))

    @action("block")
    def block(self, event: Event, ctx: RunnerContext) -> None:
        self.began.append(event.attributes["n"])
        self.gate.wait(10)
        try:
            ctx.send_event(OutputEvent(event.attributes["n"]))
        except ContextEndedError as error:
            self.refused.append(error)

    def wait_for_gate(self, n: int) -> int:
        self.began.append(n)
        self.gate.wait(10)
        return n

    @action("call")
    async def call(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(await ctx.durable_execute_async(self.wait_for_gate, event.attributes["n"])))

    @action("call_in_thread")
    def call_in_thread(self, event: Event, ctx: RunnerContext) -> None:
        ctx.durable_execute(self.wait_for_gate, event.attributes["n"])

    @action("lose_patience")
    async def lose_patience(self, event: Event, ctx: RunnerContext) -> None:
        call = asyncio.ensure_future(ctx.durable_execute_async(self.wait_for_gate, 1))
        await until(lambda: self.began == [1])
        call.cancel()
        await asyncio.wait({call})
        ctx.send_event(OutputEvent("gave up"))

    @action("sleep")
    def sleep(self, event: Event, ctx: RunnerContext) -> None:
        time.sleep(0.02)

    @action("write_and_block")
    def write_and_block(self, event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("count", 1000)
        self.gate.wait(10)

    @action("slow")
    def slow(self, event: Event, ctx: RunnerContext) -> None:
        self.now += event.attributes["seconds"]

    @action("meet")
    def meet(self, event: Event, ctx: RunnerContext) -> None:
        self.together.wait(5)

    @action("fail")
    def fail(self, event: Event, ctx: RunnerContext) -> None:
        raise KeyError("nothing there")

    @action("hidden")
    def hidden(self, event: Event, ctx: RunnerContext) -> object:
        async def inner() -> None: ...

        return inner()


@pytest.fixture
def agent() -> Threaded:
    return Threaded()


async def test_def_actions_run_outside_the_event_loops_thread(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        assert await worker.sent(*(worker.invocation("quick", {"n": n}) for n in range(100))) == [
            [n, False] for n in range(100)
        ]


async def test_each_def_action_has_context_variables_of_its_own(agent: Threaded) -> None:
    async with Worker(agent, threads=1) as worker:
        assert await worker.sent(*(worker.invocation("variable", {}) for _ in range(3))) == ["unset"] * 3


async def test_the_context_works_in_a_thread(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        (first,) = await worker.run(worker.invocation("remember", {}, key=b'"k"', run_number=1))
        assert isinstance(first, Succeeded)
        assert first.changes is not None
        version = first.changes.version
        assert await worker.sent(
            worker.invocation("remember", {}, key=b'"k"', run_number=2, memory_version=version)
        ) == [[2, "k", 2]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (threads tell nobody)
            await asyncio.sleep(0.002)


def succeeded(outcomes: Sequence[Outcome]) -> bool:
    return all(isinstance(outcome, Succeeded) for outcome in outcomes)


async def test_def_actions_that_block_do_not_wait_for_each_other(agent: Threaded) -> None:
    async with Worker(agent, threads=8) as worker:
        (meet,) = (state for state in worker.scope.actions if state.action.name == "meet")
        meet.blocks = True
        # Each waits for the other seven.
        assert succeeded(await worker.run(*(worker.invocation("meet", {}) for _ in range(8))))


async def test_the_first_frame_of_an_action_that_blocks_is_split_when_its_first_one_returns(agent: Threaded) -> None:
    async with Worker(agent, threads=8) as worker:
        first = worker.invocation("sleep", {})
        assert succeeded(await worker.run(first, *(worker.invocation("meet", {}) for _ in range(8))))


async def test_an_action_that_does_not_return_holds_up_nothing_of_its_frame(agent: Threaded) -> None:
    async with Worker(agent, threads=8) as worker:
        before, hanging, after = worker.invocation("quick", {"n": 1}), worker.invocation("block", {"n": 2}), 3
        worker.submit(before, hanging, worker.invocation("quick", {"n": after}))
        assert sorted(sent_by(await worker.outcomes(2))) == [[1, False], [3, False]]
        agent.gate.set()
        assert sent_by(await worker.outcomes(1)) == [2]


async def test_only_the_action_that_takes_long_is_taken_for_one_that_blocks(agent: Threaded) -> None:
    async with Worker(agent, clock=lambda: agent.now) as worker:
        quick, slow = (
            next(state for state in worker.scope.actions if state.action.name == name) for name in ("quick", "slow")
        )
        await worker.run(
            *(worker.invocation("quick", {"n": n}) for n in range(3)), worker.invocation("slow", {"seconds": 0.003})
        )
        assert (quick.blocks, slow.blocks) == (False, True)
        for run in range(16):
            # Once quick is not enough: what an action waits for is quick now and then.
            assert slow.blocks, run
            await worker.run(worker.invocation("slow", {"seconds": 0.0}))
        assert not slow.blocks


async def test_the_pool_has_no_more_threads_than_it_may(agent: Threaded) -> None:
    async with Worker(agent, threads=3) as worker:
        for state in worker.scope.actions:
            state.blocks = True
        worker.submit(*(worker.invocation("block", {"n": n}) for n in range(10)))
        await until(lambda: len(agent.began) == 3)
        assert len(worker.dispatcher._threads._pool._threads) == 3
        agent.gate.set()
        assert sorted(sent_by(await worker.outcomes(10))) == list(range(10))


async def test_an_exception_in_a_thread_becomes_a_failure(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        (outcome,) = await worker.run(worker.invocation("fail", {}))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.exception) == (FailureKind.BUG, "KeyError")
    assert "in fail" in outcome.stack
    assert "flink_actions/engine" not in outcome.stack


async def test_a_coroutine_that_a_def_action_returns_is_not_silently_dropped(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        (outcome,) = await worker.run(worker.invocation("hidden", {}))
    assert isinstance(outcome, Failed)
    assert "returned an awaitable" in outcome.message


async def test_a_def_action_over_its_limit_is_reported_and_its_thread_accounted_for(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        (outcome,) = await worker.run(worker.invocation("block", {"n": 1}, remaining_ms=300))
        assert isinstance(outcome, Failed)
        assert outcome.kind is FailureKind.TIMEOUT
        assert worker.dispatcher.overrun_threads == 1
        assert worker.dispatcher.open_count == 0
        agent.gate.set()
        async with asyncio.timeout(5):
            while worker.dispatcher.overrun_threads:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        # What it sends then belongs to nothing.
        assert len(agent.refused) == 1
        assert len(worker.outbox) == 0


@pytest.mark.parametrize("kind", ["call", "call_in_thread"])
async def test_the_thread_of_a_durable_call_that_outlives_its_action_is_accounted_for(
    agent: Threaded, kind: str
) -> None:
    async with Worker(agent) as worker:
        submitted = [worker.invocation(kind, {"n": n}, key=b"%d" % n, remaining_ms=300) for n in range(3)]
        outcomes = await worker.run(*submitted)
        assert [one.kind for one in outcomes if isinstance(one, Failed)] == [FailureKind.TIMEOUT] * 3
        assert worker.dispatcher.overrun_threads == 3
        agent.gate.set()
        await until(lambda: worker.dispatcher.overrun_threads == 0)


async def test_the_thread_of_a_durable_call_that_its_own_action_cancels_is_accounted_for(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        assert await worker.sent(worker.invocation("lose_patience", {})) == ["gave up"]
        assert worker.dispatcher.overrun_threads == 1
        agent.gate.set()
        await until(lambda: worker.dispatcher.overrun_threads == 0)


@pytest.mark.parametrize("kind", ["block", "call"], ids=["a def action", "a durable call"])
async def test_what_is_cancelled_before_it_has_a_thread_takes_none_and_never_begins(agent: Threaded, kind: str) -> None:
    async with Worker(agent, threads=1) as worker:
        first, second = worker.invocation(kind, {"n": 1}), worker.invocation(kind, {"n": 2}, key=b"2")
        worker.submit(first, second)
        await until(lambda: agent.began == [1])
        worker.dispatcher.cancel(worker.scope, [second.handle], CancelReason.SUPERSEDED)
        (outcome,) = await worker.outcomes(1)
        assert outcome.handle == second.handle
        assert worker.dispatcher.overrun_threads == 0
        agent.gate.set()
        await worker.outcomes(1)
        assert agent.began == [1]


async def test_what_a_thread_wrote_that_returns_after_its_limit_changes_no_memory(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        (first,) = await worker.run(worker.invocation("remember", {}, key=b'"k"'))
        assert isinstance(first, Succeeded)
        assert first.changes is not None
        version = first.changes.version
        late = worker.invocation("write_and_block", {}, key=b'"k"', memory_version=version, remaining_ms=50)
        (outcome,) = await worker.run(late)
        assert isinstance(outcome, Failed)
        agent.gate.set()
        await until(lambda: worker.dispatcher.overrun_threads == 0)
        (again,) = await worker.run(worker.invocation("remember", {}, key=b'"k"', memory_version=version))
        assert sent_by([again]) == [[2, "k", 1]]


async def test_a_later_attempt_does_not_wait_for_a_thread_that_cannot_be_stopped(agent: Threaded) -> None:
    async with Worker(agent) as worker:
        worker.submit(worker.invocation("block", {"n": 1}, invocation_id=b"w" * 16))
        await until(lambda: agent.began == [1])
        worker.submit(worker.invocation("block", {"n": 2}, invocation_id=b"w" * 16, attempt=2))
        await until(lambda: agent.began == [1, 2])
        assert worker.dispatcher.overrun_threads == 1
        agent.gate.set()
        outcomes = await worker.outcomes(2)
        assert [type(outcome) for outcome in outcomes] == [Failed, Succeeded]


def _go_on(ctx: RunnerContext) -> None:
    memory = ctx.short_term_memory
    with contextlib.suppress(ContextEndedError):
        for number in itertools.count():
            memory.set(f"field{number % 7}", number)
            ctx.send_event(OutputEvent(number))


@pytest.mark.usefixtures("threads_take_turns_often")
@pytest.mark.parametrize("suspends", [True, False])
async def test_what_threads_that_an_action_has_left_behind_do_is_in_its_result_or_nowhere(suspends: bool) -> None:
    async def leave_behind(event: Event, ctx: RunnerContext) -> None:
        for _ in range(4):
            threading.Thread(target=_go_on, args=(ctx,)).start()
        if suspends:
            await asyncio.sleep(0.001)

    async with Worker(Agent().add_action("leave_behind", ["go"], leave_behind)) as worker:
        for number in range(200):
            key = str(number).encode()
            outcomes = await worker.run(worker.invocation("leave_behind", key=key))
            (frame,) = encode_outcomes(outcomes, 4 << 20)
            assert sum(frame.results.event_count) == len(frame.results.event_type)
            await asyncio.sleep(0.001)
            mirror = worker.scope.mirrors._mirrors[key]
            told = dict(zip(frame.results.memory_path, frame.results.memory_value, strict=True))
            assert told == mirror.short_term.values


def test_a_pool_of_no_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="runs nothing"):
        ThreadPool(0, "none")


def test_a_job_never_waits_while_the_pool_may_grow() -> None:
    pool = ThreadPool(8, "growing")
    for _ in range(200):
        together = threading.Barrier(9)

        def meet(together: threading.Barrier = together) -> None:
            together.wait(5)

        for _ in range(8):
            pool.submit(meet)
        together.wait(5)
    pool.close()


def test_threads_end_when_the_pool_is_closed() -> None:
    pool = ThreadPool(4, "closing")
    done = threading.Barrier(5)

    def meet() -> None:
        done.wait(5)

    for _ in range(4):
        pool.submit(meet)
    done.wait(5)
    pool.close()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("closing-")]:
        thread.join(5)
        assert not thread.is_alive()
