"""Resources that a worker uses only so often."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from flink_actions import (
    Agent,
    ContextEndedError,
    OutputEvent,
    Rate,
    Resource,
    ResourceDescriptor,
    ResourceError,
    ResourceType,
    RetryableError,
    action,
    chat_model_connection,
    tool,
)
from flink_actions.engine.invocation import CancelReason, Failed, FailureKind, Measured, Outcome, Succeeded
from flink_actions.engine.permits import Bucket
from flink_actions.engine.plan import compile_plan
from flink_actions.engine.resources import ResourceRegistry
from flink_actions.sdk.errors import ResourceDeclarationError
from flink_actions.testing import run_agent

from tests.support.fake_clock import FakeClockLoop, run_with_fake_clock
from tests.unit.engine.worker import LIMIT_SECONDS, Worker, until

ON_INPUT = "_input_event"
CONNECTION = ResourceType.CHAT_MODEL_CONNECTION
LLM = (CONNECTION, "llm")
# One permit lies ready, and no other comes while a test runs.
ONE = Rate(1, per=3600)


class Llm(Resource):
    def __init__(self) -> None:
        self.asked: list[Any] = []

    @classmethod
    def resource_type(cls) -> ResourceType:
        return CONNECTION

    async def ask(self, text: Any) -> Any:
        await self.permit_async()
        self.asked.append(text)
        return text

    def ask_in_thread(self, text: Any) -> Any:
        self.permit()
        self.asked.append(text)
        return text


class Shop(Agent):
    """Its actions ask one model, each in its way."""

    def __init__(self, rate: Rate | float | None) -> None:
        super().__init__()
        self.llm = Llm()
        self.raised: list[BaseException] = []
        self.add_resource("llm", CONNECTION, self.llm, rate=rate)

    @action(ON_INPUT)
    async def ask(self, event: Any, ctx: Any) -> None:
        llm = await ctx.get_resource_async("llm", CONNECTION)
        ctx.send_event(OutputEvent(await llm.ask(event.input)))

    @action(ON_INPUT)
    def ask_in_thread(self, event: Any, ctx: Any) -> None:
        try:
            ctx.send_event(OutputEvent(ctx.get_resource("llm", CONNECTION).ask_in_thread(event.input)))
        except BaseException as error:
            self.raised.append(error)
            raise

    @action(ON_INPUT)
    async def ask_all(self, event: Any, ctx: Any) -> None:
        llm = ctx.get_resource("llm", CONNECTION)
        await asyncio.gather(*(llm.ask(text) for text in event.input))

    @action(ON_INPUT)
    async def ask_durably(self, event: Any, ctx: Any) -> None:
        llm = ctx.get_resource("llm", CONNECTION)
        ctx.send_event(OutputEvent(await ctx.durable_execute_async(llm.ask, event.input)))
        if ctx.attempt == 1:
            raise RetryableError

    @action(ON_INPUT)
    async def ask_durably_in_thread(self, event: Any, ctx: Any) -> None:
        llm = ctx.get_resource("llm", CONNECTION)
        await ctx.durable_execute_async(llm.ask_in_thread, event.input)

    @action(ON_INPUT)
    async def ask_by_to_thread(self, event: Any, ctx: Any) -> None:
        await asyncio.to_thread(ctx.get_resource("llm", CONNECTION).ask_in_thread, event.input)

    @action(ON_INPUT)
    async def block(self, event: Any, ctx: Any) -> None:
        ctx.get_resource("llm", CONNECTION).ask_in_thread(event.input)

    @action(ON_INPUT)
    def ask_in_own_loop(self, event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(asyncio.run(ctx.get_resource("llm", CONNECTION).ask(event.input))))


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def waits_of(outcome: Outcome) -> dict[str, float]:
    assert isinstance(outcome, (Succeeded, Failed))
    assert all(delta.is_of_server and not delta.is_of_action for delta in outcome.metrics)
    return {".".join(delta.path): delta.value for delta in outcome.metrics}


def waiting(worker: Worker) -> int:
    return len(bucket_of(worker)._waiting)


def bucket_of(worker: Worker) -> Bucket:
    return worker.scope.actions[0].resources._buckets[LLM]


# ---- the bucket, in fake time ----


def with_bucket(rate: Rate, use: Callable[[Bucket], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await use(Bucket(LLM, rate, asyncio.get_running_loop().time, lambda: None))

    run_with_fake_clock(run())


async def times_of(bucket: Bucket, count: int) -> list[float]:
    """When so many who ask at once are let through, in the order of asking."""
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def take() -> float:
        await bucket.take_async()
        times.append(loop.time())
        return loop.time()

    each = await asyncio.gather(*(take() for _ in range(count)))
    assert each == times
    return each


def test_permits_come_evenly_spaced_and_after_a_pause_a_burst_at_once() -> None:
    async def use(bucket: Bucket) -> None:
        assert await times_of(bucket, 5) == pytest.approx([0, 0, 0, 0.1, 0.2], abs=0.002)
        await asyncio.sleep(60)
        begin = asyncio.get_running_loop().time()
        assert [at - begin for at in await times_of(bucket, 5)] == pytest.approx([0, 0, 0, 0.1, 0.2], abs=0.002)

    with_bucket(Rate(600, per=60, burst=3), use)


def test_no_more_than_limit_and_burst_are_let_through_in_any_span() -> None:
    async def use(bucket: Bucket) -> None:
        times = await times_of(bucket, 300)
        for first in times:
            assert sum(first <= at < first + 1 for at in times) <= 50 + 4
        assert times[-1] == pytest.approx((300 - 4) / 50, rel=0.05)

    with_bucket(Rate(50, burst=4), use)


def test_what_a_loop_that_stood_still_has_missed_is_not_made_up_for() -> None:
    async def use(bucket: Bucket) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeClockLoop)
        taking = asyncio.create_task(times_of(bucket, 6))
        await asyncio.sleep(0.05)
        loop.stand_still(60)
        assert await taking == pytest.approx([0, 60.05, 60.05, 60.15, 60.25, 60.35], abs=0.01)

    with_bucket(Rate(10, burst=2), lambda bucket: use_after_first(bucket, use))


async def use_after_first(bucket: Bucket, use: Callable[[Bucket], Coroutine[Any, Any, None]]) -> None:
    # Of the two that lie ready one is left.
    await bucket.take_async()
    await use(bucket)


def test_a_rate_that_is_finer_than_timers_is_reached() -> None:
    rate = compile_plan(Shop(20_000), "shop").resources[LLM].rate
    assert rate == Rate(20_000, 1.0, 200)

    async def use(bucket: Bucket) -> None:
        times = await times_of(bucket, 20_000)
        assert times[-1] == pytest.approx(1, rel=0.05)

    with_bucket(rate, use)


def test_who_is_cancelled_gives_up_the_place_and_takes_no_permit() -> None:
    async def use(bucket: Bucket) -> None:
        await bucket.take_async()
        first, second, third = (asyncio.create_task(times_of(bucket, 1)) for _ in range(3))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == pytest.approx([1], abs=0.002)
        assert await third == pytest.approx([2], abs=0.002)
        assert not bucket._waiting
        assert bucket._timer is None

    with_bucket(Rate(1, burst=1), use)


def test_a_permit_for_one_who_is_cancelled_at_that_moment_is_the_next_one_s() -> None:
    async def use(bucket: Bucket) -> None:
        await bucket.take_async()
        first, second = (asyncio.create_task(bucket.take_async()) for _ in range(2))
        await asyncio.sleep(0.5)
        bucket._ready = 1.0
        bucket._grant()
        first.cancel()
        await second
        assert first.cancelled()
        assert asyncio.get_running_loop().time() == 0.5

    with_bucket(Rate(1, burst=1), use)


# ---- in a worker ----


async def test_threads_and_coroutines_wait_in_one_queue_in_the_order_of_asking() -> None:
    shop = Shop(ONE)
    async with Worker(shop) as worker:
        bucket = bucket_of(worker)
        bucket._ready = 0.0
        for number, name in enumerate(["ask", "ask_in_thread", "ask", "ask_in_thread", "ask"]):
            worker.submit(worker.invocation(name, number))
            await until(lambda number=number: waiting(worker) == number + 1)  # type: ignore[misc]
        for number in range(5):
            bucket._ready = 1.0
            bucket._grant()
            await until(lambda number=number: shop.llm.asked == list(range(number + 1)))  # type: ignore[misc]
        await worker.outcomes(5)


@pytest.mark.parametrize("name", ["ask", "ask_in_thread", "ask_durably_in_thread", "ask_by_to_thread"])
async def test_a_wait_is_no_part_of_the_time_limit(name: str) -> None:
    async with Worker(Shop(Rate(1, burst=1))) as worker:
        await worker.run(worker.invocation("ask"))
        (outcome,) = await worker.run(worker.invocation(name, remaining_ms=500))
        assert isinstance(outcome, Measured), outcome
        assert outcome.ran_ms < 500
        waits = waits_of(outcome)
        assert waits["resource.chat_model_connection.llm.permitWaits"] == 1
        assert 500_000 < waits["resource.chat_model_connection.llm.permitWaitMicros"] < 10_000_000


async def test_what_runs_beside_no_wait_is_over_its_time_as_ever() -> None:
    async def act(event: Any, ctx: Any) -> None:
        llm = ctx.get_resource("llm", CONNECTION)
        before = ctx.deadline
        await llm.ask(event.input)
        deadlines.append(ctx.deadline - before)
        await asyncio.sleep(LIMIT_SECONDS)

    deadlines: list[float] = []
    async with Worker(Shop(Rate(1, burst=1)).add_action("act", [ON_INPUT], act)) as worker:
        await worker.run(worker.invocation("ask"))
        (outcome,) = await worker.run(worker.invocation("act", remaining_ms=100))
        assert failed(outcome).kind is FailureKind.TIMEOUT
        assert 100 <= failed(outcome).ran_ms < 5000
    assert 0.3 < deadlines[0] < 10


async def test_while_any_task_of_an_action_waits_its_time_stands_still() -> None:
    async with Worker(Shop(Rate(10, burst=1))) as worker:
        (outcome,) = await worker.run(worker.invocation("ask_all", list(range(6)), remaining_ms=400))
        assert isinstance(outcome, Measured), outcome
        assert outcome.ran_ms < 400
        assert waits_of(outcome)["resource.chat_model_connection.llm.permitWaits"] == 5


async def test_who_does_not_wait_counts_nothing() -> None:
    async with Worker(Shop(Rate(1, burst=3))) as worker:
        for name in ("ask", "ask_in_thread", "ask"):
            (outcome,) = await worker.run(worker.invocation(name))
            assert waits_of(outcome) == {}


@pytest.mark.parametrize("name", ["ask", "ask_in_thread", "ask_durably_in_thread", "ask_by_to_thread"])
async def test_an_action_that_is_cancelled_waits_no_more_and_holds_no_thread(name: str) -> None:
    shop = Shop(ONE)
    async with Worker(shop, threads=1) as worker:
        await worker.run(worker.invocation("ask", "first"))
        cancelled = worker.invocation(name, "cancelled")
        worker.submit(cancelled)
        await until(lambda: waiting(worker) == 1)
        worker.dispatcher.cancel(worker.scope, [cancelled.handle], CancelReason.SUPERSEDED)
        (outcome,) = await worker.outcomes(1)
        assert failed(outcome).kind is FailureKind.CANCELLED
        assert failed(outcome).metrics
        await until(lambda: waiting(worker) == 0 and worker.dispatcher.overrun_threads == 0)
        # The only thread is free.
        bucket_of(worker)._ready = 1.0
        await worker.sent(worker.invocation("ask_in_thread", "last"))
    assert shop.llm.asked == ["first", "last"]
    assert [type(error) for error in shop.raised] == ([ContextEndedError] if name == "ask_in_thread" else [])


async def test_an_action_that_is_over_gets_no_permit_in_its_thread() -> None:
    gate = threading.Event()
    raised: list[BaseException] = []

    def act(event: Any, ctx: Any) -> None:
        llm = ctx.get_resource("llm", CONNECTION)
        assert gate.wait(LIMIT_SECONDS)
        try:
            llm.permit()
        except BaseException as error:
            raised.append(error)

    async with Worker(Shop(ONE).add_action("act", [ON_INPUT], act)) as worker:
        late = worker.invocation("act")
        worker.submit(late)
        await until(lambda: worker.stepped_frames == 1)
        await asyncio.sleep(0.05)
        worker.dispatcher.cancel(worker.scope, [late.handle], CancelReason.SUPERSEDED)
        await worker.outcomes(1)
        gate.set()
        await until(lambda: bool(raised))
        assert isinstance(raised[0], ContextEndedError)
        assert bucket_of(worker)._ready == 1.0


async def test_a_durable_call_that_is_answered_from_its_record_takes_no_permit() -> None:
    shop = Shop(ONE)
    async with Worker(shop) as worker:
        first = worker.invocation("ask_durably", "text", invocation_id=b"the same work...")
        worker.submit(first)
        outcome = failed((await worker.outcomes(1))[0])
        assert outcome.kind is FailureKind.RETRYABLE
        (note,) = worker.outbox.drain_notes()
        again = worker.invocation(
            "ask_durably", "text", invocation_id=b"the same work...", attempt=2, calls=(note.record,)
        )
        assert await worker.sent(again) == ["text"]
    assert shop.llm.asked == ["text"]


async def test_to_wait_in_the_way_of_threads_on_the_event_loop_is_refused() -> None:
    async with Worker(Shop(ONE)) as worker:
        (outcome,) = await worker.run(worker.invocation("block"))
        assert failed(outcome).exception == "flink_actions.sdk.errors.ResourceError"
        assert "chat_model_connection 'llm' here would block the event loop" in failed(outcome).message


async def test_a_loop_that_an_action_has_made_in_its_thread_waits_as_well() -> None:
    async with Worker(Shop(Rate(20, burst=1))) as worker:
        assert sorted(await worker.sent(*(worker.invocation("ask_in_own_loop", n) for n in range(3)))) == [0, 1, 2]


async def test_without_a_rate_a_permit_is_there_at_once() -> None:
    async with Worker(Shop(None)) as worker:
        names = ["ask", "ask_in_thread", "block"] * 50
        assert all(isinstance(one, Succeeded) for one in await worker.run(*map(worker.invocation, names)))


async def test_jobs_and_subtasks_of_a_worker_share_what_there_is() -> None:
    async with Worker(Shop(ONE)) as worker:
        await worker.run(worker.invocation("ask"))
        other = worker.dispatcher.open_scope(worker.plan, namespace="another job", operator_uid="test")
        other.attach(worker.new_outbox())
        worker.dispatcher.submit([worker.invocation("ask")], other, lambda: None)
        await until(lambda: waiting(worker) == 1)


async def test_who_waits_when_the_worker_leaves_is_told() -> None:
    registry = ResourceRegistry(compile_plan(Shop(ONE), "shop"), {})
    llm: Any = registry.get_resource("llm", CONNECTION)
    await llm.permit_async()
    tasks = [asyncio.create_task(llm.permit_async()), asyncio.create_task(asyncio.to_thread(llm.permit))]
    await until(lambda: len(registry._buckets[LLM]._waiting) == 2)
    await registry.close(1.0)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, ResourceError)
        assert "is closed, and gives no permits any more" in str(outcome)


async def test_a_rate_that_nobody_asks_about_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for is_asked in (False, True):
        registry = ResourceRegistry(compile_plan(Shop(ONE), "shop"), {})
        llm = registry.get_resource("llm", CONNECTION)
        if is_asked:
            await llm.permit_async()
        caplog.clear()
        await registry.close(1.0)
        assert ("'llm' has a rate, and nobody has asked for a permit" in caplog.text) is not is_asked


# ---- declared ----


class Tools(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    @tool(rate=Rate(20, burst=1))
    async def search(self, text: str) -> str:
        self.times.append(time.monotonic())
        return text

    @tool(rate=20)
    def look_up(self, text: str) -> str:
        self.times.append(time.monotonic())
        return text

    @tool
    def free(self, text: str) -> str:
        return text

    @chat_model_connection(rate=Rate(600, per=60))
    def llm(self) -> ResourceDescriptor:
        return ResourceDescriptor(clazz=Llm)

    @action(ON_INPUT)
    async def use(self, event: Any, ctx: Any) -> None:
        name = event.input
        ctx.send_event(OutputEvent(await ctx.get_resource(name, ResourceType.TOOL).call(name)))

    @action(ON_INPUT)
    def use_in_thread(self, event: Any, ctx: Any) -> None:
        name = event.input
        ctx.send_event(OutputEvent(ctx.get_resource(name, ResourceType.TOOL).call(name)))


@pytest.mark.parametrize(("action_name", "name"), [("use", "search"), ("use_in_thread", "look_up")])
async def test_a_tool_asks_for_a_permit_by_itself(action_name: str, name: str) -> None:
    tools = Tools()
    async with Worker(tools) as worker:
        assert await worker.sent(*(worker.invocation(action_name, name) for _ in range(4))) == [name] * 4
    assert tools.times[-1] - tools.times[0] >= 0.14


async def test_a_def_tool_with_a_rate_is_not_to_be_called_on_the_event_loop() -> None:
    async with Worker(Tools()) as worker:
        (outcome,) = await worker.run(worker.invocation("use", "look_up"))
    assert "tool 'look_up' here would block the event loop" in failed(outcome).message


def test_rates_are_declared_with_decorators_and_with_add_resource() -> None:
    resources = compile_plan(Tools().add_resource("other", CONNECTION, Llm(), rate=3000), "tools").resources
    assert {name: declared.rate for (_, name), declared in resources.items()} == {
        "search": Rate(20, 1.0, 1),
        "look_up": Rate(20, 1.0, 1),
        "free": None,
        "llm": Rate(600, 60, 1),
        "other": Rate(3000, 1.0, 30),
    }


IMPOSSIBLE: list[Any] = [
    0,
    -1,
    math.nan,
    math.inf,
    10**400,
    True,
    "50",
    2_000_000,
    Rate(0),
    Rate(1, per=0),
    Rate(1, per=-1),
    Rate(1, per=math.inf),
    Rate(math.nan),
    Rate(1, per=10**6),
    Rate(1e308, per=1e-308),
    Rate(1, burst=0),
    Rate(1, burst=-1),
    Rate(1, burst=1.5),  # type: ignore[arg-type]
    Rate(1, burst=True),
    Rate(1, burst=10**7),
]


@pytest.mark.parametrize("rate", IMPOSSIBLE, ids=repr)
def test_a_rate_that_is_none_is_refused_where_the_agent_is_loaded(rate: Any) -> None:
    with pytest.raises(ResourceDeclarationError, match=r"test_permits\.py:\d+: chat_model_connection 'llm' has rate="):
        compile_plan(Shop(rate), "shop")


def test_a_rate_without_its_name_is_refused() -> None:
    with pytest.raises(ResourceDeclarationError, match=r"name the argument, \(rate=Rate\("):
        tool(Rate(5))  # type: ignore[call-overload]


def test_an_agent_under_test_waits_for_no_permits() -> None:
    shop = Shop(ONE)
    began_at = time.monotonic()

    class Asking(Agent):
        @chat_model_connection(rate=ONE)
        def llm(self) -> Resource:
            return shop.llm

        ask = Shop.ask

    assert run_agent(Asking(), range(100)).outputs == list(range(100))
    assert time.monotonic() - began_at < LIMIT_SECONDS
