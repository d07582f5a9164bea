"""The agents that the benchmark runs: what each does is what its case measures."""

from __future__ import annotations

import asyncio
from typing import Any

from flink_actions import Agent, Event, InputEvent, OutputEvent, RunnerContext, action

_PROFILE_ENTRIES = 100
_PROFILE_ENTRY = "x" * 1_000


def _answer(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Some 300 bytes of JSON, with the input's number in it: the sink finds an output's input by that."""
    return {"key": given["key"], "seq": given["seq"], "label": "positive", "text": given["text"][:240], **more}


class Trivial(Agent):
    """One action that does not wait."""

    name = "trivial"

    @action("_input_event")
    async def answer(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=_answer(event.input)))


class Chain(Agent):
    """Two actions: the second is triggered by what the first sends."""

    name = "chain"

    @action("_input_event")
    async def first(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(Event(type="rated", attributes=_answer(event.input)))

    @action("rated")
    async def second(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.attributes))


class Memory(Agent):
    """Two short-term values, read and written back."""

    name = "memory"

    @action("_input_event")
    async def answer(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        count = memory.get("count", default=0) + 1
        total = memory.get("total", default=0.0) + event.input["score"]
        memory.set("count", count)
        memory.set("total", total)
        ctx.send_event(OutputEvent(output=_answer(event.input, count=count)))


class Profile(Agent):
    """100 kB of memory per key, of which one small field changes."""

    name = "profile"

    @action("_input_event")
    async def answer(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        count = memory.get("count", default=0)
        if count == 0:
            for number in range(_PROFILE_ENTRIES):
                memory.set(f"profile.entry{number}", _PROFILE_ENTRY)
        memory.set("count", count + 1)
        ctx.send_event(OutputEvent(output=_answer(event.input, count=count)))


class Durable(Agent):
    """One durable call that costs nothing itself, at level `checkpoint`."""

    name = "durable"

    @action("_input_event")
    async def answer(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        given = event.input
        seen = await ctx.durable_execute_async(_look_up, given["seq"])
        ctx.send_event(OutputEvent(output=_answer(given, seen=seen)))


async def _look_up(seq: int) -> int:
    return seq + 1


class Wait(Agent):
    """An action that waits for `seconds`, as for a model."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name)
        self._seconds = seconds

    @action("_input_event")
    async def answer(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        await asyncio.sleep(self._seconds)
        ctx.send_event(OutputEvent(output=_answer(event.input)))


agents = [Trivial(), Chain(), Memory(), Profile(), Durable(), Wait("wait1", 1.0), Wait("wait5", 5.0)]
