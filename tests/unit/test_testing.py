"""The in-process runner keeps the operator's rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from flink_actions import (
    Agent,
    Event,
    EventType,
    InputEvent,
    NotEncodableError,
    OutputEvent,
    RunnerContext,
    action,
)
from flink_actions.testing import ActionFailedError, AgentRunner, SeenEvent, run_agent


class Counter(Agent):
    """Counts each key's inputs in one action, tells in another."""

    @action(EventType.InputEvent)
    async def count(self, event: InputEvent[int], ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        count = memory.get("stats.count", default=0)
        await asyncio.sleep(0.001 * (event.input % 3))
        memory.set("stats.count", count + 1)
        assert "input" not in ctx.sensory_memory
        ctx.sensory_memory.set("input", event.input)
        ctx.send_event(Event("counted", {"count": count + 1}))
        ctx.send_event(Event("counted", {"count": -1}))

    @action("counted")
    def tell(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(
            OutputEvent([ctx.key, ctx.sensory_memory.get("input"), event.attributes["count"], ctx.run_number])
        )


def test_inputs_of_a_key_come_out_in_order_and_memory_follows() -> None:
    result = run_agent(Counter, range(60), key_by=lambda n: n % 7)
    for key in range(7):
        inputs = range(key, 60, 7)
        expected: list[Any] = []
        for run, value in enumerate(inputs):
            expected += [[key, value, run + 1, run], [key, value, -1, run]]
        assert result.outputs_of(key) == expected
        assert result.memory(key) == {"stats": {"count": len(inputs)}}
    assert len(result.outputs) == 120
    assert result.memory("none") == {}


def test_all_events_are_seen_with_who_sent_them() -> None:
    result = run_agent(Counter(), [5], key_by=lambda _: "k")
    assert result.events[:2] == [
        SeenEvent("_input_event", 5, "k", 0, "", None),
        SeenEvent("counted", {"count": 1}, "k", 0, "count", None),
    ]
    assert [event.action for event in result.events_of_type("_output_event")] == ["tell", "tell"]


def test_an_input_that_triggers_nothing_lets_the_next_one_start() -> None:
    class Picky(Agent):
        @action("never")
        async def act(self, event: Event, ctx: RunnerContext) -> None: ...

    assert run_agent(Picky(), range(5)).outputs == []


def test_a_failure_is_raised_with_its_stack_and_nothing_of_it_is_kept() -> None:
    class Failing(Agent):
        @action(EventType.InputEvent)
        async def act(self, event: InputEvent[int], ctx: RunnerContext) -> None:
            ctx.short_term_memory.set("n", event.input)
            ctx.send_event(OutputEvent(event.input))
            if event.input == 2:
                raise ValueError("not two")

    async def run() -> AgentRunner:
        async with AgentRunner(Failing()) as runner:
            for n in range(4):
                runner.send(n)
            with pytest.raises(ActionFailedError, match=r"action 'act' failed on key None: ValueError: not two"):
                await runner.settle(10)
            return runner

    result = asyncio.run(run()).result()
    assert result.outputs == [0, 1]
    assert result.memory(None) == {"n": 1}


def test_actions_that_trigger_each_other_without_end_are_stopped() -> None:
    class Endless(Agent):
        @action(EventType.InputEvent, "again")
        async def act(self, event: Event, ctx: RunnerContext) -> None:
            ctx.send_event(Event("again"))

    with pytest.raises(
        ActionFailedError, match=r"'act' failed .*has chained 1000 events, and event 'again' would chain"
    ):
        run_agent(Endless(), [1])


def test_an_agent_s_own_hop_limit_holds_and_the_policy_decides_what_is_beyond_it() -> None:
    class Endless(Agent):
        hop_limit = 5

        @action(EventType.InputEvent, "again", on_failure="dead_letter", max_attempts=3)
        async def act(self, event: Event, ctx: RunnerContext) -> None:
            memory = ctx.short_term_memory
            memory["calls"] = memory.get("calls", default=0) + 1
            ctx.send_event(Event("nobody waits for this"))
            ctx.send_event(Event("again"))

    result = run_agent(Endless(), [1, 2])
    assert [letter.failure.exception for letter in result.dead_letters] == ["HopLimitExceeded"] * 2
    assert len(result.events_of_type("again")) == len(result.events_of_type("nobody waits for this")) == 10
    assert result.memory(None) == {"calls": 10}, "nothing is kept of what was refused"


def test_what_takes_too_long_is_named() -> None:
    class Slow(Agent):
        @action(EventType.InputEvent)
        async def dawdle(self, event: Event, ctx: RunnerContext) -> None:
            await asyncio.sleep(30)

    with pytest.raises(TimeoutError, match=r"after 0\.1 s these actions still run: dawdle"):
        run_agent(Slow(), [1], limit_seconds=0.1)


def test_an_input_without_a_wire_form_is_refused() -> None:
    with pytest.raises(NotEncodableError, match=r"input\[0\]"):
        run_agent(Counter(), [[object()]])


def test_configuration_reaches_actions() -> None:
    class Configured(Agent):
        @action(EventType.InputEvent)
        async def act(self, event: Event, ctx: RunnerContext) -> None:
            ctx.send_event(OutputEvent(ctx.config.get_int("n")))

    assert run_agent(Configured(), [1], config={"n": "5"}).outputs == [5]


def test_bytes_go_in_and_out_as_bytes() -> None:
    class Doubling(Agent):
        @action(EventType.InputEvent)
        async def act(self, event: InputEvent[bytes], ctx: RunnerContext) -> None:
            ctx.send_event(OutputEvent(event.input * 2))

    assert run_agent(Doubling(), [b"\xff"]).outputs == [b"\xff\xff"]


def test_memory_that_the_engine_has_evicted_is_sent_again() -> None:
    class Remembering(Agent):
        @action(EventType.InputEvent)
        async def act(self, event: InputEvent[int], ctx: RunnerContext) -> None:
            count = ctx.short_term_memory.get("count", default=0) + 1
            ctx.short_term_memory.set("count", count)
            ctx.sensory_memory.set("x", 1)
            ctx.send_event(OutputEvent(count))

    async def run() -> list[Any]:
        async with AgentRunner(Remembering()) as runner:
            for _ in range(5):
                runner.send(0, key="k")
                await runner.settle(10)
                runner._scope.forget_keys([b'"k"'])
            return runner.result().outputs

    assert asyncio.run(run()) == [1, 2, 3, 4, 5]


def test_events_of_repeated_work_have_the_same_ids() -> None:
    class Telling(Agent):
        @action(EventType.InputEvent, "next")
        async def act(self, event: Event, ctx: RunnerContext) -> None:
            if event.type == "_input_event":
                ctx.send_event(Event("next"))
            ctx.send_event(OutputEvent([str(event.id), str(event.upstream_event_id), ctx.invocation_id]))

    first, second = (run_agent(Telling(), [1, 1]).outputs for _ in range(2))
    assert first == second
    assert len({tuple(output) for output in first}) == 4
    assert first[1][1] == first[0][0]


def test_a_failed_action_is_tried_again_and_its_durable_calls_are_replayed() -> None:
    class Flaky(Agent):
        def __init__(self) -> None:
            super().__init__()
            self.paid: list[int] = []

        @action(EventType.InputEvent, max_attempts=3)
        async def act(self, event: InputEvent[int], ctx: RunnerContext) -> None:
            first = await ctx.durable_execute_async(self.pay, event.input)
            second = await ctx.durable_execute_async(self.pay, event.input + 1)
            if ctx.attempt < 3:
                raise ValueError("not yet")
            ctx.send_event(OutputEvent([first, second]))

        async def pay(self, cents: int) -> int:
            self.paid.append(cents)
            return cents

    agent = Flaky()
    assert run_agent(agent, [1, 10]).outputs == [[1, 2], [10, 11]]
    assert agent.paid == [1, 2, 10, 11]


@pytest.mark.parametrize("on_failure", ["dead_letter", "ignore"])
def test_without_an_attempt_left_the_policy_decides_and_the_key_goes_on(on_failure: str) -> None:
    class Failing(Agent):
        @action(EventType.InputEvent, max_attempts=2, on_failure=on_failure)
        def act(self, event: InputEvent[int], ctx: RunnerContext) -> None:
            if event.input == 2:
                raise ValueError(f"attempt {ctx.attempt}")
            ctx.send_event(OutputEvent(event.input))

    result = run_agent(Failing(), [1, 2, 3])
    assert result.outputs == [1, 3]
    letters = [letter.failure.message for letter in result.dead_letters]
    assert letters == (["attempt 2"] if on_failure == "dead_letter" else [])
