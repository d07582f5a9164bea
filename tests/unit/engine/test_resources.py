"""Resources in a worker: opened once, in order, by whoever asks first; closed in reverse, each by itself."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from typing import Any, ClassVar

import pytest
from flink_actions import (
    Agent,
    Event,
    OutputEvent,
    Resource,
    ResourceDescriptor,
    ResourceError,
    ResourceType,
    RunnerContext,
    action,
    tool,
)
from flink_actions.engine.invocation import Failed
from flink_actions.engine.plan import compile_plan
from flink_actions.engine.resources import ResourceRegistry

from tests.unit.engine.worker import Worker

CONNECTION, MODEL = ResourceType.CHAT_MODEL_CONNECTION, ResourceType.CHAT_MODEL


class Noting(Resource):
    """Notes what happens to it, in one list for all."""

    log: ClassVar[list[str]] = []

    def __init__(self, *, label: str, fails: str = "", seconds: float = 0.0, **others: Any) -> None:
        self.label, self.fails, self.seconds = label, fails, seconds
        vars(self).update(others)
        self.note("make")

    def note(self, what: str) -> None:
        self.log.append(f"{what} {self.label}")
        if self.fails == what:
            raise OSError(f"{self.label} is out of order")

    def open(self) -> None:
        time.sleep(self.seconds)
        self.note("open")

    def close(self) -> None:
        self.note("close")


class Connection(Noting):
    @classmethod
    def resource_type(cls) -> ResourceType:
        return CONNECTION


class Model(Noting):
    references: ClassVar = {"connection": CONNECTION, "fallbacks": MODEL}

    @classmethod
    def resource_type(cls) -> ResourceType:
        return MODEL


class Asynchronous(Model):
    async def open(self) -> None:  # type: ignore[override]
        await asyncio.sleep(self.seconds)
        self.note("open")

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.note("close")


class Shop(Agent):
    @action("ask")
    async def ask(self, event: Event, ctx: RunnerContext) -> None:
        found = await ctx.get_resource_async(event.attributes["name"], MODEL)
        ctx.send_event(OutputEvent(id(found)))

    @action("ask_now")
    async def ask_now(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(id(ctx.get_resource(event.attributes["name"], MODEL))))

    @action("ask_in_thread")
    def ask_in_thread(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(id(ctx.get_resource(event.attributes["name"], MODEL))))

    @action("add")
    async def add_numbers(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(ctx.get_resource("add", ResourceType.TOOL).call(1, b=2)))  # type: ignore[attr-defined]

    @tool
    def add(self, a: int, b: int) -> int:
        """Adds."""
        return a + b


@pytest.fixture
def shop() -> Shop:
    Noting.log.clear()
    shop = Shop()
    shop.add_resource("line", CONNECTION, ResourceDescriptor(clazz=Connection, label="line"))
    shop.add_resource("small", MODEL, ResourceDescriptor(clazz=Model, label="small", connection="line", seconds=0.02))
    shop.add_resource(
        "big", MODEL, ResourceDescriptor(clazz=Model, label="big", connection="line", fallbacks=["small"])
    )
    shop.add_resource(
        "async", MODEL, ResourceDescriptor(clazz=Asynchronous, label="async", fallbacks=["big"], seconds=0.02)
    )
    return shop


async def test_a_resource_is_opened_when_it_is_asked_for_and_after_those_it_needs(shop: Shop) -> None:
    async with Worker(shop) as worker:
        assert Noting.log == []
        await worker.sent(worker.invocation("ask", {"name": "big"}))
        opened = ["make line", "open line", "make small", "open small", "make big", "open big"]
        assert Noting.log == opened
    assert Noting.log[len(opened) :] == ["close big", "close small", "close line"]


@pytest.mark.parametrize("how", ["ask", "ask_in_thread"])
@pytest.mark.parametrize("name", ["small", "async"])
async def test_many_who_ask_at_once_get_the_same_one(shop: Shop, how: str, name: str) -> None:
    if (how, name) == ("ask_in_thread", "async"):
        pytest.skip("refused; see the test of that")
    async with Worker(shop) as worker:
        found = await worker.sent(*(worker.invocation(how, {"name": name}) for _ in range(20)))
    assert len(set(found)) == 1
    assert Noting.log.count(f"open {name}") == 1


async def test_threads_and_coroutines_share_it(shop: Shop) -> None:
    async with Worker(shop) as worker:
        ways = ["ask", "ask_in_thread", "ask_now"] * 5
        assert len(set(await worker.sent(*(worker.invocation(way, {"name": "small"}) for way in ways)))) == 1
    assert Noting.log.count("open small") == 1


async def test_opening_asynchronously_holds_up_nobody(shop: Shop) -> None:
    async with Worker(shop) as worker:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await worker.sent(worker.invocation("ask", {"name": "async"}))
        ticking.cancel()
    # 40 ms of opening, in a thread and in the loop.
    assert ticks >= 5


async def test_a_resource_that_opens_asynchronously_is_not_to_be_had_at_once(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("ask_now", {"name": "async"}))
        assert isinstance(outcome, Failed)
        assert "await ctx.get_resource_async('async'" in outcome.message
        assert "declare the action `async def`" in outcome.message
        await worker.run(worker.invocation("ask", {"name": "async"}))
        assert len(await worker.sent(worker.invocation("ask_now", {"name": "async"}))) == 1


class Leaving(Resource):
    @classmethod
    def resource_type(cls) -> ResourceType:
        return MODEL

    def open(self) -> None:
        sys.exit("no key")


class LeavingLater(Leaving):
    async def open(self) -> None:  # type: ignore[override]
        sys.exit("no key")


@pytest.mark.parametrize("cls", [Leaving, LeavingLater])
async def test_a_resource_that_exits_while_it_is_opened_does_not_end_the_worker(
    shop: Shop, cls: type[Resource]
) -> None:
    shop.add_resource("leaving", MODEL, cls())
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("ask", {"name": "leaving"}))
        assert isinstance(outcome, Failed)
        assert "chat_model 'leaving' could not be opened: SystemExit: no key" in outcome.message


async def test_what_cannot_be_opened_is_an_error_and_is_tried_again(shop: Shop) -> None:
    shop.add_resource("broken", MODEL, ResourceDescriptor(clazz=Model, label="broken", fails="open"))
    async with Worker(shop) as worker:
        for _ in range(2):
            (outcome,) = await worker.run(worker.invocation("ask", {"name": "broken"}))
            assert isinstance(outcome, Failed)
            assert outcome.exception == "flink_actions.sdk.errors.ResourceError"
            assert "chat_model 'broken' could not be opened: OSError: broken is out of order" in outcome.message
    assert Noting.log == ["make broken", "open broken"] * 2


async def test_what_cannot_be_made_is_an_error(shop: Shop) -> None:
    shop.add_resource("broken", MODEL, ResourceDescriptor(clazz=Model, label="broken", fails="make"))
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("ask_now", {"name": "broken"}))
    assert isinstance(outcome, Failed)
    assert "could not be made by ResourceDescriptor(" in outcome.message


async def test_what_is_not_declared_is_named_with_what_is(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("ask", {"name": "huge"}))
    assert isinstance(outcome, Failed)
    assert "agent 'agent' declares no chat_model 'huge'; declared are: 'async', 'big', 'small'" in outcome.message


async def test_a_failure_to_close_holds_up_no_other(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.add_resource(
        "sticky", MODEL, ResourceDescriptor(clazz=Model, label="sticky", connection="line", fails="close")
    )
    async with Worker(shop) as worker:
        await worker.sent(worker.invocation("ask", {"name": "sticky"}), worker.invocation("ask", {"name": "async"}))
    assert [entry for entry in Noting.log if entry.startswith("close")][-1] == "close line"
    assert {"close sticky", "close async", "close big", "close small"} < set(Noting.log)
    assert "closing chat_model 'sticky' failed" in caplog.text


class Stuck(Model):
    """Its `close` does not end, not even when it is cancelled."""

    async def close(self) -> None:  # type: ignore[override]
        self.note("close")
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(5)


class StuckInThread(Model):
    def close(self) -> None:
        self.note("close")
        time.sleep(1)


async def test_those_that_hang_when_they_are_closed_leave_time_for_the_others(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    for name, clazz in (("first", Stuck), ("second", StuckInThread), ("third", Stuck)):
        shop.add_resource(name, MODEL, ResourceDescriptor(clazz=clazz, label=name, connection="line"))
    registry = ResourceRegistry(compile_plan(shop, "shop"), {})
    for name in ("first", "second", "third"):
        await registry.get_resource_async(name, MODEL)
    await asyncio.wait_for(registry.close(0.4), 0.9)
    assert Noting.log[-4:] == ["close third", "close second", "close first", "close line"]
    assert all(f"chat_model '{name}' was not closed within" in caplog.text for name in ("first", "second", "third"))


async def test_configuration_overrides_arguments_by_class_name(shop: Shop) -> None:
    registry = ResourceRegistry(compile_plan(shop, "shop"), {"Model.label": "renamed", "Other.label": "x"})
    found = await registry.get_resource_async("small", MODEL)
    assert isinstance(found, Model)
    assert (found.label, found.seconds) == ("renamed", 0.02)
    await registry.close(1.0)
    with pytest.raises(ResourceError, match="after the worker had closed"):
        registry.get_resource("big", MODEL)


async def test_a_tool_is_a_resource(shop: Shop) -> None:
    async with Worker(shop) as worker:
        assert await worker.sent(worker.invocation("add_numbers", {})) == [3]


async def test_an_action_that_is_cancelled_while_it_waits_takes_the_resource_from_nobody(shop: Shop) -> None:
    async with Worker(shop) as worker:
        impatient = worker.invocation("ask", {"name": "async"}, remaining_ms=5)
        patient = worker.invocation("ask", {"name": "async"})
        outcomes = await worker.run(impatient, patient)
        assert isinstance(outcomes[0], Failed)
        assert not isinstance(outcomes[1], Failed)
    assert threading.active_count() < 50
